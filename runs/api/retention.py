"""`/apis/kfdash/v1/retention`: rules, what they would remove, and what they removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from access.services import record
from kfdash.rights import Right, by, needs
from kfdash.wire.describing import error_responses
from kfdash.wire.errors import Code, WireError, invalid, not_found
from kfdash.wire.messages import Empty, compact, read_message
from kfdash.wire.reading import read_id
from kfdash.wire.views import WireView
from runs import models
from runs.api.inside import precise
from runs.api.rulemessages import ListPasses, ListRules, PassMessage, RuleMessage, RuleRequest
from runs.retention.rules import ENDED, Per, Rule, What
from runs.services import retention as service

_TAG = "kfdash"
_MOST_PASSES = 100
_WHAT = "rule of retention"


@contextmanager
def _refusals() -> Iterator[None]:
    """What the service raises, as errors of the wire."""
    try:
        yield
    except service.WrongRule as error:
        raise invalid(f"{error.field}: {error}") from None
    except service.TooMuch as error:
        sentence = f"{error} Set `confirmed` where it is. The dry run is {error.trial.pk}."
        raise WireError(Code.FAILED_PRECONDITION, sentence) from None


def _rule(sent: Mapping[str, Any], rule_id: int = 0) -> Rule:
    what, per = sent.get("what", ""), sent.get("per", "") or Per.EXPERIMENT.value
    if what not in set(What):
        raise invalid(f"what is {what[:80]!r}; it must be one of {', '.join(What)}.")
    if per not in set(Per):
        raise invalid(f"per is {per[:80]!r}; it must be one of {', '.join(Per)}.")
    experiment = sent.get("experiment_id", "")
    if experiment and read_id(experiment) is None:
        raise invalid("experiment: There is no such experiment.")
    return Rule(
        What(what),
        sent.get("age_seconds") or None,
        sent.get("newest") or None,
        Per.PIPELINE if what == What.CACHE else Per(per),
        tuple(sent.get("states") or ENDED),
        str(read_id(experiment)) if experiment else "",
        rule_id,
    )


def _message(row: models.RetentionRule) -> dict[str, Any]:
    return compact(
        {
            "rule_id": str(row.pk),
            "what": row.what,
            "experiment_id": str(row.experiment_key or ""),
            "states": row.states,
            "age_seconds": row.age,
            "newest": row.newest,
            "per": row.per,
            "disabled": not row.enabled,
            "sentence": service.sentence_of(row),
            "changed_at": precise(row.changed_at),
            "changed_by": row.changed_by,
        }
    )


def _row(rule_id: str) -> models.RetentionRule:
    known = rule_id.isascii() and rule_id.isdigit() and len(rule_id) < 19
    row = models.RetentionRule.objects.filter(pk=int(rule_id)).first() if known else None
    if row is None:
        raise not_found("Rule", rule_id[:80])
    return row


def _saved(request: Request, verb: str, before: models.RetentionRule | None = None) -> Response:
    sent = read_message(request, RuleRequest)
    if before is not None:
        sent = _message(before) | sent
    rule = _rule(sent, before.pk if before else 0)
    with _refusals():
        row = service.save_retention_rule(
            rule, enabled=not sent.get("disabled"), by=by(request), confirmed=bool(sent.get("confirmed"))
        )
    message = _message(row)
    record(by=by(request), verb=verb, what=_WHAT, name=message["sentence"])
    return Response(message)


@needs(Right.ADMINISTER, to_read=Right.VIEW)
class RulesView(WireView):
    """`/retention/rules`."""

    @extend_schema(responses={200: ListRules} | error_responses(), tags=[_TAG])
    def get(self, request: Request) -> Response:
        """List the rules of retention."""
        return Response(compact({"rules": [_message(row) for row, _, _ in service.retention_rules()]}))

    @extend_schema(request=RuleRequest, responses={200: RuleMessage} | error_responses(), tags=[_TAG])
    def post(self, request: Request) -> Response:
        """Make a rule; it counts from the next time that the rules are carried out."""
        return _saved(request, "made")


@needs(Right.ADMINISTER, to_read=Right.VIEW)
class RuleView(WireView):
    """`/retention/rules/{rule_id}`."""

    @extend_schema(responses={200: RuleMessage} | error_responses(), tags=[_TAG])
    def get(self, request: Request, rule_id: str) -> Response:
        """Get a rule."""
        return Response(_message(_row(rule_id)))

    @extend_schema(request=RuleRequest, responses={200: RuleMessage} | error_responses(), tags=[_TAG])
    def patch(self, request: Request, rule_id: str) -> Response:
        """Change what is named of a rule; a zero takes the age, or the number, away."""
        return _saved(request, "changed", _row(rule_id))

    @extend_schema(responses={200: Empty} | error_responses(), tags=[_TAG])
    def delete(self, request: Request, rule_id: str) -> Response:
        """Delete a rule; what it removed stays removed."""
        row = _row(rule_id)
        said = service.sentence_of(row)
        service.delete_retention_rule(row)
        record(by=by(request), verb="deleted", what=_WHAT, name=said)
        return Response({})


# --- carrying out ---------------------------------------------------------------------------------------------------


def _pass(row: models.RetentionPass, *, whole: bool = True) -> dict[str, Any]:
    shown = {"goes": [one for one in row.shown if one["goes"]], "stays": [one for one in row.shown if not one["goes"]]}
    return compact(
        {
            "pass_id": str(row.pk),
            "dry": row.dry,
            "by": row.by,
            "sentences": service.sentences_of(row),
            "counts": row.counts,
            "spared": row.spared,
            "shown": shown if whole and row.shown else None,
            "problem": row.problem,
            "created_at": precise(row.created_at),
            "finished_at": precise(row.finished_at),
        }
    )


class PassesView(WireView):
    """`/retention/passes`."""

    @extend_schema(responses={200: ListPasses} | error_responses(), tags=[_TAG])
    def get(self, request: Request) -> Response:
        """List the newest times that the rules were carried out, at most 100."""
        rows = models.RetentionPass.objects.filter(dry=False).order_by("-created_at")[:_MOST_PASSES]
        return Response(compact({"passes": [_pass(row, whole=False) for row in rows]}))


class PassView(WireView):
    """`/retention/passes/{pass_id}`."""

    @extend_schema(responses={200: PassMessage} | error_responses(), tags=[_TAG])
    def get(self, request: Request, pass_id: str) -> Response:
        """Get what came of a dry run, or of one time that the rules were carried out; `finished_at` is set at its end."""
        known = pass_id.isascii() and pass_id.isdigit() and len(pass_id) < 19
        row = models.RetentionPass.objects.filter(pk=int(pass_id)).first() if known else None
        if row is None:
            raise not_found("Pass", pass_id[:80])
        return Response(_pass(row))


@needs(Right.ADMINISTER)
class TryOutView(WireView):
    """`/retention:tryOut`."""

    @extend_schema(request=None, responses={200: PassMessage} | error_responses(), tags=[_TAG])
    def post(self, request: Request) -> Response:
        """Say what the rules would remove now, and remove nothing. Where that takes long, ask for the pass until it has ended."""
        return Response(_pass(service.try_rules_out(by=by(request))))


@needs(Right.ADMINISTER)
class CarryOutView(WireView):
    """`/retention:carryOut`."""

    @extend_schema(request=None, responses={200: PassMessage} | error_responses(), tags=[_TAG])
    def post(self, request: Request) -> Response:
        """Have the rules carried out now."""
        row = service.carry_rules_out(by=by(request))
        if row is None:
            sentence = "There is nothing to carry out: no rule is on, or they are being carried out already."
            raise WireError(Code.FAILED_PRECONDITION, sentence)
        record(by=by(request), verb="carried out", what="rules of retention", name=f"{len(row.rules)} rules")
        return Response(_pass(row))
