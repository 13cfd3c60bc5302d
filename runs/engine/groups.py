"""What follows from what: tasks become ready, groups begin, their members end, groups end.

Everything goes through the draft's agenda instead of calling itself, so that a long chain is not a deep one.
"""

from __future__ import annotations

from datetime import timedelta

from pipelines.spec import cel, paths
from pipelines.spec.model import ROOT
from runs.engine import again, loops
from runs.engine.conditions import unmet
from runs.engine.draft import Draft, Then
from runs.engine.inputs import Scope, Unresolved, resolve, root_inputs
from runs.engine.model import Kind, State, Task, WakeLater
from runs.engine.outputs import dag_outputs, loop_outputs
from runs.engine.places import Place
from runs.engine.reasons import blocked, group_failure


def settle(draft: Draft) -> None:
    """Works off the agenda: all that follows from what has changed."""
    while draft.agenda:
        then, path = draft.agenda.popleft()
        match then:
            case Then.READY:
                _ready(draft, draft.get(path))
            case Then.ITERATE:
                _iterate(draft, draft.get(path))
            case Then.ENDED:
                _ended(draft, draft.get(path))


# --- beginning ------------------------------------------------------------------------------------------------------


def begin_run(draft: Draft) -> None:
    """Makes the root task and begins it; a run stopped before it began is cancelled."""
    root = Task(ROOT, draft.places[ROOT].kind, created_at=draft.now)
    draft.create(root)
    if draft.run.stop:
        draft.end(root, State.CANCELED, reason="Stopped before it began.", cause="stopped")
    else:
        begin_root(draft, root)


def begin_root(draft: Draft, root: Task) -> None:
    """Begins the root with the run's arguments, for the first time or again."""
    try:
        inputs = root_inputs(draft.run, draft.spec.root)
    except Unresolved as error:
        draft.fail(root, str(error), "inputs")
        return
    _begin(draft, draft.change(root, inputs=inputs, ready_at=draft.now))
    limit = time_limit(draft)
    if limit:
        draft.orders.append(WakeLater(ROOT, draft.now + timedelta(seconds=limit)))


def time_limit(draft: Draft) -> float:
    """The run's own limit in seconds, 0 for none."""
    seconds = draft.spec.platform.pipeline.get("activeDeadlineSeconds", 0)
    return max(0.0, float(seconds or 0))


def _ready(draft: Draft, task: Task) -> None:
    """Begins a task that waits for nothing more, or says why it does not."""
    if task.state is not State.PENDING or task.ready_at is not None:
        return
    place = draft.places[task.path]
    assert place.task is not None
    group = draft.get(place.parent)
    if group.state is State.PENDING:
        return  # retried, and not its group's turn yet
    if task.blocker and not place.task.waits_for_any_end:
        _skip_blocked(draft, task)
        return
    if draft.held:
        return
    if task.kind is Kind.LOOP and task.children:
        _begin(draft, draft.change(task, ready_at=draft.now))  # retried: its iterations are there, and their items stay
        return
    try:
        inputs = resolve(Scope(draft, group), place)
        false = unmet(place.task.trigger.condition, inputs)
    except Unresolved as error:
        draft.fail(task, str(error), "inputs")
        return
    except cel.ExpressionError as error:
        draft.fail(draft.change(task, inputs=inputs), f"Its condition has no answer: {error}", "condition-error")
        return
    task = draft.change(task, inputs=inputs)
    if false is None:
        _begin(draft, draft.change(task, ready_at=draft.now))
    elif place.kind is Kind.LOOP:
        # A loop whose condition is false goes over nothing, so that a fan-in over it is empty.
        outputs = loop_outputs(draft, task, place.component)
        reason = false.replace("Skipped", "No iterations", 1)
        draft.succeed(task, outputs, reason=reason, cause="condition", cached_from=again.came_from(draft, task, []))
    else:
        draft.end(task, State.SKIPPED, reason=false, cause="condition")


def _begin(draft: Draft, task: Task) -> None:
    """Begins a task whose inputs are there: groups get their members, steps are looked at when orders are decided."""
    if task.kind is Kind.LOOP:
        loops.begin(draft, task)
    elif task.kind is Kind.DAG:
        _begin_dag(draft, task)
    elif not again.take_over(draft, task):
        draft.startable[task.path] = None


def _begin_dag(draft: Draft, group: Task) -> None:
    dag = draft.places[group.path].component.dag
    assert dag is not None
    if group.children:
        _go_on(draft, group, [paths.child(group.path, key) for key in dag.tasks])
        return
    group = draft.move(group, State.RUNNING, started_at=draft.now, children=len(dag.tasks))
    if draft.earlier is not None:
        draft.earlier.prefetch([group.path, *(paths.child(group.path, key) for key in dag.tasks)])
    for key, spec in dag.tasks.items():
        path = paths.child(group.path, key)
        draft.create(Task(path, draft.places[path].kind, waiting_on=len(spec.dependencies), created_at=draft.now))
        if not spec.dependencies:
            draft.agenda.append((Then.READY, path))
    if not dag.tasks:
        _end_group(draft, group)


def _go_on(draft: Draft, group: Task, members: list[str]) -> None:
    """Begins a DAG again whose members are there from before the run was retried."""
    group = draft.move(group, State.RUNNING, started_at=draft.now)
    for member in draft.children(group, members):
        if member.state is State.PENDING and member.waiting_on == 0:
            draft.agenda.append((Then.READY, member.path))
    if group.ended == group.children:
        _end_group(draft, group)


def _iterate(draft: Draft, loop: Task) -> None:
    """Begins as many iterations as the loop's limit allows."""
    if loop.state is not State.RUNNING or draft.held:
        return
    for iteration in loops.next_iterations(draft, loop):
        try:
            inputs = loops.iteration_inputs(draft, iteration)
        except Unresolved as error:
            draft.fail(iteration, str(error), "inputs")
            continue
        _begin(draft, draft.change(iteration, inputs=inputs, ready_at=draft.now))


# --- ending ---------------------------------------------------------------------------------------------------------


def _ended(draft: Draft, task: Task) -> None:
    """Tells a final task's end to the group around it and to the tasks that wait for it."""
    if task.path == ROOT:
        return
    place = draft.places[task.path]
    group = _count(draft, draft.get(place.parent), task, place)
    if place.index is None:
        _tell_dependants(draft, task, place)
    elif group.next_iteration < group.children:
        draft.agenda.append((Then.ITERATE, group.path))
    if group.ended == group.children:
        _end_group(draft, group)


def _count(draft: Draft, group: Task, task: Task, place: Place) -> Task:
    """Adds an ended member to its group's counters."""
    counts_as_failed = task.state is State.FAILED and not (place.index is None and place.task and place.task.waits_for_any_end)
    begun = place.index is not None and place.index < group.next_iteration
    return draft.change(
        group,
        ended=group.ended + 1,
        succeeded=group.succeeded + (task.state is State.SUCCEEDED),
        failed=group.failed + counts_as_failed,
        canceled=group.canceled + (task.state is State.CANCELED),
        running=group.running - begun,
        culprit=group.culprit or (task.culprit if counts_as_failed else ""),
    )


def _tell_dependants(draft: Draft, task: Task, place: Place) -> None:
    dag = draft.places[place.parent].component.dag
    assert dag is not None
    waiting = [paths.child(place.parent, key) for key in dag.dependants[place.key]]
    if not waiting:
        return
    draft.prefetch(waiting)
    for path in waiting:
        dependant = draft.get(path)
        if dependant.state is not State.PENDING:
            continue
        blocker = dependant.blocker or (task.path if task.state is not State.SUCCEEDED else "")
        dependant = draft.change(dependant, waiting_on=dependant.waiting_on - 1, blocker=blocker)
        spec = draft.places[path].task
        if dependant.waiting_on == 0:
            draft.agenda.append((Then.READY, path))
        elif blocker and spec and not spec.waits_for_any_end:
            _skip_blocked(draft, dependant)


def _skip_blocked(draft: Draft, task: Task) -> None:
    blocker = draft.get(task.blocker)
    reason, cause = blocked(blocker)
    draft.end(task, State.SKIPPED, reason=reason, cause=cause, culprit=blocker.culprit)


def _end_group(draft: Draft, group: Task) -> None:
    """Ends a group all of whose members have ended: its state is a function of theirs."""
    if group.path == ROOT and draft.run.stop:
        end_stopped_run(draft, group)
    elif group.canceled:
        draft.end(group, State.CANCELED, reason="Stopped.", cause="stopped")
    elif group.failed:
        draft.fail(group, group_failure(draft, group), "step-failed", culprit=group.culprit)
    else:
        component = draft.places[group.path].component
        outputs = loop_outputs(draft, group, component) if group.kind is Kind.LOOP else dag_outputs(draft, group, component)
        draft.succeed(group, outputs, cached_from=_came_from(draft, group))


def _came_from(draft: Draft, group: Task) -> str:
    if draft.earlier is None or group.path == ROOT:
        return ""
    dag = draft.places[group.path].component.dag
    if group.kind is Kind.LOOP:
        return again.came_from(draft, group, [paths.iteration(group.path, index) for index in range(group.children)])
    return again.came_from(draft, group, [paths.child(group.path, key) for key in dag.tasks] if dag else [])


def end_stopped_run(draft: Draft, root: Task) -> None:
    """Ends the root of a run that was stopped: by its own time limit it has failed, else it is cancelled."""
    if root.cause.startswith("deadline"):
        reason = f"Ran longer than its time limit of {time_limit(draft):g} seconds, and was stopped."
        draft.fail(root, reason, "deadline")
    else:
        by = f" by {draft.run.stopped_by}" if draft.run.stopped_by else ""
        draft.end(root, State.CANCELED, reason=f"Stopped{by}.", cause="stopped")
