"""The launch form: one field for each input of a pipeline, read strictly, every problem said beside its field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from pipelines.spec.model import ParameterDefinition, ParameterType, PipelineSpec
from pipelines.spec.problems import Refused
from pipelines.spec.values import normalise
from runs.engine.model import CacheUse
from runs.models import Experiment
from runs.services import carry_arguments, read_pod_template

Json = Any
PREFIX = "input."
_MOST_PROBLEMS = 8  # of a pod template, that are said
_WORDS = {
    ParameterType.NUMBER_INTEGER: "integer",
    ParameterType.NUMBER_DOUBLE: "number",
    ParameterType.STRING: "string",
    ParameterType.BOOLEAN: "boolean",
    ParameterType.LIST: "list",
    ParameterType.STRUCT: "struct",
}
_STRUCTURED = (ParameterType.LIST, ParameterType.STRUCT)


@dataclass
class Field:
    """One input of the pipeline in the form. `text` is what stands in its control."""

    name: str
    definition: ParameterDefinition
    text: str
    error: str = ""
    suggestion: str = ""  # a text that would be right, offered as a button
    earlier: str | None = None  # what the earlier run had, where this differs
    choices: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The control's name."""
        return PREFIX + self.name

    @property
    def word(self) -> str:
        """The type's name for people."""
        return _WORDS.get(self.definition.type, "value")

    @property
    def control(self) -> str:
        """`choice`, `switch`, `json`, `number` or `text`."""
        if self.choices:
            return "choice"
        if self.definition.type is ParameterType.BOOLEAN:
            return "switch"
        if self.definition.type in _STRUCTURED:
            return "json"
        return "number" if self.word in ("integer", "number") else "text"

    @property
    def rows(self) -> int:
        """Lines of a JSON area."""
        return min(max(self.text.count("\n") + 1, 2), 14)

    @property
    def changed(self) -> bool:
        """Whether it differs from the earlier run's value, or from the default."""
        if self.earlier is not None:
            return True
        return self.definition.has_default and not self.error and self.text != to_field(self.definition, self.definition.default)

    @property
    def default_text(self) -> str:
        """The default as it would stand in the control; empty where there is none."""
        return to_field(self.definition, self.definition.default) if self.definition.has_default else ""


@dataclass
class LaunchForm:
    """What a person says before a launch. After `read`, `arguments` holds the values, unless there are errors."""

    fields: list[Field]
    name: str = ""
    experiment: str = ""  # an id, or empty for the default one
    new_experiment: str = ""
    cache: str = CacheUse.USE.value
    tags: str = ""
    pod_template: str = ""  # as YAML
    arguments: dict[str, Json] = field(default_factory=dict)
    template: dict[str, Json] = field(default_factory=dict)  # what `pod_template` says
    errors: dict[str, str] = field(default_factory=dict)  # of the fields that are no inputs
    dropped: list[tuple[str, str]] = field(default_factory=list)  # inputs of the earlier run that are gone: name, value
    unfit: list[tuple[str, str]] = field(default_factory=list)  # inputs that take the earlier run's value no more
    new: list[str] = field(default_factory=list)  # inputs that the earlier run's version did not have

    @property
    def faulty(self) -> list[tuple[str, str]]:
        """(control's name, what it is called) of every field with an error, in the form's order."""
        return [(key, key.replace("_", " ")) for key in self.errors] + [(one.key, one.name) for one in self.fields if one.error]

    def refuse_template(self, refused: Refused) -> None:
        """Puts what is wrong with the pod template beside it, a problem a line."""
        lines = [str(problem) for problem in refused.problems]
        more = [f"And {len(lines) - _MOST_PROBLEMS:,} more."] if len(lines) > _MOST_PROBLEMS else []
        self.errors["pod_template"] = "\n".join(lines[:_MOST_PROBLEMS] + more)

    @property
    def template_rows(self) -> int:
        """Lines of the template's area."""
        return min(max(self.pod_template.count("\n") + 2, 6), 24)

    @property
    def tag_values(self) -> dict[str, str]:
        """Tags by key."""
        return {key: value for key, value, problem in _split_tags(self.tags) if not problem}


def blank(spec: PipelineSpec, earlier: Mapping[str, Json] | None = None) -> LaunchForm:
    """The form with defaults, or with the values of an earlier run, carried over by name."""
    definitions = spec.root.input_parameters
    fields = []
    for name, definition in definitions.items():
        value = definition.default if definition.has_default else None
        if earlier is not None and name in earlier:
            value = earlier[name]
        fields.append(Field(name, definition, to_field(definition, value), choices=_choices(definition)))
    gone = [(name, _compact(value)) for name, value in (earlier or {}).items() if name not in definitions]
    return LaunchForm(fields, dropped=gone)


def carried(spec: PipelineSpec, old_spec: PipelineSpec, earlier: Mapping[str, Json]) -> LaunchForm:
    """The form with the arguments of a run of another version, by name; says which were dropped and what is new."""
    kept, dropped, new = carry_arguments(old_spec, spec, earlier)
    form = blank(spec, kept)
    inputs = spec.root.input_parameters
    form.dropped = [(name, _compact(earlier[name])) for name in dropped if name not in inputs]
    form.unfit = [(name, _compact(earlier[name])) for name in dropped if name in inputs]
    form.new = list(new)
    return form


def read(spec: PipelineSpec, data: QueryDict) -> LaunchForm:
    """The form as it was sent, with `arguments`, and errors where a value is none of its type."""
    form = blank(spec)
    form.name = data.get("name", "").strip()
    form.experiment, form.new_experiment = data.get("experiment", ""), data.get("new_experiment", "").strip()
    form.cache = data.get("cache", CacheUse.USE.value)
    form.tags = data.get("tags", "").strip()
    if form.cache not in set(CacheUse):
        form.cache = CacheUse.USE.value
    for problem in (problem for _, _, problem in _split_tags(form.tags) if problem):
        form.errors.setdefault("tags", problem)
    if len(form.name) > 255:
        form.errors["name"] = f"The name has {len(form.name)} characters; 255 are allowed."
    if form.experiment == "new" and not form.new_experiment:
        form.errors["new_experiment"] = "Give the new experiment a name, or choose one that exists."
    form.pod_template = data.get("pod_template", "").replace("\r\n", "\n").rstrip()
    try:
        form.template = read_pod_template(form.pod_template)
    except Refused as refused:
        form.refuse_template(refused)
    for one in form.fields:
        _read_field(one, data, form.arguments)
    return form


def compare(form: LaunchForm, spec: PipelineSpec, earlier: Mapping[str, Json]) -> None:
    """Says at each field what the earlier run had, where the form differs."""
    for one in form.fields:
        if one.name in earlier and (had := to_field(one.definition, earlier[one.name])) != one.text:
            one.earlier = had


def to_field(definition: ParameterDefinition, value: Json) -> str:
    """A value as text for its control. None is an empty one."""
    if value is None:
        return ""
    if definition.type is ParameterType.STRING and isinstance(value, str):
        return value
    if definition.type in _STRUCTURED:
        short = _compact(value)
        return short if len(short) <= 60 else _spread(value)
    return _compact(value)


def experiments(current: str = "", most: int = 200) -> list[Experiment]:
    """The experiments to choose from, last used first; an id that is chosen already is among them."""
    found = list(Experiment.objects.filter(storage_state="AVAILABLE").order_by("-last_run_created_at", "-created_at")[:most])
    if current and current != "new" and current not in {str(one.pk) for one in found}:
        found += Experiment.objects.filter(pk=current)
    return found


# --- reading --------------------------------------------------------------------------------------------------------


def _read_field(one: Field, data: QueryDict, arguments: dict[str, Json]) -> None:
    if one.control == "switch":
        one.text = "true" if data.get(one.key) == "true" else "false"
        arguments[one.name] = one.text == "true"
        return
    one.text = data.get(one.key, "").replace("\r\n", "\n")
    is_string = one.definition.type is ParameterType.STRING
    if not one.text.strip() and not (is_string and one.definition.has_default and one.definition.default is not None):
        if not one.definition.optional and not one.definition.has_default:
            one.error = "A value is needed here."
        elif one.definition.has_default and one.definition.default is not None:
            one.error, one.suggestion = "Empty is no value of this type.", one.default_text
        return
    try:
        arguments[one.name] = _value(one)
    except ValueError as error:
        one.error = str(error)


def _value(one: Field) -> Json:
    """The value that the text stands for. Raises ValueError with a sentence."""
    text = one.text.strip()
    if one.choices and one.text in one.choices:
        return normalise(next(value for value in one.definition.literals if _literal_text(one.definition, value) == one.text))
    match one.definition.type:
        case ParameterType.STRING:
            return one.text
        case ParameterType.NUMBER_INTEGER:
            return _integer(one, text)
        case ParameterType.NUMBER_DOUBLE:
            return _number(one, text)
        case _:
            return _structure(one, text)


def _integer(one: Field, text: str) -> int:
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if re.fullmatch(r"[+-]?\d{1,3}([ ,_']\d{3})+", text):
        one.suggestion = re.sub(r"[ ,_']", "", text)
        raise ValueError("Not a whole number: write it without separators.")
    if re.fullmatch(r"[+-]?\d+[.,]\d+", text):
        raise ValueError(f"Not a whole number: {text} has a fraction.")
    raise ValueError(f"Not a whole number: {_shown(text)}.")


def _number(one: Field, text: str) -> Json:
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", text) and abs(float(text)) != float("inf"):
        return normalise(float(text))
    if re.fullmatch(r"[+-]?\d*,\d+", text):
        one.suggestion = text.replace(",", ".")
        raise ValueError(f"Not a number: {text} has a comma.")
    raise ValueError(f"Not a number: {_shown(text)}.")


def _structure(one: Field, text: str) -> Json:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        fixed = re.sub(r",(\s*[\]}])", r"\1", text)
        if fixed != text and _is_json(fixed):
            one.suggestion = fixed
        raise ValueError(f"Line {error.lineno}, column {error.colno}: {_json_sentence(error)}.") from None
    except RecursionError:
        raise ValueError("This is nested too deeply.") from None
    wanted, brackets = (list, "[ ]") if one.definition.type is ParameterType.LIST else (dict, "{ }")
    if not isinstance(value, wanted):
        raise ValueError(f"A {one.word} is needed: JSON in {brackets}.")
    return normalise(value)


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON value.")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


_JSON_SENTENCES = {
    "Expecting value": "a value is expected here",
    "Expecting property name enclosed in double quotes": "a name in double quotes is expected here",
    "Illegal trailing comma before end of object": "there is a comma after the last entry",
    "Illegal trailing comma before end of array": "there is a comma after the last item",
    "Expecting ',' delimiter": "a comma is missing here",
    "Expecting ':' delimiter": "a colon is missing here",
    "Extra data": "the value ends before this",
    "Unterminated string starting at": "this text has no closing quote",
}


def _json_sentence(error: json.JSONDecodeError) -> str:
    return _JSON_SENTENCES.get(error.msg, error.msg[:1].lower() + error.msg[1:])


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _choices(definition: ParameterDefinition) -> tuple[str, ...]:
    return tuple(_literal_text(definition, value) for value in definition.literals)


def _literal_text(definition: ParameterDefinition, value: Json) -> str:
    return to_field(definition, normalise(value))


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _spread(value: Json) -> str:
    """One item or entry a line: easier to read and to change than one long line or full indentation."""
    if isinstance(value, list):
        return "[" + ",\n ".join(_compact(item) for item in value) + "]"
    return "{" + ",\n ".join(f"{_compact(key)}: {_compact(item)}" for key, item in value.items()) + "}"


def _split_tags(text: str) -> Iterable[tuple[str, str, str]]:
    """(key, value, problem) of `team=risk, owner=lab`."""
    for part in re.split(r"[,\n]", text):
        if not part.strip():
            continue
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key:
            yield "", "", f"A tag is key=value; {_shown(part.strip())!r} is not."
        elif len(key) > 63 or len(value) > 63:
            yield "", "", f"Key and value of a tag may have 63 characters each; {_shown(key)!r} has more."
        else:
            yield key, value, ""
