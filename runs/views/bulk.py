"""What is done to many runs at once from their list: stop, tag, archive, restore, delete; each asks first where it has to."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from kfdash.rights import by
from kfdash.words import counted, size
from pipelines.labels import read_tags
from pipelines.spec.problems import Refused
from runs import services
from runs.engine.model import State
from runs.models import Run


@require_http_methods(["GET", "POST"])
def runs_bulk(request: HttpRequest) -> HttpResponse:
    """Does `action` to the runs `id=…`; a GET is the question before a stop or a deletion, or the dialog for tags."""
    query = request.GET if request.method == "GET" else request.POST
    action = query.get("action", "delete" if request.method == "GET" else "")
    if action not in _DONE:
        return _said(f"There is no action {action[:80]!r}.", 400)
    ids = run_ids(query)
    runs = list(Run.objects.select_related("experiment").filter(pk__in=ids).order_by("-created_at", "-id"))
    if not runs:
        return _said("No run is selected.", 404)
    try:
        if request.method == "GET":
            return _QUESTIONS[action](request, runs) if action in _QUESTIONS else _said(f"Nothing is asked before {action}.", 405)
        if action == "tag":
            return _tag(request, runs)
        if action == "stop":
            bulk = services.stop_runs([run.pk for run in runs if not State(run.state).is_final], by=by(request))
        else:
            bulk = _ACTIONS[action]([run.pk for run in runs])
    except services.TooMany as error:
        return _said(str(error), 400)
    return _told(bulk, action)


def confirm_deletion(request: HttpRequest, runs: Sequence[Run]) -> HttpResponse:
    """The dialog before a deletion: what goes, and what it means for others."""
    previews = [services.deletion_preview(run) for run in runs]
    total = {key: sum(preview[key] for preview in previews) for key in previews[0]}
    goes = f"{counted(total['steps'], 'step')} with {'its log' if total['steps'] == 1 else 'their logs'}"
    goes += f" and {counted(total['artifacts'], 'output')}" if total["artifacts"] else ""
    context = {
        "runs": runs,
        "what": _called(runs),
        "goes": goes + (f" ({size(total['bytes'])})" if total["bytes"] else ""),
        "cache_entries": total["cache_entries"],
        "running": sum(not run.finished_at for run in runs),
        "single": runs[0] if len(runs) == 1 else None,
        "next": request.GET.get("next", ""),
    }
    return render(request, "runs/_delete.html", context)


def _confirm_stop(request: HttpRequest, runs: Sequence[Run]) -> HttpResponse:
    """The dialog before a stop: it speaks of those that are under way, the others stay as they are."""
    going = [run for run in runs if not State(run.state).is_final]
    if not going:
        response = HttpResponse(status=204)
        response["HX-Trigger"] = json.dumps({"toast": {"text": "Nothing to stop: what is selected has ended.", "failed": True}})
        return response
    return render(request, "runs/_bulk_stop.html", {"runs": going, "what": _called(going), "ended": len(runs) - len(going)})


def _ask_tags(request: HttpRequest, runs: Sequence[Run], text: str = "", problems: Sequence[str] = ()) -> HttpResponse:
    """The dialog for tags of many: what is added, and which keys are taken away."""
    kept: dict[str, int] = {}
    for key in (key for run in runs for key in run.tags):
        kept[key] = kept.get(key, 0) + 1
    context = {"runs": runs, "what": _called(runs), "kept": sorted(kept.items()), "text": text, "problems": problems}
    context["removed"] = request.POST.getlist("remove")
    return render(request, "runs/_bulk_tags.html", context)


def _tag(request: HttpRequest, runs: Sequence[Run]) -> HttpResponse:
    text = request.POST.get("tags", "")
    add, problems = read_tags(text)
    remove = request.POST.getlist("remove")
    if not problems and not add and not remove:
        problems = ["Nothing is added and nothing is taken away."]
    if not problems:
        try:
            return _told(services.tag_runs([run.pk for run in runs], add=add, remove=remove), "tag")
        except Refused as refused:
            problems = [problem.message for problem in refused.problems]
    response = _ask_tags(request, runs, text, problems)
    response["HX-Retarget"], response["HX-Reswap"] = "#dialog", "innerHTML"
    return response


def _told(bulk: services.Bulk, action: str) -> HttpResponse:
    """What came of it, for the list: a sentence, and what undoes it."""
    done, undo = _DONE[action]
    reasons = list(bulk.refused.values())
    text = done.format(counted(len(bulk.done), "run")) if bulk.done or not reasons else reasons[0]
    if bulk.done and reasons:
        text += f"; {counted(len(reasons), 'run')} not: {reasons[0]}"
    response = HttpResponse(status=204)
    toast = {"text": text, "failed": bool(reasons), "undoAction": undo if bulk.done and not reasons else "", "ids": bulk.done}
    response["HX-Trigger"] = json.dumps({"runs:done": toast})
    return response


def _called(runs: Sequence[Run]) -> str:
    return f"{runs[0].name} #{runs[0].number}" if len(runs) == 1 else counted(len(runs), "run")


def _said(sentence: str, status: int) -> HttpResponse:
    return HttpResponse(sentence, status=status, content_type="text/plain; charset=utf-8")


def run_ids(query: QueryDict) -> list[uuid.UUID]:
    """The ids `id=…&id=…` of an address; what is none is left out."""
    found = []
    for text in query.getlist("id"):
        try:
            found.append(uuid.UUID(text))
        except ValueError:
            continue
    return found


_QUESTIONS: dict[str, Callable[[HttpRequest, Sequence[Run]], HttpResponse]] = {
    "delete": confirm_deletion,
    "stop": _confirm_stop,
    "tag": _ask_tags,
}
_ACTIONS: dict[str, Callable[[list[uuid.UUID]], services.Bulk]] = {
    "archive": services.archive_runs,
    "restore": services.restore_runs,
    "delete": services.delete_runs,
}
# action → how the result is said, and what undoes it
_DONE = {
    "archive": ("{} archived", "restore"),
    "restore": ("{} restored", "archive"),
    "delete": ("{} deleted", ""),
    "stop": ("{} will stop", ""),
    "tag": ("Tags of {} changed", ""),
}
