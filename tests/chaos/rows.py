"""Looks at what a round left, in the database and the data folder of the environment: `python -m tests.chaos.rows MARKS [STEP…]`.

Prints JSON: `problems` as sentences, `figures`, and `killed`: ids of runs with a step that was killed. STEPs are names of
attempts whose processes the round itself killed.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys
from collections import Counter, defaultdict
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kfdash.settings")
django.setup()

from django.conf import settings  # noqa: E402  # the settings come first

from kfdash import outbox  # noqa: E402
from runs import logs, models  # noqa: E402
from runs.engine.model import State  # noqa: E402
from runs.engine.record import RECORDED, replay  # noqa: E402

_FINAL = [state.value for state in State if state.is_final]
_LINE = re.compile(r"^line (\d+) of (\d+)$")
_MISSING = "lines are missing here"


class Look:
    """One look at everything."""

    def __init__(self, marks: pathlib.Path, killed: set[str]) -> None:
        self.marks = {file.name: file.read_text().split() for file in marks.iterdir()}
        self.killed = killed
        self.problems: list[str] = []
        self.figures: Counter[str] = Counter()

    def all(self) -> dict[str, Any]:
        """What is wrong, and figures."""
        for run in models.Run.objects.order_by("number"):
            self.figures[f"runs {run.state}"] += 1
            self.run(run)
        self.attempts()
        self.what_is_left()
        killed = models.Attempt.objects.filter(name__in=self.killed).values_list("run_id", flat=True)
        return {"problems": self.problems, "figures": dict(self.figures), "killed": [str(run_id) for run_id in killed]}

    def run(self, run: models.Run) -> None:
        """Its state, its tasks and its events agree."""
        where = f"run {run.pk} ({run.name})"
        if run.state not in _FINAL:
            self.problems.append(f"{where} is {run.state}")
            return
        tasks = {task.path: task for task in models.Task.objects.filter(run=run)}
        for task in tasks.values():
            if task.state not in _FINAL:
                self.problems.append(f"{where}: {task.path} is {task.state} though the run has ended")
        if (root := tasks.get("root")) and root.state != run.state:
            self.problems.append(f"{where} is {run.state}, its root {root.state}")
        self.counters(where, tasks)
        self.events(where, run, tasks)

    def counters(self, where: str, tasks: dict[str, models.Task]) -> None:
        """Groups count what is below them."""
        below: dict[str, Counter[str]] = defaultdict(Counter)
        for task in tasks.values():
            below[task.parent]["FAILED, AN EXIT TASK" if self._exit_task_failed(task) else task.state] += 1
        for task in tasks.values():
            if task.kind not in ("dag", "loop") or not task.children:
                continue
            counted = below[task.path]
            told = {"children": task.children, "ended": task.ended, "succeeded": task.succeeded, "failed": task.failed}
            real = {
                "children": sum(counted.values()),
                "ended": sum(counted.values()),
                "succeeded": counted["SUCCEEDED"],
                "failed": counted["FAILED"],
            }
            if counted and told != real:
                self.problems.append(f"{where}: {task.path} counts {told}, and has {real}")

    @staticmethod
    def _exit_task_failed(task: models.Task) -> bool:
        """Its failure is no failure of the group that it is in."""
        return task.path == "root/leave" and task.state == "FAILED"

    def events(self, where: str, run: models.Run, tasks: dict[str, models.Task]) -> None:
        """The record has no gap, and replayed it gives the rows."""
        events = list(models.RunEvent.objects.filter(run=run).order_by("number"))
        self.figures["events"] += len(events)
        if [event.number for event in events] != list(range(1, run.event_number + 1)):
            self.problems.append(f"{where}: its events have gaps: {[event.number for event in events]}")
        replayed = replay(events)
        if replayed.keys() != tasks.keys():
            self.problems.append(f"{where}: replayed it has other tasks: {sorted(replayed.keys() ^ tasks.keys())[:5]}")
        for path in replayed.keys() & tasks.keys():
            told = {name: getattr(replayed[path], name) for name in RECORDED}
            rows = {name: getattr(tasks[path], name) for name in RECORDED}
            if differing := {name: (told[name], rows[name]) for name in RECORDED if told[name] != rows[name]}:
                self.problems.append(f"{where}: {path} is replayed as another (replayed, row): {differing}")

    def attempts(self) -> None:
        """Each attempt was done at most once, those that succeeded exactly once, and every line is there."""
        rows = {row.name: row for row in models.Attempt.objects.select_related("run")}
        imports = set(models.Task.objects.filter(kind="importer").values_list("run_id", "path"))
        ended: Counter[tuple[Any, str]] = Counter()
        for name in self.marks.keys() - rows.keys():
            self.problems.append(f"a step ran that nobody recorded: {name} {self.marks[name]}")
        for name, row in rows.items():
            if (row.run_id, row.path) in imports:
                self.figures["importers"] += 1
                continue
            where, marks = f"run {row.run_id}: {row.path} attempt {row.number} ({row.state})", self.marks.get(name, [])
            self.figures[f"attempts {row.state}"] += 1
            self.figures["marks"] += len(marks) > 0
            ended[row.run_id, row.path] += row.state == "SUCCEEDED"
            if row.phase != "ended":
                self.problems.append(f"{where} is still {row.phase}")
            if marks not in ([], ["began"], ["began", "done"]):
                self.problems.append(f"{where} was done more than once: {marks}")
            if row.state == "SUCCEEDED" and marks != ["began", "done"]:
                self.problems.append(f"{where} left {marks}")
            if not row.counts:
                self.figures["attempts lost"] += 1
            self.lines(where, row, marks)
        for (run_id, path), times in ended.items():
            if times > 1:
                self.problems.append(f"run {run_id}: {path} succeeded {times} times")

    def lines(self, where: str, row: models.Attempt, marks: list[str]) -> None:
        """Lines are in order; all of them are there where the step was done."""
        found = logs.read(f"{row.run_id}/{row.name}", limit=100_000)
        self.figures["lines"] += len(found)
        if [line.number for line in found] != list(range(1, len(found) + 1)):
            self.problems.append(f"{where}: lines are numbered {[line.number for line in found][:20]}")
        printed = [(int(m[1]), int(m[2])) for line in found if line.stream == "o" and (m := _LINE.match(line.text))]
        numbers = [number for number, _ in printed]
        if any(_MISSING in line.text for line in found):
            self.figures["logs that name missing lines"] += 1
            whole = numbers == sorted(set(numbers))
        else:
            whole = numbers == list(range(1, len(numbers) + 1))
            whole = whole and (row.state != "SUCCEEDED" or bool(printed) and len(printed) == printed[0][1])
        if not whole:
            self.problems.append(f"{where} printed {numbers}, its marks are {marks}")

    def what_is_left(self) -> None:
        """Nothing is under way any more: no order, no message, no folder of an attempt."""
        waiting = models.Order.objects.filter(carried_out_at=None).exclude(kind="wake")
        for order in waiting[:5]:
            self.problems.append(f"an order is left: {order.kind} {order.run_id} {order.path} {order.attempt}, due {order.due}")
        if unreleased := models.Attempt.objects.filter(released=False).count():
            self.problems.append(f"{unreleased} attempts were never released")
        server: Any = outbox.connection()
        if left := [*server.keys("kfdash:waiting"), *server.keys("kfdash:taken*"), *server.keys("kfdash:facts:*")]:
            self.problems.append(f"Redis still has {left[:5]}")
        known = {row.name for row in models.Attempt.objects.all()}
        folders = [entry.name for entry in (settings.HOST_DIR / "attempts").iterdir()]
        if folders:
            strange = [name for name in folders if name not in known]
            self.problems.append(f"{len(folders)} folders of attempts are left, {len(strange)} of them not known: {folders[:5]}")


if __name__ == "__main__":
    print(json.dumps(Look(pathlib.Path(sys.argv[1]), set(sys.argv[2:])).all(), default=str))
