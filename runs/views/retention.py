"""The page of retention: rules, what they would remove, what they removed; and what is done to them."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access.services import record
from kfdash.rights import Right, by, needs
from kfdash.words import counted, size
from runs import forms
from runs.models import Leftover, RetentionPass, RetentionRule, Run
from runs.ruleform import STATES, UNITS, WHATS, RuleForm
from runs.services import retention as service
from runs.views.control import same_page
from runs.views.lists import is_partial

_MOST_PASSES = 30  # on the page: the last, and those that removed something
_LOOKED_AT = 500
_WHY = {"kept": "somebody keeps it", "newest": "it is among the newest", "in use": "its outputs are in use", "orphans": ""}
_KINDS = {"log": "log", "outputs": "outputs", "workspace": "workspace", "result": "results of steps"}


@require_GET
def retention(request: HttpRequest) -> HttpResponse:
    """The rules in words, what could not be removed yet, what was removed."""
    every = list(RetentionPass.objects.filter(dry=False).order_by("-created_at")[:_LOOKED_AT])
    passes = [one for i, one in enumerate(every) if i == 0 or one.problem or service.removed_something(one)][:_MOST_PASSES]
    newest = next((one for one in every if one.finished_at), None)
    context = {
        "rules": service.retention_rules(),
        "troubles": service.troubles(),
        "waiting": Leftover.objects.aggregate(count=Count("pk"))["count"],
        "passes": [{"row": one, "removed": removed_words(one)} for one in passes],
        "orphans": [one for one in newest.shown if one["what"] == "orphans"] if newest else [],
        "when": service.when_words(),
        "under_way": any(one.finished_at is None for one in passes),
        "kinds": _KINDS,
    }
    return render(request, "system/retention.html", context)


@require_http_methods(["GET", "POST"])
@needs(Right.ADMINISTER)
def rule_new(request: HttpRequest) -> HttpResponse:
    """The form of a new rule, for one experiment with `experiment`; posted, it saves it."""
    if request.method == "POST":
        return _save(request, RuleForm.read(request.POST))
    wanted = request.GET.get("experiment", "")
    return _form(request, RuleForm(experiment=wanted, age="90"))


@require_http_methods(["GET", "POST"])
@needs(Right.ADMINISTER)
def rule_edit(request: HttpRequest, rule_id: int) -> HttpResponse:
    """The form of a rule; posted, it changes it."""
    row = get_object_or_404(RetentionRule, pk=rule_id)
    if request.method == "POST":
        return _save(request, RuleForm.read(request.POST, rule_id))
    return _form(request, RuleForm.of(service.rule_value(row), enabled=row.enabled))


def _form(request: HttpRequest, form: RuleForm, **more: Any) -> HttpResponse:
    experiments = forms.experiments(form.experiment if _is_uuid(form.experiment) else "")
    context = {"form": form, "whats": WHATS, "states": STATES, "units": UNITS, "experiments": experiments, **more}
    return render(request, "system/rule.html", context)


def _save(request: HttpRequest, form: RuleForm) -> HttpResponse:
    rule = form.rule()
    if rule is None:
        return _form(request, form)
    try:
        row = service.save_retention_rule(
            rule, enabled=form.enabled, by=by(request), confirmed=request.POST.get("confirmed") == "on"
        )
    except service.WrongRule as error:
        form.errors[error.field] = str(error)
        return _form(request, form)
    except service.TooMuch as error:
        return _form(request, form, much=str(error), trial=error.trial, removed=removed_words(error.trial))
    said = service.sentence_of(row)
    record(by=by(request), verb="changed" if form.rule_id else "made", what="rule of retention", name=said)
    messages.success(request, f"{said} It counts from the next time that the rules are carried out.")
    return redirect("retention")


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


@require_http_methods(["GET", "POST"])
@needs(Right.ADMINISTER)
def rule_delete(request: HttpRequest, rule_id: int) -> HttpResponse:
    """Asks first; then deletes a rule."""
    row = get_object_or_404(RetentionRule, pk=rule_id)
    said = service.sentence_of(row)
    if request.method == "GET":
        goes = f"{said} What it removed stays removed; from now on it removes nothing."
        return render(request, "pipelines/_delete.html", {"what": "this rule", "goes": goes, "address": request.path})
    service.delete_retention_rule(row)
    record(by=by(request), verb="deleted", what="rule of retention", name=said)
    messages.success(request, "The rule was deleted.")
    return redirect("retention")


@require_POST
@needs(Right.ADMINISTER)
def retention_try(request: HttpRequest) -> HttpResponse:
    """A dry run of the rules that are on, and its page."""
    return redirect("retention-pass", service.try_rules_out(by=by(request)).pk)


@require_http_methods(["GET", "POST"])
@needs(Right.ADMINISTER)
def retention_now(request: HttpRequest) -> HttpResponse:
    """Asks first, saying what goes; then has the rules carried out at once."""
    if request.method == "GET":
        trial = service.try_rules_out(by=by(request), wait=1.5)
        return render(request, "system/_carry_out.html", {"trial": trial, "removed": removed_words(trial)})
    row = service.carry_rules_out(by=by(request))
    if row is None:
        messages.error(request, "There is nothing to carry out: no rule is on, or they are being carried out already.")
        return redirect("retention")
    record(by=by(request), verb="carried out", what="rules of retention", name=counted(len(row.rules), "rule"))
    return redirect("retention-pass", row.pk)


@require_GET
def retention_pass(request: HttpRequest, pass_id: int) -> HttpResponse:
    """One time that the rules were carried out or tried: figures, and the first of what goes and stays, with the reason."""
    row = get_object_or_404(RetentionPass, pk=pass_id)
    shown = [
        {**one, "why_words": _WHY.get(one.get("why", ""), ""), "kind_word": _KINDS.get(one.get("kind", ""), "")}
        for one in row.shown
    ]
    context = {
        "row": row,
        "removed": removed_words(row),
        "spared": [(f"{count:,}", _WHY.get(why, why)) for why, count in row.spared.items() if _WHY.get(why, why)],
        "going": [one for one in shown if one["goes"]],
        "staying": [one for one in shown if not one["goes"]],
        "sentences": service.sentences_of(row),
    }
    return render(request, "system/_pass.html" if is_partial(request) else "system/pass.html", context)


def removed_words(row: RetentionPass) -> list[str]:
    """`["12 runs", "3 outputs", "1.2 MB"]`: what a pass removed, or would remove."""
    told = [
        (row.counts.get("runs", 0), "run", ""),
        (row.counts.get("artifacts", 0), "output", ""),
        (row.counts.get("logs", 0), "log of a run", "logs of runs"),
        (row.counts.get("cache_entries", 0) + row.counts.get("evicted", 0), "cache entry", "cache entries"),
        (row.counts.get("entries", 0), "entry of the activity log", "entries of the activity log"),
        (row.counts.get("orphans", 0), "leftover without a run", "leftovers without a run"),
    ]
    found = [counted(count, one, many) for count, one, many in told if count]
    measured = row.counts.get("freed", 0) if not row.dry else row.counts.get("bytes", 0) + row.counts.get("orphan_bytes", 0)
    return [*found, size(measured)] if measured else found


# --- one run --------------------------------------------------------------------------------------------------------


@require_POST
def run_keep(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """No rule removes anything of a run, or (`kept=0`) rules are about it again."""
    run = get_object_or_404(Run, pk=run_id)
    kept = request.POST.get("kept") != "0"
    if kept:
        service.keep_run(run, by=by(request))
        messages.success(request, f"{run.name} #{run.number} is kept: no rule removes anything of it.")
    else:
        service.let_run_go(run)
        messages.success(request, f"{run.name} #{run.number} is kept no more: rules of retention are about it again.")
    record(by=by(request), verb="kept" if kept else "let go", what="run", name=f"{run.name} #{run.number}")
    return redirect(same_page(request, run))
