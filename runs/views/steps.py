"""The left side of a run's page: graph, table or timeline of its steps, and the counts that filter them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from django.http import QueryDict

from kfdash import moment, outbox, words
from pipelines import drawing
from pipelines.drawing.picture import Look, Picture, picture, strip_marks
from pipelines.drawing.words import is_exit_task
from pipelines.spec import paths
from runs import models
from runs.critical import critical_path
from runs.messages import task_message
from runs.replay import attempts_seen
from runs.timeline import Span, axis, bars, usual_end
from runs.tree import Row, Step, Tree, rows, state_counts
from runs.usual import usual_times
from runs.wording import said

log = logging.getLogger(__name__)

VIEWS = ("graph", "table", "timeline")
ROWS_AT_ONCE = 200
_MOST_MARKS_READ = 10_000


@dataclass(frozen=True)
class Address:
    """What of the page's address is state: every link is this with something changed."""

    view: str = "graph"
    task: str = ""
    tab: str = "overview"
    attempt: int = 0
    opened: tuple[str, ...] = ()
    artifacts: bool = False
    fold: tuple[str, ...] = ()
    unfold: tuple[str, ...] = ()
    look: str = ""
    critical: bool = False
    at: int = 0  # the number of the event after which the run is seen, 0 for now

    @classmethod
    def read(cls, query: QueryDict) -> Address:
        """From the query; what is unknown is left out."""

        def many(name: str) -> tuple[str, ...]:
            return tuple(part for text in query.getlist(name) for part in text.split(",") if part)

        def number(name: str, digits: int) -> int:
            text = query.get(name, "")
            return int(text) if text.isdecimal() and len(text) <= digits else 0

        view = query.get("view", "graph")
        return cls(
            view=view if view in VIEWS else "graph",
            task=query.get("task", ""),
            tab=query.get("tab", "overview"),
            attempt=number("attempt", 5),
            opened=many("open"),
            artifacts=query.get("art") == "1",
            fold=many("fold"),
            unfold=many("unfold"),
            look=query.get("state", ""),
            critical=query.get("critical") == "1",
            at=number("at", 9),
        )

    def to(self, **changes: Any) -> str:
        """The query of this address with some of it changed."""
        now = {**self.__dict__, **changes}
        pairs = [
            ("view", now["view"] if now["view"] != "graph" else ""),
            ("task", now["task"]),
            ("tab", now["tab"] if now["tab"] != "overview" and now["task"] else ""),
            ("attempt", str(now["attempt"] or "")),
            ("open", ",".join(now["opened"])),
            ("art", "1" if now["artifacts"] else ""),
            ("fold", ",".join(now["fold"])),
            ("unfold", ",".join(now["unfold"])),
            ("state", now["look"]),
            ("critical", "1" if now["critical"] else ""),
            ("at", str(now["at"] or "")),
        ]
        return "?" + urlencode([pair for pair in pairs if pair[1]], safe="/[],:", quote_via=quote)

    @property
    def without_look(self) -> str:
        """The query without the filter by state."""
        return self.to(look="")

    def to_step(self, path: str) -> str:
        """The query that selects a step; a log stays a log."""
        return self.to(task=path, attempt=0, tab=self.tab if self.tab in ("log", "io") else "overview")


def context(run: models.Run, tree: Tree, address: Address) -> dict[str, Any]:
    """The context of `runs/_left.html`."""
    found: dict[str, Any] = {
        "counts": [
            {**count, "word": words.state_word(count["state"], attention=count["attention"], cached=count["cached"])}
            | {"on": address.look == count["look"], "href": address.to(look="" if address.look == count["look"] else count["look"])}
            for count in state_counts(tree)
        ],
        "views": [
            {"name": name, "word": word, "icon": icon, "key": key, "on": address.view == name, "href": address.to(view=name)}
            for name, word, icon, key in (
                ("graph", "Graph", "graph", "g"),
                ("table", "Table", "table", "t"),
                ("timeline", "Timeline", "gantt", "i"),
            )
        ],
        "artifacts_href": address.to(artifacts=not address.artifacts),
        "critical_href": address.to(critical=not address.critical),
        "travel_href": address.to(at=max(run.event_number, 1)) if not address.at else "",
        "address": address,
        "run": run,
        "view": address.view,
    }
    if address.view == "graph":
        found |= graph_context(run, tree, address)
    else:
        found |= rows_context(run, tree, address, 0)
    return found


# --- graph ----------------------------------------------------------------------------------------------------------


def graph_context(run: models.Run, tree: Tree, address: Address) -> dict[str, Any]:
    """The picture, or why there is none yet (`graph_missing`) or that a job draws it (`graph_waits`)."""
    specification = run.specification
    opened = tuple(paths.template(path) for path in address.opened)
    try:
        layout = drawing.find(specification.pk, opened, address.artifacts)
        if layout is None:
            if drawing.is_large(specification):
                outbox.enqueue("pipelines.jobs.draw", specification.pk, list(opened), address.artifacts)
                return {"graph": None, "graph_waits": True}
            layout = drawing.draw(specification.pk, opened, address.artifacts)
    except drawing.GraphvizMissing as error:
        log.warning("%s", error)
        return {"graph": None, "graph_missing": str(error)}
    return {"graph": run_picture(tree, layout, address)}


def run_picture(tree: Tree, layout: Mapping[str, Any], address: Address) -> Picture:
    """A layout with the run's states."""
    looks = _Looks(tree, address.task)
    drawn = {looks.concrete(thing["path"]) for thing in (*layout["nodes"], *layout["groups"])}
    selected = address.task
    while selected and selected not in drawn:  # inside a folded group: the group is marked
        selected = paths.parent(selected)
    return picture(dict(layout), look=looks.of, href=address.to_step, selected=selected)


class _Looks:
    """Template paths → how the run's task there stands; inside an opened loop, in the iteration that is looked at."""

    def __init__(self, tree: Tree, task: str) -> None:
        self.tree = tree
        self.chosen = {
            paths.template(path): index
            for path in (task, *paths.ancestors(task))
            if task and (index := paths.index(path)) is not None
        }
        self.loops = frozenset(step.path for step in tree.steps.values() if step.kind == "loop")

    def of(self, template: str) -> Look:
        path = self.concrete(template)
        step = self.tree.steps.get(path)
        if step is None:
            return self._unborn(path)
        message = task_message(step)  # type: ignore[arg-type]
        told = said(message)
        exits = step.state == "PENDING" and self._is_exit(template)
        marks = strip_marks(iteration_looks(self.tree, step)) if step.kind == "loop" else ()
        return Look(
            path=path,
            state=step.state,
            attention=step.attention,
            cached=bool(step.cached_from),
            line="always runs last" if exits else told["line"],
            said=told["why"],
            since=told["since"],
            starting=told["starting"],
            marks=marks,
            times=step.children if step.kind == "loop" and (step.children or step.ended) else None,
        )

    def concrete(self, template: str) -> str:
        """The path of a template with the iteration that is looked at for each loop on the way."""
        parts = template.split("/")
        path = parts[0]
        for part in parts[1:]:
            path = f"{path}/{part}" if path not in self.loops else f"{paths.iteration(path, self._index(path))}/{part}"
        return path

    def _index(self, loop: str) -> int:
        chosen = self.chosen.get(paths.template(loop))
        if chosen is not None:
            return chosen
        below = self.tree.iterations(loop)
        for state in ("FAILED", "RUNNING"):
            for step in below:
                if step.state == state:
                    return paths.index(step.path) or 0
        return 0

    def _unborn(self, path: str) -> Look:
        """A task whose group has not begun has no row: it stands as its group does, if that has ended."""
        above = self.tree.nearest(path)
        state = above.state if above is not None and above.state in ("SKIPPED", "CANCELED") else "PENDING"
        return Look(path, state, line="", said=above.reason if above is not None and state != "PENDING" else "")

    def _is_exit(self, template: str) -> bool:
        task, _ = self.tree.spec.at(template)
        return task is not None and is_exit_task(task)


def iteration_looks(tree: Tree, loop: Step) -> list[Look]:
    """All iterations of a loop, also those that have not begun."""
    below = {paths.index(step.path): step for step in tree.iterations(loop.path)}
    count = min(max(loop.children, len(below)), _MOST_MARKS_READ)
    ended = loop.state in ("SKIPPED", "CANCELED", "FAILED")
    looks = []
    for index in range(count):
        step = below.get(index)
        path = paths.iteration(loop.path, index)
        if step is None:
            looks.append(Look(path, "CANCELED" if ended else "PENDING", said=f"[{index}]"))
            continue
        word = words.state_word(step.state, attention=step.attention, cached=bool(step.cached_from)).lower()
        looks.append(Look(path, step.state, step.attention, bool(step.cached_from), said=f"[{index}] {word}"))
    return looks


# --- table and timeline ---------------------------------------------------------------------------------------------


def rows_context(run: models.Run, tree: Tree, address: Address, first: int) -> dict[str, Any]:
    """Rows from number `first`, ready to print, and where the next ones begin."""
    found = filtered(tree, address)
    window = found[first : first + ROWS_AT_ONCE]
    context: dict[str, Any] = {
        "rows": [_row(tree, row, address) for row in window],
        "next_rows": first + ROWS_AT_ONCE if len(found) > first + ROWS_AT_ONCE else 0,
        "rows_left": len(found) - first - len(window),
        "address": address,
        "run": run,
    }
    if address.view == "timeline":
        context |= _timeline(run, tree, context["rows"], address)
    return context


def filtered(tree: Tree, address: Address) -> list[Row]:
    """The rows that the address asks for: a tree, or, with a state chosen, the steps in that state."""
    if not address.look:
        return rows(tree, fold=address.fold, unfold=address.unfold)
    loops = [path for path, step in tree.steps.items() if step.kind == "loop"]
    chosen = [row for row in rows(tree, unfold=loops) if not row.folds and look_of(row.step) == address.look]
    for row in chosen:
        row.depth = 0
    return chosen


def look_of(step: Step) -> str:
    """The state with WAITING and CACHED told apart."""
    return words.state_mark(step.state, attention=step.attention, cached=bool(step.cached_from))


def _row(tree: Tree, row: Row, address: Address) -> dict[str, Any]:
    step = row.step
    message = task_message(step)  # type: ignore[arg-type]
    told = said(message)
    group = step.kind in ("dag", "loop")
    begin = step.started_at or step.ready_at
    queued = (step.started_at or step.finished_at or moment.now()) - step.ready_at if step.ready_at and not group else None
    unbegun = step.state in ("FAILED", "CANCELED") and step.started_at is None
    ran = begin is not None and not unbegun and step.state not in ("PENDING", "SKIPPED")
    return {
        "path": step.path,
        "depth": row.depth,
        "name": row.name,
        "type": "exit" if row.exit else row.type,
        "state": step.state,
        "attention": step.attention,
        "cached": bool(step.cached_from),
        "starting": told["starting"],
        "look": look_of(step),
        "icon": "STARTING" if told["starting"] else look_of(step),
        "word": words.state_word(step.state, attention=step.attention, cached=bool(step.cached_from), starting=told["starting"]),
        "why": "Runs last, whatever happens" if row.exit and step.state == "PENDING" else told["why"],
        "hot": step.state == "FAILED" or step.attention,
        "tries": step.attempt if step.attempt and not group else None,
        "queued": words.duration(queued.total_seconds()) if queued is not None and step.state != "SKIPPED" else words.UNKNOWN,
        "duration": words.duration(((step.finished_at or moment.now()) - begin).total_seconds()) if ran else words.UNKNOWN,
        "since": moment.ticks(begin) if ran and step.finished_at is None else "",
        "selected": step.path == address.task,
        "href": address.to_step(step.path),
        "folds": row.folds,
        "folded": row.folded,
        "fold_href": _fold_href(row, tree, address) if row.folds else "",
        "step": step,
    }


def _fold_href(row: Row, tree: Tree, address: Address) -> str:
    path = row.step.path
    if row.folded:
        fold = tuple(other for other in address.fold if other != path)
        large = len(tree.children.get(path, ())) > 0 and path not in address.fold
        return address.to(fold=fold, unfold=(*address.unfold, path) if large else address.unfold)
    if path in address.unfold:
        return address.to(unfold=tuple(other for other in address.unfold if other != path))
    return address.to(fold=(*address.fold, path))


def _timeline(run: models.Run, tree: Tree, shown: list[dict[str, Any]], address: Address) -> dict[str, Any]:
    begin, end = run.started_at or run.created_at, run.finished_at or moment.now()
    attempts: dict[str, list[models.Attempt]] = {}
    wanted = [row["path"] for row in shown if row["tries"]]
    for start in range(0, len(wanted), 400):
        for attempt in models.Attempt.objects.filter(run=run, path__in=wanted[start : start + 400]).order_by("number"):
            attempts.setdefault(attempt.path, []).append(attempt)
    span = Span.over(begin, end, running=run.finished_at is None)
    usual = usual_times(run, [row["path"] for row in shown])
    critical = critical_path(tree) if address.critical else frozenset()
    since = _first_begins(attempts)
    for row in shown:
        step = row["step"]
        seen = attempts_seen(attempts.get(row["path"], []), step)
        row["bars"] = bars(step, seen, span, end, since=since.get(row["path"]))
        row["critical"] = row["path"] in critical
        if (seconds := usual.get(row["path"])) is not None and not step.cached_from:
            row["usual"] = words.duration(seconds)
            row["usual_x"] = usual_end(step, seconds, span)
    return {"axis": axis(span), "now": span.percent(end) if run.finished_at is None else None}


def _first_begins(attempts: Mapping[str, list[models.Attempt]]) -> dict[str, datetime]:
    """When the first attempt in a group began, by the group's path."""
    found: dict[str, datetime] = {}
    for path, several in attempts.items():
        begin = min((attempt.queued_at for attempt in several if attempt.queued_at is not None), default=None)
        for above in paths.ancestors(path) if begin is not None else ():
            found[above] = min(found.get(above, begin), begin)
    return found
