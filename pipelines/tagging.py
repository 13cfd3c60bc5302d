"""The dialog that edits the tags of a run or a pipeline: one text, checked, with a way back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pipelines.labels import read_tags, tags_text
from pipelines.spec.problems import Refused


def edit_tags(
    request: HttpRequest,
    *,
    what: str,
    tags: Mapping[str, str],
    save: Callable[[dict[str, str]], object],
    filtered: str = "",
) -> HttpResponse:
    """A GET is the dialog; a POST saves `tags` and answers with them for the page, or with the dialog and what is wrong.

    `filtered` is the address of a list that a tag leads to. `save` raises Refused.
    """
    before = tags_text(tags)
    if request.method == "GET":
        return render(request, "_tags_edit.html", {"what": what, "text": before, "address": request.path})
    text = request.POST.get("tags", "")
    wanted, problems = read_tags(text)
    if not problems:
        try:
            save(wanted)
        except Refused as refused:
            problems = [problem.message for problem in refused.problems]
    if problems:
        return render(request, "_tags_edit.html", {"what": what, "text": text, "address": request.path, "problems": problems})
    response = render(request, "_tags.html", {"tags": wanted, "address": request.path, "filtered": filtered, "swapped": True})
    told = {"text": f"The tags of {what} are saved." if wanted else f"{what} has no tags now."}
    response["HX-Trigger"] = json.dumps({"tags:saved": {**told, "address": request.path, "before": before}})
    return response
