"""Messages of `/apis/kfdash/v1` about what can be done with runs and with the cache."""

from __future__ import annotations

from kfdash.wire.messages import Flag, Int32, Labels, Message, Number, Struct, Text, Texts, Time
from runs.api.serializers import VersionReference


class AgainFrom(Message):
    """The run that another takes over from, and the paths that were chosen."""

    run_id = Text()
    number = Int32()
    paths = Texts()


class OwnRun(Message):
    """A run with what KFP's message has no place for. `state` is CANCELED, not FAILED, where it was stopped."""

    run_id = Text()
    number = Int32()
    display_name = Text()
    description = Text()
    experiment_id = Text()
    pipeline_id = Text()
    pipeline_version_id = Text()
    parameters = Struct()
    cache = Text()
    tags = Labels()
    pod_template = Struct(help_text="merged underneath the pods of its steps")
    storage_state = Text()
    state = Text()
    reason = Text()
    stop = Text()
    stopped_by = Text()
    paused = Flag()
    again_from = AgainFrom(required=False)
    kept = Flag(help_text="no rule of retention removes anything of it")
    removed = Texts(help_text="when and by which rule its logs and outputs were removed")
    created_at = Time()
    created_by = Text()
    started_at = Time()
    finished_at = Time()


class ListOwnRuns(Message):
    """A page of runs."""

    runs = OwnRun(many=True, required=False)
    total_size = Int32()
    next_page_token = Text()


class LaunchRequest(Message):
    """A run of a version of a pipeline, the latest where none is named."""

    display_name = Text()
    description = Text()
    pipeline_version_reference = VersionReference(required=False)
    parameters = Struct()
    experiment_id = Text()
    cache = Text(help_text="`use`, `refresh` or `off`")
    pipeline_root = Text()
    service_account = Text()
    tags = Labels()
    pod_template = Struct(help_text="`metadata` and `spec` of a pod, where steps are pods")


class RunChanges(Message):
    """What of a run can be changed: the tags, all at once."""

    tags = Labels()


class StopRequest(Message):
    """How to stop: `force` ends steps at once and leaves exit tasks out."""

    force = Flag()


class AgainRequest(Message):
    """Which steps to run again (paths in the run), and with what; what is left out is as in the run."""

    from_paths = Texts()
    parameters = Struct()
    pipeline_version_reference = VersionReference(required=False)
    display_name = Text()
    description = Text()
    cache = Text(help_text="`use`, `refresh` or `off`")
    tags = Labels()
    pod_template = Struct(help_text="`metadata` and `spec` of a pod; an empty one takes the run's away")


class PlannedStepMessage(Message):
    """What becomes of a step: `run`, `reuse` or `skip`, and why; `sure` unless that hangs on what another step gives."""

    path = Text()
    kind = Text()
    do = Text()
    why = Text()
    sure = Flag()
    cached_from = Struct()


class PlanMessage(Message):
    """A run again before it is launched."""

    steps = PlannedStepMessage(many=True, required=False)
    counts = Struct()
    gone = Texts()
    parameters = Struct()
    dropped = Texts()
    new = Texts()


class BulkRequest(Message):
    """The same for many runs: `action` is `stop`, `archive`, `restore`, `delete` or `tag`."""

    run_ids = Texts()
    action = Text()
    force = Flag(help_text="with `stop`")
    add = Labels(help_text="with `tag`: tags to add")
    remove = Texts(help_text="with `tag`: keys of tags to take away")


class BulkMessage(Message):
    """The runs for which it was done, and a sentence for each of the others."""

    done = Texts()
    refused = Labels()


class EvictRequest(Message):
    """Which cache entries to take out: by id, all of a pipeline, or all that were of no use since a time."""

    one_of = (("entry_ids", "pipeline_name", "unused_since"),)

    entry_ids = Texts()
    pipeline_name = Text()
    unused_since = Time()


class Evicted(Message):
    """How many entries were taken out."""

    evicted = Int32()


class CacheSummary(Message):
    """The whole cache; `saved` in seconds."""

    entries = Int32()
    hits = Int32()
    saved = Number()


class NearestTask(Message):
    """An earlier task."""

    run_id = Text()
    number = Int32()
    path = Text()


class DifferenceMessage(Message):
    """Something in which two tasks differ."""

    what = Text()
    name = Text()
    before = Struct()
    after = Struct()
    sentence = Text()


class MissMessage(Message):
    """Why a step was not answered from the cache."""

    why = Text()
    nearest = NearestTask(required=False)
    differences = DifferenceMessage(many=True, required=False)


class UseMessage(Message):
    """A task of another run that was answered with a step's outputs."""

    run_id = Text()
    number = Int32()
    path = Text()
    finished_at = Time()


class ListUses(Message):
    """The newest first, at most 200."""

    uses = UseMessage(many=True, required=False)
    total_size = Int32()
