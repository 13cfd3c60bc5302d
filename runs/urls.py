"""Addresses of the pages about runs."""

from __future__ import annotations

from django.urls import URLPattern, path

from runs.views import again, artifacts, bulk, cache, control, experiments, launch, lists, pods, retention, run

urlpatterns: list[URLPattern] = [
    path("runs/", lists.run_list, name="run-list"),
    path("runs/rows/", lists.run_list_rows, name="run-rows"),
    path("runs/bulk/", bulk.runs_bulk, name="run-bulk"),
    path("runs/<uuid:run_id>/", run.run_detail, name="run-detail"),
    path("runs/<uuid:run_id>/stop/", run.run_stop, name="run-stop"),
    path("runs/<uuid:run_id>/retry/", control.run_retry, name="run-retry"),
    path("runs/<uuid:run_id>/pause/", control.run_pause, name="run-pause"),
    path("runs/<uuid:run_id>/resume/", control.run_resume, name="run-resume"),
    path("runs/<uuid:run_id>/tags/", control.run_tags, name="run-tags"),
    path("runs/<uuid:run_id>/again/", again.run_again, name="run-again"),
    path("runs/<uuid:run_id>/again/plan/", again.run_again_plan, name="run-again-plan"),
    path("runs/<uuid:run_id>/pod/", pods.run_pod, name="run-pod"),
    path("runs/<uuid:run_id>/log/", run.run_log, name="run-log"),
    path("runs/<uuid:run_id>/log/search/", run.run_log_search, name="run-log-search"),
    path("runs/<uuid:run_id>/log/download/", run.run_log_download, name="run-log-download"),
    path("runs/<uuid:run_id>/archive/", lists.run_archive, name="run-archive"),
    path("runs/<uuid:run_id>/restore/", lists.run_restore, name="run-restore"),
    path("runs/<uuid:run_id>/delete/", lists.run_delete, name="run-delete"),
    path("pipelines/<uuid:pipeline_id>/versions/<uuid:version_id>/launch/", launch.launch, name="launch"),
    path("artifacts/<int:artifact_id>/", artifacts.artifact_detail, name="artifact-detail"),
    path("artifacts/<int:artifact_id>/content/", artifacts.artifact_content, name="artifact-content"),
    path("artifacts/<int:artifact_id>/download/", artifacts.artifact_download, name="artifact-download"),
    path("cache/", cache.cache_list, name="cache-list"),
    path("cache/evict/", cache.cache_evict, name="cache-evict"),
    path("system/retention/", retention.retention, name="retention"),
    path("system/retention/rules/new/", retention.rule_new, name="retention-rule-new"),
    path("system/retention/rules/<int:rule_id>/", retention.rule_edit, name="retention-rule"),
    path("system/retention/rules/<int:rule_id>/delete/", retention.rule_delete, name="retention-rule-delete"),
    path("system/retention/try/", retention.retention_try, name="retention-try"),
    path("system/retention/now/", retention.retention_now, name="retention-now"),
    path("system/retention/passes/<int:pass_id>/", retention.retention_pass, name="retention-pass"),
    path("runs/<uuid:run_id>/keep/", retention.run_keep, name="run-keep"),
    path("experiments/", experiments.experiment_list, name="experiment-list"),
    path("experiments/new/", experiments.experiment_create, name="experiment-create"),
    path("experiments/<uuid:experiment_id>/", experiments.experiment_detail, name="experiment-detail"),
    path("experiments/<uuid:experiment_id>/archive/", experiments.experiment_archive, name="experiment-archive"),
    path("experiments/<uuid:experiment_id>/restore/", experiments.experiment_restore, name="experiment-restore"),
    path("experiments/<uuid:experiment_id>/delete/", experiments.experiment_delete, name="experiment-delete"),
]
