"""The page of a run: complete from the server, its parts again for the script that keeps it fresh, and what is done to it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_http_methods, require_safe

from kfdash import moment, words
from kfdash.rights import by
from kfdash.wire.streaming import stream_text
from pipelines import specifications
from pipelines.source import marked
from pipelines.spec.platform import local_notices
from runs import logs, logstore, models, services
from runs.engine.model import State
from runs.messages import snapshot
from runs.removed import removed_sentence
from runs.replay import Moment, read_moment
from runs.tree import Step, Tree, read_tree, step_name
from runs.views import panel, steps, travel
from runs.views.again import again_href, failed_paths, launch_href
from runs.views.control import same_page
from runs.views.loglines import gone
from runs.views.overview import usual_time
from runs.views.steps import Address

_PARTS = {"left": "runs/_left.html", "panel": "runs/_panel.html", "head": "runs/_head.html", "rows": "runs/_steprows.html"}
_LOG_LIMIT = 1000  # lines in one answer
_FOUND_LIMIT = 500


@require_safe
def run_detail(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """The page; `part=left|panel|head|rows` gives that part of it alone, `part=moment` all of them as JSON.

    With `at` it is as it was after that event.
    """
    run = _run(run_id)
    spec = specifications.load(run.specification_id)
    address = Address.read(request.GET)
    seen = read_moment(run, spec, address.at) if address.at else None
    address = replace(address, at=seen.number if seen else 0)
    with moment.seen_at(seen.at if seen else None):
        return _render(request, run, seen.tree if seen else read_tree(run, spec), address, seen)


def _render(request: HttpRequest, run: models.Run, tree: Tree, address: Address, seen: Moment | None) -> HttpResponse:
    part = request.GET.get("part", "")
    if part == "rows":
        first = request.GET.get("from", "0")
        return render(request, _PARTS[part], steps.rows_context(run, tree, address, int(first) if first.isdecimal() else 0))
    if part == "moment":
        return JsonResponse(_moment(request, run, tree, address, seen))
    if not part and not address.task and run.state == State.FAILED and seen is None:
        address = _at_first_failure(tree, address)
    context: dict[str, Any] = {"run": run, "section": "runs", "address": address, "event_number": run.event_number}
    if seen is not None:
        context["travel"] = travel.context(run, seen, address)
    if part in ("", "head"):
        context |= head(run, tree, address)
    if part in ("", "left"):
        context |= steps.context(run, tree, address)
    if part in ("", "panel"):
        context["panel"] = panel.context(run, tree, address)
    return render(request, _PARTS.get(part, "runs/run.html"), context)


def _moment(request: HttpRequest, run: models.Run, tree: Tree, address: Address, seen: Moment | None) -> dict[str, Any]:
    """The parts as HTML; where the page has its graph already (`drawn=1`), the states to paint instead of the left one."""
    context = {"run": run, "address": address, "travel": travel.context(run, seen, address) if seen is not None else None}
    context |= head(run, tree, address) | {"panel": panel.context(run, tree, address)}
    drawn = address.view == "graph" and request.GET.get("drawn") == "1"
    if not drawn:
        context |= steps.context(run, tree, address)
    parts = {
        name: render_to_string(template, context, request)
        for name, template in {**_PARTS, "travel": "runs/_travel.html"}.items()
        if name != "rows" and not (name == "left" and drawn)
    }
    told = snapshot(run, tree.steps.values()) if drawn else None
    title = f"{words.state_word(run.state)}: {run.name} #{run.number} · kfdash"
    return {**parts, "title": title, "snapshot": told}


def _run(run_id: uuid.UUID) -> models.Run:
    rows = models.Run.objects.select_related("version__pipeline", "experiment", "specification")
    return get_object_or_404(rows.defer("specification__pipeline", "specification__platform", "version__package"), pk=run_id)


def _at_first_failure(tree: Tree, address: Address) -> Address:
    """A failed run opens at the log of the step that explains it."""
    culprit = tree.cause_of(tree.root)
    if culprit is None or culprit is tree.root:
        return address
    return replace(address, task=culprit.path, tab="log" if culprit.attempt else "overview")


# --- the head -------------------------------------------------------------------------------------------------------


def head(run: models.Run, tree: Tree, address: Address) -> dict[str, Any]:
    """Title, facts, banner or notice, and what the stop dialog says."""
    root = tree.root
    template = services.pod_template_text(run.pod_template)
    usual = usual_time(run, "root") if root is not None and root.state == "RUNNING" else None
    return {
        "trouble": _trouble(run, tree, address),
        "usual": f"{round(usual / 60)} min" if usual and usual >= 90 else words.duration(usual) if usual else "",
        "is_final": State(run.state).is_final,
        "notices": _notices(tree) if settings.EXECUTOR == "local" else [],
        "pod_template": template,
        "pod_template_marked": marked(template, "yaml"),
        "launch_href": launch_href(run),
        "again": _again_ways(run, tree),
    }


def _again_ways(run: models.Run, tree: Tree) -> dict[str, Any]:
    """How the run can go on or be run again: in place, from a step; and what a pause means for it now."""
    running = sum(1 for step in tree.leaves() if step.state == "RUNNING")
    return {
        "retry": run.state in (State.FAILED, State.CANCELED),
        "from_failed": again_href(run, *failed_paths(tree)) if run.state == State.FAILED else "",
        "pausable": not State(run.state).is_final and not run.stop,
        "goes_on": f"{words.counted(running, 'running step')} go{'es' if running == 1 else ''} on." if running else "Nothing runs.",
    }


def _notices(tree: Tree) -> list[str]:
    return list(dict.fromkeys(notice.sentence for notice in local_notices(tree.spec)))


def _trouble(run: models.Run, tree: Tree, address: Address) -> dict[str, Any] | None:
    """The banner of a failed run, or the notice of a first trouble while it goes on: who, why, and what follows."""
    failures = [step for step in tree.failures() if step is not tree.root]
    if run.state == State.FAILED and not failures:
        return {"state": "FAILED", "banner": True, "name": "", "reason": run.reason or "The run failed.", "more": "", "href": ""}
    step = failures[0] if failures else None
    if step is not None:
        count = len(failures)
        skipped = [leaf for leaf in tree.leaves() if leaf.state == "SKIPPED" and leaf.cause.startswith("upstream")]
        more = f"{count} steps failed; this was the first. " if count > 1 else ""
        if run.state == State.FAILED:
            more += _did_not_run(tree, skipped)
        else:
            more += "Other steps go on." if not State(run.state).is_final else ""
        return {
            "state": "FAILED",
            "banner": run.state == State.FAILED,
            "name": step_name(tree.spec, step.path),
            "path": step.path,
            "verb": "failed:",
            "reason": step.reason,
            "log": bool(step.attempt),
            "more": more,
            "href": address.to(task=step.path, tab="log" if step.attempt else "overview", attempt=0),
        }
    waiting = next((leaf for leaf in tree.leaves() if leaf.state == "PENDING" and leaf.attention), None)
    if waiting is not None and not State(run.state).is_final:
        return {
            "state": "PENDING",
            "banner": False,
            "name": step_name(tree.spec, waiting.path),
            "path": waiting.path,
            "verb": "is waiting" if waiting.reason.startswith("Waiting") else "waits:",
            "reason": waiting.reason.removeprefix("Waiting "),
            "more": "",
            "href": address.to(task=waiting.path, tab="overview", attempt=0),
        }
    return None


def _did_not_run(tree: Tree, skipped: list[Step]) -> str:
    if not skipped:
        return ""
    names = [step_name(tree.spec, step.path) for step in skipped[:2]]
    if len(skipped) > 2:
        return f"{', '.join(names)} and {words.counted(len(skipped) - 2, 'more step')} did not run because of it."
    return f"{' and '.join(names)} did not run because of it."


def _stop_question(run: models.Run, tree: Tree) -> dict[str, Any]:
    """What the dialog says: what happens to whom, exit tasks included; after a first stop it offers the second kind."""
    leaves = list(tree.leaves())
    running = sum(1 for step in leaves if step.state in ("RUNNING", "CANCELING"))
    waiting = sum(1 for step in leaves if step.state == "PENDING" and not _is_exit_step(tree, step))
    exits = _exit_names(tree)
    if run.stop:
        text = f"{words.counted(running, 'running step')} will be ended at once." if running else "Nothing runs any more."
        text += f" {_and(exits)} will not run." if exits else ""
        return {"again": True, "text": text}
    parts = [
        f"{words.counted(running, 'running step')} get{'s' if running == 1 else ''} {settings.STOP_GRACE} s to end"
        if running
        else ""
    ]
    parts.append(f"{words.counted(waiting, 'step')} will not start" if waiting else "")
    text = ", ".join(part for part in parts if part) or "What has not begun will not start"
    return {
        "again": False,
        "text": f"{text}.",
        "exits": f"{_and(exits)} still run{'s' if len(exits) == 1 else ''}." if exits else "",
    }


def _exit_names(tree: Tree) -> list[str]:
    """Top-level exit tasks that have not ended."""
    steps = (step for step in tree.children.get("root", []) if _is_exit_step(tree, step) and not State(step.state).is_final)
    return [step_name(tree.spec, step.path) for step in steps]


def _is_exit_step(tree: Tree, step: Step) -> bool:
    task, _ = tree.spec.at(step.path)
    return step.parent == "root" and task is not None and task.waits_for_any_end and bool(task.dependencies)


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


# --- what is done to it ---------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def run_stop(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """Asks first, saying what happens to whom; then stops the run, with `force=1` at once and without exit tasks."""
    run = _run(run_id)
    if request.method == "GET":
        tree = read_tree(run, specifications.load(run.specification_id))
        return render(
            request, "runs/_stop.html", {"run": run, "stop": _stop_question(run, tree), "query": Address.read(request.GET).to}
        )
    force = request.POST.get("force") == "1"
    try:
        services.stop_run(run, by=by(request), force=force)
    except services.NotStoppable as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{run.name} #{run.number} is being stopped{' at once' if force else ''}.")
    return redirect(same_page(request, run))


# --- its logs -------------------------------------------------------------------------------------------------------


def _log(run_id: uuid.UUID, request: HttpRequest) -> tuple[models.Attempt, str]:
    attempt = models.Attempt.objects.filter(run_id=run_id, name=request.GET.get("attempt", "")).first()
    if attempt is None:
        raise Http404("This run has no such attempt.")
    return attempt, f"{run_id}/{attempt.name}"


@require_safe
def run_log(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """Lines of an attempt's log from number `first`, at most `limit`: `{lines: [[number, µs, stream, level, text]], count}`."""
    attempt, key = _log(run_id, request)
    first, limit = (request.GET.get(name, "") for name in ("first", "limit"))
    found = logs.read(
        key,
        first=max(1, int(first)) if first.isdecimal() else 1,
        limit=min(_LOG_LIMIT, int(limit)) if limit.isdecimal() else panel.LOG_BLOCK,
    )
    return JsonResponse(
        {"lines": [_line(line) for line in found], "count": logs.count(key), "ended": attempt.finished_at is not None}
    )


@require_safe
def run_log_search(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """Lines that contain `q` and have `level` or a worse one, after number `after`: `{found: […], more: bool}`."""
    _, key = _log(run_id, request)
    after, level = request.GET.get("after", ""), request.GET.get("level", "")
    found = logs.search(
        key,
        request.GET.get("q", ""),
        level=level if level in ("warning", "error") else "",
        after=int(after) if after.isdecimal() else 0,
        limit=_FOUND_LIMIT,
    )
    return JsonResponse({"found": [_line(line) for line in found], "more": len(found) == _FOUND_LIMIT})


@require_safe
def run_log_download(request: HttpRequest, run_id: uuid.UUID) -> HttpResponseBase:
    """The whole log as a text file; 410 where a rule removed it."""
    attempt, key = _log(run_id, request)
    if not logs.count(key) and (said := removed_sentence(_run(run_id), "logs")):
        return gone(request, said)
    response: HttpResponseBase = stream_text(request, logs.stream_text(key))
    response["Content-Disposition"] = f'attachment; filename="{attempt.name}.log"'
    return response


def _line(line: logs.LogLine) -> list[Any]:
    level = "sys" if line.stream == "k" else logstore.level_of(line)
    return [line.number, line.at, line.stream, level, line.text]
