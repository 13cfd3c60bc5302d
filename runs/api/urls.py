"""Addresses of the API about runs."""

from __future__ import annotations

from django.urls import path

from runs.api import cache, control, experiments, inside, nodes, recurring, retention, runs

_V2 = "apis/v2beta1"
_EXPERIMENT = f"{_V2}/experiments/<str:experiment_id>"
_RUN = f"{_V2}/runs/<str:run_id>"
_OWN = "apis/kfdash/v1"
_OWN_RUN = f"{_OWN}/runs/<str:run_id>"

urlpatterns = [
    path(f"{_V2}/experiments", experiments.ExperimentsView.as_view()),
    path(f"{_EXPERIMENT}:archive", experiments.ExperimentArchiveView.as_view()),
    path(f"{_EXPERIMENT}:unarchive", experiments.ExperimentUnarchiveView.as_view()),
    path(_EXPERIMENT, experiments.ExperimentView.as_view()),
    path(f"{_V2}/runs", runs.RunsView.as_view()),
    path(f"{_RUN}:archive", runs.ArchiveRunView.as_view()),
    path(f"{_RUN}:unarchive", runs.UnarchiveRunView.as_view()),
    path(f"{_RUN}:terminate", runs.TerminateRunView.as_view()),
    path(f"{_RUN}:retry", runs.RetryRunView.as_view()),
    path(_RUN, runs.RunView.as_view()),
    path(f"{_RUN}/nodes/<path:node_id>/artifacts/<path:artifact_name>:read", nodes.ReadArtifactView.as_view()),
    path("apis/v1alpha1/runs/<str:run_id>/nodes/<path:node_id>/log", nodes.NodeLogView.as_view()),
    path("apis/v1beta1/runs/<str:run_id>/nodes/<path:node_id>/log", nodes.NodeLogView.as_view(schema=None)),
    path(f"{_V2}/recurringruns", recurring.RecurringRunsView.as_view()),
    path(f"{_V2}/recurringruns/<str:recurring_run_id>", recurring.RecurringRunView.as_view()),
    path(f"{_OWN}/runs", control.OwnRunsView.as_view()),
    path(f"{_OWN}/runs:bulk", control.BulkView.as_view()),
    path(f"{_OWN_RUN}:stop", control.StopOwnRunView.as_view()),
    path(f"{_OWN_RUN}:pause", control.PauseOwnRunView.as_view()),
    path(f"{_OWN_RUN}:resume", control.ResumeOwnRunView.as_view()),
    path(f"{_OWN_RUN}:retry", control.RetryOwnRunView.as_view()),
    path(f"{_OWN_RUN}:archive", control.ArchiveOwnRunView.as_view()),
    path(f"{_OWN_RUN}:restore", control.RestoreOwnRunView.as_view()),
    path(f"{_OWN_RUN}:keep", control.KeepOwnRunView.as_view()),
    path(f"{_OWN_RUN}:letGo", control.LetOwnRunGoView.as_view()),
    path(f"{_OWN_RUN}:plan", control.PlanAgainView.as_view()),
    path(f"{_OWN_RUN}:again", control.RunAgainView.as_view()),
    path(f"{_OWN_RUN}/miss", control.MissView.as_view()),
    path(f"{_OWN_RUN}/uses", control.UsesView.as_view()),
    path(_OWN_RUN, control.OwnRunView.as_view()),
    path(f"{_OWN_RUN}/tasks", inside.TasksView.as_view()),
    path(f"{_OWN_RUN}/log", inside.LogView.as_view()),
    path(f"{_OWN_RUN}/log.txt", inside.TextLogView.as_view()),
    path(f"{_OWN_RUN}/events", inside.EventsView.as_view()),
    path(f"{_OWN_RUN}/artifacts", inside.RunArtifactsView.as_view()),
    path(f"{_OWN}/artifacts", inside.ArtifactsView.as_view()),
    path(f"{_OWN}/artifacts/<str:artifact_id>", inside.ArtifactView.as_view()),
    path(f"{_OWN}/retention/rules", retention.RulesView.as_view()),
    path(f"{_OWN}/retention/rules/<str:rule_id>", retention.RuleView.as_view()),
    path(f"{_OWN}/retention/passes", retention.PassesView.as_view()),
    path(f"{_OWN}/retention/passes/<str:pass_id>", retention.PassView.as_view()),
    path(f"{_OWN}/retention:tryOut", retention.TryOutView.as_view()),
    path(f"{_OWN}/retention:carryOut", retention.CarryOutView.as_view()),
    path(f"{_OWN}/cache", cache.CacheView.as_view()),
    path(f"{_OWN}/cache:evict", cache.EvictView.as_view()),
    path(f"{_OWN}/cache:summary", cache.CacheSummaryView.as_view()),
    path(f"{_OWN}/cache/<str:entry_id>", cache.CacheEntryView.as_view()),
]
