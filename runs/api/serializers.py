"""Messages about runs and experiments: what KFP's v2beta1 API takes and gives."""

from __future__ import annotations

from kfdash.wire.messages import Flag, Int32, Int64, Message, Number, Status, Struct, Text, Time, Word

STORAGE_STATES = {"STORAGE_STATE_UNSPECIFIED": 0, "AVAILABLE": 1, "ARCHIVED": 2}
RUNTIME_STATES = {
    "RUNTIME_STATE_UNSPECIFIED": 0,
    "PENDING": 1,
    "RUNNING": 2,
    "SUCCEEDED": 3,
    "SKIPPED": 4,
    "FAILED": 5,
    "CANCELING": 6,
    "CANCELED": 7,
    "PAUSED": 8,
}


class ExperimentMessage(Message):
    """An experiment."""

    experiment_id = Text()
    display_name = Text()
    description = Text()
    created_at = Time(read_only=True)
    namespace = Text()
    storage_state = Word(STORAGE_STATES, read_only=True)
    last_run_created_at = Time(read_only=True)


class ListExperiments(Message):
    """A page of experiments."""

    experiments = ExperimentMessage(many=True, required=False)
    total_size = Int32()
    next_page_token = Text()


class VersionReference(Message):
    """A version of a pipeline; without a version's id, the latest one."""

    pipeline_id = Text()
    pipeline_version_id = Text()


class RuntimeConfig(Message):
    """A run's parameters, and where its artifacts go."""

    parameters = Struct()
    pipeline_root = Text()


class RuntimeStatus(Message):
    """A state, and since when."""

    update_time = Time()
    state = Word(RUNTIME_STATES)
    error = Status(required=False)


class ChildTask(Message):
    """A task below another."""

    task_id = Text()
    pod_name = Text()


class TaskDetail(Message):
    """A task of a run. KFP's lists have no `inputs` and `outputs`; a run that is got by its id has them."""

    run_id = Text()
    task_id = Text()
    display_name = Text()
    create_time = Time()
    start_time = Time()
    end_time = Time()
    state = Word(RUNTIME_STATES)
    execution_id = Int64()
    inputs = Struct()
    outputs = Struct()
    parent_task_id = Text()
    child_tasks = ChildTask(many=True, required=False)
    state_history = RuntimeStatus(many=True, required=False)
    error = Status(required=False)
    pod_name = Text()


class RunDetails(Message):
    """The tasks of a run."""

    pipeline_context_id = Int64()
    pipeline_run_context_id = Int64()
    task_details = TaskDetail(many=True, required=False)


class RunMessage(Message):
    """A run. Its pipeline is a version's, or comes along in `pipeline_spec`."""

    one_of = (("pipeline_version_id", "pipeline_spec", "pipeline_version_reference"),)

    experiment_id = Text()
    run_id = Text()
    display_name = Text()
    storage_state = Word(STORAGE_STATES)
    description = Text()
    pipeline_version_id = Text(help_text="Deprecated and ignored.")
    pipeline_spec = Struct()
    pipeline_version_reference = VersionReference(required=False)
    runtime_config = RuntimeConfig(required=False)
    service_account = Text()
    created_at = Time()
    scheduled_at = Time()
    finished_at = Time()
    state = Word(RUNTIME_STATES)
    error = Status(required=False)
    run_details = RunDetails(required=False)
    recurring_run_id = Text()
    state_history = RuntimeStatus(many=True, required=False)
    plugins_input = Struct()
    plugins_output = Struct()


class ListRuns(Message):
    """A page of runs."""

    runs = RunMessage(many=True, required=False)
    total_size = Int32()
    next_page_token = Text()


class ReadArtifact(Message):
    """An artifact's bytes in base64."""

    data = Text()


# --- /apis/kfdash/v1 ------------------------------------------------------------------------------------------------


class AttemptMessage(Message):
    """One try of a step."""

    name = Text()
    number = Int32()
    state = Text()
    phase = Text()
    reason = Text()
    cause = Text()
    exit_code = Int32()
    peak_memory = Int32()
    queued_at = Time()
    starting_at = Time()
    running_at = Time()
    collecting_at = Time()
    finished_at = Time()


class TaskMessage(Message):
    """A task of a run: `path` is its address, `parent` the path of the group above."""

    id = Text()
    path = Text()
    parent = Text()
    name = Text()
    kind = Text()
    state = Text()
    reason = Text()
    cause = Text()
    culprit = Text()
    attention = Flag()
    cached_from = Struct()
    inputs = Struct()
    outputs = Struct()
    attempt = Int32()
    children = Int32()
    ended = Int32()
    succeeded = Int32()
    failed = Int32()
    ready_at = Time()
    started_at = Time()
    finished_at = Time()
    attempts = AttemptMessage(many=True, required=False)


class ListTasks(Message):
    """Tasks of a run, a group before what is in it."""

    tasks = TaskMessage(many=True, required=False)
    total_size = Int32()


class LogLineMessage(Message):
    """A line of a log."""

    number = Int32()
    at = Time()
    stream = Text()
    text = Text()


class LogPage(Message):
    """Consecutive lines of a log, and how many there are by now."""

    lines = LogLineMessage(many=True, required=False)
    total_size = Int32()
    ended = Flag()


class EventMessage(Message):
    """What happened in a run. Numbers count from 1 within it."""

    number = Int32()
    at = Time()
    kind = Text()
    path = Text()
    attempt = Int32()
    data = Struct()


class ListEvents(Message):
    """Events of a run in order, and the number of the last there is."""

    events = EventMessage(many=True, required=False)
    last_number = Int32()


class ArtifactMessage(Message):
    """An artifact: made by the task at `path` as its output `name`."""

    artifact_id = Int64()
    run_id = Text()
    path = Text()
    name = Text()
    type = Text()
    schema_version = Text()
    uri = Text()
    metadata = Struct()
    size = Int64()
    created_at = Time()


class ListArtifacts(Message):
    """Artifacts in the order in which they were made."""

    artifacts = ArtifactMessage(many=True, required=False)
    total_size = Int32()
    next_page_token = Text()


class CacheEntryMessage(Message):
    """The kept outputs of a step, how often they were used, and the seconds that each use saves."""

    entry_id = Int64()
    pipeline_name = Text()
    fingerprint = Text()
    run_id = Text()
    run_number = Int32()
    path = Text()
    outputs = Struct()
    seconds = Number()
    hits = Int32()
    saved = Number()
    size = Int64()
    created_at = Time()
    last_hit_at = Time()


class ListCacheEntries(Message):
    """A page of cache entries."""

    entries = CacheEntryMessage(many=True, required=False)
    total_size = Int32()
    next_page_token = Text()
