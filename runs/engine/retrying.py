"""Retrying a run that has ended: what failed or was cancelled, and what was skipped for it, waits again; the rest stays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pipelines.spec import paths
from pipelines.spec.model import ROOT
from runs.engine.draft import Draft
from runs.engine.model import Kind, State, Stop, Task
from runs.engine.transitions import RETRY_MOVES, check_move


class NotRetriable(Exception):
    """The run cannot be retried. The message is for people."""


def reset(draft: Draft, by: str = "") -> Task:
    """Puts back what did not succeed, and returns the root, to be begun again. Raises NotRetriable."""
    root = draft.find(ROOT)
    if root is None or root.state not in (State.FAILED, State.CANCELED):
        raise NotRetriable(f"Only a run that has failed or was cancelled can be retried; this one is {draft.run.state}.")
    groups = [root]
    while groups:
        groups += _reset_members(draft, groups.pop())
    draft.run = replace(draft.run, stop=Stop.NO, stopped_by="", finished_at=None, reason="")
    root = _put_back(draft, draft.get(ROOT))
    draft.tell("run.retried", ROOT, by=by)
    return root


def _reset_members(draft: Draft, group: Task) -> list[Task]:
    """Puts back a group's members that did not succeed and counts anew; returns those that are begun groups themselves."""
    members = {task.path: task for task in draft.children(group, _member_paths(draft, group))}
    again = _to_be_done_again(members)
    for path in again:
        waiting_on, blocker = _waits(draft, members[path], members, again) if group.kind is Kind.DAG else (0, "")
        _put_back(draft, members[path], waiting_on=waiting_on, blocker=blocker)
        draft.tell("task.reset", path)
    stay = [task for path, task in members.items() if path not in again]
    draft.change(
        group,
        ended=len(stay),
        succeeded=sum(task.state is State.SUCCEEDED for task in stay),
        failed=0,
        canceled=0,
        running=0,
        next_iteration=0,
    )
    return [draft.get(path) for path in again if members[path].children]


def _member_paths(draft: Draft, group: Task) -> list[str]:
    if not group.children:
        return []
    if group.kind is Kind.LOOP:
        return [paths.iteration(group.path, index) for index in range(group.children)]
    dag = draft.places[group.path].component.dag
    return [paths.child(group.path, key) for key in dag.tasks] if dag else []


def _to_be_done_again(members: dict[str, Task]) -> dict[str, None]:
    """What failed or was cancelled, and what was skipped because of it, however far away."""
    again = {path: None for path, task in members.items() if task.state in (State.FAILED, State.CANCELED)}
    settled = {path for path, task in members.items() if path not in again and not _skipped_for_another(task)}
    for path in members:
        chain = []
        while path not in again and path not in settled:
            chain.append(path)
            path = members[path].blocker
        if path in again:
            again |= dict.fromkeys(chain)
        else:
            settled.update(chain)
    return again


def _skipped_for_another(task: Task) -> bool:
    return task.state is State.SKIPPED and bool(task.blocker) and task.cause.startswith("upstream")


def _waits(draft: Draft, task: Task, members: dict[str, Task], again: Iterable[str]) -> tuple[int, str]:
    """(how many dependencies are done again, path of the first that stays without success or "")."""
    spec = draft.places[task.path].task
    assert spec is not None
    above = paths.parent(task.path)
    dependencies = [paths.child(above, key) for key in spec.dependencies]
    stay_bad = [path for path in dependencies if path not in again and members[path].state is not State.SUCCEEDED]
    return sum(path in again for path in dependencies), stay_bad[0] if stay_bad else ""


def _put_back(draft: Draft, task: Task, waiting_on: int = 0, blocker: str = "") -> Task:
    """The task in PENDING as if it had never begun; attempts keep counting, and groups keep their members."""
    check_move(task, State.PENDING, RETRY_MOVES)
    fields = {
        "state": State.PENDING,
        "outputs": None,
        "reason": "",
        "cause": "",
        "culprit": "",
        "waiting_on": waiting_on,
        "blocker": blocker,
        "failures": 0,
        "lost": 0,
        "fingerprint": "",
        "ready_at": None,
        "started_at": None,
        "finished_at": None,
    }
    return draft.change(task, **fields)
