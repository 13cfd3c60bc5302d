"""Messages of `/apis/kfdash/v1/retention`."""

from __future__ import annotations

from kfdash.wire.messages import Flag, Int32, Message, Struct, Text, Texts, Time


class RuleMessage(Message):
    """A rule of retention. Without `age_seconds` and `newest`, an experiment's rule says that all of it is kept."""

    rule_id = Text(read_only=True)
    what = Text(help_text="`runs`, `artifacts`, `logs`, `pods`, `cache`, `activity` or `orphans`")
    experiment_id = Text(help_text="empty: of the whole site")
    states = Texts(help_text="how runs ended: SUCCEEDED, FAILED, CANCELED; all where none is named")
    age_seconds = Int32(help_text="since the end of a run, or the last use of a cache entry")
    newest = Int32(help_text="so many stay, whatever their age")
    per = Text(help_text="of what the newest are counted: `experiment` or `pipeline`")
    disabled = Flag()
    sentence = Text(read_only=True)
    changed_at = Time(read_only=True)
    changed_by = Text(read_only=True)


class RuleRequest(RuleMessage):
    """A rule as it is to be. `confirmed` where it would remove much."""

    confirmed = Flag()


class ListRules(Message):
    """All rules."""

    rules = RuleMessage(many=True, required=False)


class PassMessage(Message):
    """One time that the rules were carried out, or tried (`dry`): figures by name, and the first of what goes or stays, and why."""

    pass_id = Text()
    dry = Flag()
    by = Text()
    sentences = Texts()
    counts = Struct(help_text="runs, artifacts, logs, cache_entries, evicted, entries, orphans; bytes as known, freed as measured")
    spared = Struct(help_text="how many stay because they are kept, newest or in use")
    shown = Struct(help_text="`{goes: […], stays: […]}`: what, run, number, name, rule, why, user")
    problem = Text()
    created_at = Time()
    finished_at = Time()


class ListPasses(Message):
    """The newest times that the rules were carried out."""

    passes = PassMessage(many=True, required=False)
