"""Rows of runs. Only `runs.driver` changes the state of a run, a task or an attempt."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F
from django.db.models.functions import Lower
from django.utils import timezone

from pipelines.models import PipelineVersion, Specification
from runs.engine.model import CacheUse, Kind, Phase, State, Stop


def _choices(enum: type) -> list[tuple[str, str]]:
    return [(member.value, member.value) for member in enum]  # type: ignore[attr-defined]


class StorageState(models.TextChoices):
    """Whether a run or an experiment is in the archive."""

    AVAILABLE = "AVAILABLE"
    ARCHIVED = "ARCHIVED"


class Experiment(models.Model):
    """A named group of runs."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    namespace = models.CharField(max_length=63, default="", blank=True)
    name = models.CharField(max_length=128, help_text="display_name on the wire")
    description = models.TextField(default="", blank=True)
    storage_state = models.CharField(max_length=16, choices=StorageState.choices, default=StorageState.AVAILABLE)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=255, default="", blank=True)
    last_run_created_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["namespace", "name"], name="experiment_name")]
        indexes = [models.Index(fields=["namespace", "-created_at", "-id"], name="experiment_newest")]


class NamespaceCounter(models.Model):
    """The last run number given out in a namespace."""

    namespace = models.CharField(primary_key=True, max_length=63)
    last_number = models.PositiveBigIntegerField(default=0)


class Run(models.Model):
    """A launched pipeline."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    namespace = models.CharField(max_length=63, default="", blank=True)
    number = models.PositiveBigIntegerField(help_text="counted per namespace, `#1284` on pages")
    name = models.CharField(max_length=255, help_text="display_name on the wire")
    resource_name = models.CharField(max_length=255, help_text="`<pipeline>-xxxxx`, KFP's workflow name")
    description = models.TextField(default="", blank=True)
    experiment = models.ForeignKey(Experiment, null=True, on_delete=models.SET_NULL, related_name="runs")
    experiment_key = models.UUIDField(help_text="stays when the experiment is deleted")
    specification = models.ForeignKey(Specification, on_delete=models.PROTECT, related_name="runs")
    version = models.ForeignKey(PipelineVersion, null=True, on_delete=models.SET_NULL, related_name="runs")
    pipeline_key = models.UUIDField(null=True, help_text="pipeline's id on the wire, also after its deletion")
    version_key = models.UUIDField(null=True, help_text="version's id on the wire, also after its deletion")
    parameters = models.JSONField(default=dict, help_text="what the client sent, placeholders unexpanded")
    arguments = models.JSONField(default=dict, help_text="the same with macros expanded")
    requested_root = models.TextField(default="", blank=True, help_text="pipeline_root as sent")
    pipeline_root = models.TextField(default="", help_text="`<root>/<pipeline>/<run id>`")
    service_account = models.CharField(max_length=255, default="pipeline-runner")
    pod_template = models.JSONField(default=dict, blank=True, help_text="merged underneath the pods of its steps; empty for most")
    cache = models.CharField(max_length=8, choices=_choices(CacheUse), default=CacheUse.USE.value)
    tags = models.JSONField(default=dict, blank=True)
    origin = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="runs_again")
    again_from = models.JSONField(null=True, help_text="{number, specification, paths, same}: how it takes over from its origin")
    storage_state = models.CharField(max_length=16, choices=StorageState.choices, default=StorageState.AVAILABLE)

    state = models.CharField(max_length=12, choices=_choices(State), default=State.PENDING.value)
    state_history = models.JSONField(default=list, help_text="[{update_time, state}] as on the wire")
    reason = models.TextField(default="", blank=True)
    stop = models.CharField(max_length=8, choices=_choices(Stop), default=Stop.NO.value, blank=True)
    stopped_by = models.CharField(max_length=255, default="", blank=True)
    paused = models.BooleanField(default=False)
    event_number = models.PositiveIntegerField(default=0, help_text="the last RunEvent's number")

    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=255, default="", blank=True)
    scheduled_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    kept_at = models.DateTimeField(null=True, help_text="since when somebody keeps it: no rule removes anything of it")
    logs_removed_at = models.DateTimeField(null=True)
    artifacts_removed_at = models.DateTimeField(null=True)
    retention = models.JSONField(null=True, help_text="{kept_by, logs, artifacts}: who keeps it; the rules that removed them")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["namespace", "number"], name="run_number")]
        indexes = [
            models.Index(fields=["namespace", "-created_at", "-id"], name="run_newest"),
            models.Index(fields=["experiment_key", "-created_at", "-id"], name="run_experiment_newest"),
            models.Index(fields=["pipeline_key", "-created_at", "-id"], name="run_pipeline_newest"),
            models.Index(fields=["state", "-created_at", "-id"], name="run_state_newest"),
            models.Index(fields=["namespace", "storage_state", "-created_at", "-id"], name="run_storage_newest"),
            models.Index(F("namespace"), Lower("name"), F("id"), name="run_name"),
            models.Index(
                fields=["state", "created_at", "id"],
                name="run_logs_left",
                condition=models.Q(logs_removed_at__isnull=True, finished_at__isnull=False),
            ),
            models.Index(
                fields=["state", "created_at", "id"],
                name="run_artifacts_left",
                condition=models.Q(artifacts_removed_at__isnull=True, finished_at__isnull=False),
            ),
        ]


class Task(models.Model):
    """A task of a run: the columns are those of `runs.engine.model.Task`."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tasks")
    path = models.TextField()
    parent = models.TextField(blank=True, help_text="path of the group above; empty for the root")
    kind = models.CharField(max_length=12, choices=_choices(Kind))
    state = models.CharField(max_length=12, choices=_choices(State), default=State.PENDING.value)
    inputs = models.JSONField(null=True)
    outputs = models.JSONField(null=True)
    reason = models.TextField(default="", blank=True)
    cause = models.CharField(max_length=40, default="", blank=True)
    culprit = models.TextField(default="", blank=True)
    attention = models.BooleanField(default=False)
    waiting_on = models.PositiveIntegerField(default=0)
    blocker = models.TextField(default="", blank=True)
    attempt = models.PositiveIntegerField(default=0)
    under_way = models.BooleanField(default=False)
    failures = models.PositiveIntegerField(default=0)
    lost = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True)
    fingerprint = models.CharField(max_length=64, default="", blank=True)
    cached_from = models.TextField(default="", blank=True)
    children = models.PositiveIntegerField(default=0)
    ended = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    canceled = models.PositiveIntegerField(default=0)
    running = models.PositiveIntegerField(default=0)
    next_iteration = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(null=True)
    ready_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "path"], name="task_path")]
        indexes = [
            models.Index(fields=["run", "parent"], name="task_parent"),
            models.Index(fields=["cached_from"], name="task_cached_from", condition=~models.Q(cached_from="")),
        ]


class Attempt(models.Model):
    """One try of a task: the columns are those of `runs.engine.model.Attempt`, and the executor-side name."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="attempts")
    path = models.TextField()
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=64, unique=True, help_text="AttemptOrder.name")
    state = models.CharField(max_length=12, choices=_choices(State), default=State.PENDING.value)
    phase = models.CharField(max_length=12, choices=_choices(Phase), default=Phase.QUEUED.value)
    reason = models.TextField(default="", blank=True)
    cause = models.CharField(max_length=40, default="", blank=True)
    attention = models.BooleanField(default=False)
    counts = models.BooleanField(default=True)
    exit_code = models.IntegerField(null=True)
    peak_memory = models.BigIntegerField(null=True)
    queued_at = models.DateTimeField(null=True)
    starting_at = models.DateTimeField(null=True)
    running_at = models.DateTimeField(null=True)
    collecting_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    released = models.BooleanField(default=False, help_text="the executor was told that the end is recorded")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "path", "number"], name="attempt_number")]
        indexes = [
            models.Index(fields=["run", "phase"], name="attempt_phase"),
            models.Index(fields=["phase"], name="attempt_unreleased", condition=models.Q(released=False)),
        ]


class RunEvent(models.Model):
    """What happened, append-only, numbered within the run, written with the state it tells of."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=40)
    path = models.TextField(default="", blank=True)
    attempt = models.PositiveIntegerField(default=0)
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="event_number")]


class OrderKind(models.TextChoices):
    """What is to be done."""

    START = "start"
    STOP = "stop"
    WAKE = "wake"


class Order(models.Model):
    """What the engine wants done; committed with the change that made it, sent again while due and not carried out."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="orders")
    kind = models.CharField(max_length=8, choices=OrderKind.choices)
    path = models.TextField()
    attempt = models.PositiveIntegerField(default=0)
    task_kind = models.CharField(max_length=12, default="")
    force = models.BooleanField(default=False)
    due = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    carried_out_at = models.DateTimeField(null=True)
    answer = models.TextField(default="", blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["due"], name="order_due", condition=models.Q(carried_out_at__isnull=True)),
            models.Index(fields=["run", "path"], name="order_path"),
        ]


class Artifact(models.Model):
    """An artifact: made by a task of a run, or imported."""

    id = models.BigAutoField(primary_key=True)
    namespace = models.CharField(max_length=63, default="", blank=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="artifacts")
    path = models.TextField(help_text="of the task that made it")
    name = models.TextField(help_text="of the output")
    type = models.CharField(max_length=128, default="system.Artifact")
    schema_version = models.CharField(max_length=32, default="0.0.1")
    uri = models.TextField()
    metadata = models.JSONField(default=dict)
    custom_path = models.TextField(default="", blank=True)
    size = models.BigIntegerField(null=True, help_text="bytes, None while not known, or where there was nothing")
    created_at = models.DateTimeField(default=timezone.now)
    looked_at = models.DateTimeField(null=True, help_text="when it was last looked for in the store")
    gone_at = models.DateTimeField(null=True, help_text="when it was found to be in the store no more")

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="artifact_unseen", condition=models.Q(looked_at__isnull=True)),
            models.Index(fields=["looked_at"], name="artifact_looked", condition=models.Q(gone_at__isnull=True)),
            models.Index(fields=["id"], name="artifact_gone", condition=models.Q(gone_at__isnull=False)),
            models.Index(fields=["run", "path"], name="artifact_of_task"),
            models.Index(fields=["namespace", "-created_at", "-id"], name="artifact_newest"),
        ]


class Sweep(models.Model):
    """How far a job has come that goes over a large table, round after round."""

    name = models.CharField(primary_key=True, max_length=63)
    after = models.PositiveBigIntegerField(default=0, help_text="the id it has come to; 0 where a round is at its end")
    began_at = models.DateTimeField(help_text="when the last round began")


class ArtifactUse(models.Model):
    """That a task of a run took an artifact as an input."""

    artifact = models.ForeignKey(Artifact, on_delete=models.CASCADE, related_name="uses")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="artifact_uses")
    path = models.TextField()
    name = models.TextField(help_text="of the input")

    class Meta:
        indexes = [models.Index(fields=["run", "path"], name="use_of_task")]


class CacheEntry(models.Model):
    """The outputs of a task that succeeded, found by fingerprint within a pipeline and namespace; the newest wins."""

    namespace = models.CharField(max_length=63, default="", blank=True)
    pipeline_name = models.CharField(max_length=128)
    fingerprint = models.CharField(max_length=64)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="cache_entries")
    path = models.TextField()
    outputs = models.JSONField()
    seconds = models.FloatField(default=0, help_text="what the step took, saved by each hit")
    hits = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    last_hit_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["namespace", "pipeline_name", "fingerprint", "-created_at"], name="cache_lookup"),
            models.Index(fields=["namespace", "-created_at", "-id"], name="cache_newest"),
            models.Index(fields=["run", "path"], name="cache_of_task"),
        ]


class Lease(models.Model):
    """Which of several processes leads, see `runs.leading`. Times are the database's own."""

    name = models.CharField(primary_key=True, max_length=63)
    holder = models.CharField(max_length=255)
    term = models.PositiveBigIntegerField(default=0, help_text="grows each time it is taken")
    until = models.DateTimeField(help_text="after which others may take it")


class RetentionRule(models.Model):
    """What is removed when, see `runs.retention`: the columns are those of `runs.retention.rules.Rule`."""

    experiment_key = models.UUIDField(null=True, help_text="None: of the whole site. It stays when the experiment is deleted")
    what = models.CharField(max_length=12)
    states = models.JSONField(default=list, help_text="how runs ended that it is about")
    age = models.PositiveBigIntegerField(null=True, help_text="seconds since the run ended")
    newest = models.PositiveIntegerField(null=True, help_text="so many stay, whatever their age")
    per = models.CharField(max_length=12, default="", blank=True, help_text="of what the newest are counted")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)
    changed_by = models.CharField(max_length=255, default="", blank=True)


class RetentionPass(models.Model):
    """One time that the rules were carried out, or that it was found out what they would remove (`dry`)."""

    due = models.DateTimeField(unique=True)
    dry = models.BooleanField(default=False)
    by = models.CharField(max_length=255, default="", blank=True, help_text="who asked; empty where it was time")
    rules = models.JSONField(default=list, help_text="the rules it goes by, as they were when it began")
    cursor = models.JSONField(default=dict, help_text="how far it has come")
    counts = models.JSONField(default=dict, help_text="how many of what were removed, and bytes")
    spared = models.JSONField(default=dict, help_text="how many stay for which reason")
    shown = models.JSONField(default=list, help_text="the first of what goes and what is spared, with the reason")
    problem = models.TextField(default="", blank=True, help_text="why the last try went no further")
    holder = models.CharField(max_length=64, default="", blank=True, help_text="the job that is at it")
    created_at = models.DateTimeField(default=timezone.now)
    beat_at = models.DateTimeField(null=True, help_text="when that job was last heard of")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["due"], name="pass_open", condition=models.Q(finished_at__isnull=True)),
            models.Index(fields=["dry", "-created_at"], name="pass_newest"),
        ]


class Leftover(models.Model):
    """What rows say no more and still lies on a disk, in a bucket or in the cluster; gone when it is removed there, too."""

    run_id = models.UUIDField()
    what = models.CharField(max_length=12, help_text="all of a run, its logs or its artifacts")
    pipeline_root = models.TextField(default="", blank=True)
    removal = models.ForeignKey(RetentionPass, null=True, on_delete=models.SET_NULL, related_name="leftovers")
    due = models.DateTimeField(default=timezone.now)
    tries = models.PositiveIntegerField(default=0)
    problem = models.TextField(default="", blank=True)

    class Meta:
        indexes = [models.Index(fields=["due"], name="leftover_due")]


# --- counters -------------------------------------------------------------------------------------------------------
#
# Kept by triggers of PostgreSQL in the transactions that change what is counted (SQLite counts rows itself). A change adds a
# row and locks none; `runs.tallying` puts rows together now and then, and how many there are is the sum over them all. Only
# the columns that `of` says are told apart in a row; they are called as in what is counted, so that its filters apply here.


class RunTally(models.Model):
    """How many runs there are. `of`: `experiment`, `pipeline` (both by state and storage state) or `person`."""

    of = models.CharField(max_length=12)
    namespace = models.CharField(max_length=63)
    experiment_key = models.UUIDField(null=True)
    pipeline_key = models.UUIDField(null=True)
    created_by = models.CharField(max_length=255, default="")
    state = models.CharField(max_length=12, default="")
    storage_state = models.CharField(max_length=16, default="")
    count = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["of", "namespace"], name="run_tally_of")]


class ArtifactTally(models.Model):
    """How many artifacts there are. `of`: `type` or `name`."""

    of = models.CharField(max_length=12)
    namespace = models.CharField(max_length=63)
    type = models.CharField(max_length=128, default="")
    name = models.TextField(default="")
    count = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["of", "namespace"], name="artifact_tally_of")]


class CacheTally(models.Model):
    """How many cache entries there are, how often they were used and the seconds that saved. `of`: `pipeline`."""

    of = models.CharField(max_length=12)
    namespace = models.CharField(max_length=63)
    pipeline_name = models.CharField(max_length=128, default="")
    count = models.BigIntegerField()
    hits = models.BigIntegerField(default=0)
    saved = models.FloatField(default=0)

    class Meta:
        indexes = [models.Index(fields=["of", "namespace"], name="cache_tally_of")]
