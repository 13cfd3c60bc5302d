"""A step's argument list: KFP's placeholders and structures in command and args, replaced.

Structures (Concat, IfPresent) come first and are read from the pipeline's own text alone; then each string is gone through
once, so that what looks like a placeholder in a value stays text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pipelines.spec.values import to_json_text, to_text
from runs.execution.attempt import AttemptOrder
from runs.execution.locations import artifact_path

Json = Any
Locate = Callable[[str], "str | None"]

_PLACEHOLDER = re.compile(r"\{\{\$(?:\.[A-Za-z_]\w*|\[(?:'[^']*'|\"[^\"]*\")\])*\}\}")
_REFERENCE = re.compile(
    r"\{\{\$\.(?P<side>inputs|outputs)\.(?P<kind>parameters|artifacts)\[(?P<quote>['\"])(?P<name>.*?)(?P=quote)\]"
    r"(?P<rest>.*)\}\}"
)
_METADATA_KEY = re.compile(r"\.metadata\[(['\"])(.*)\1\]")
_STRUCTURE = re.compile(r'\s*\{\s*"(?:Concat|IfPresent)"\s*:')
_OUTPUT_FILE_PLACEHOLDERS = ("{{$.outputs.output_file}}", "{{$.outputMetadataUri}}")


class PlaceholderError(ValueError):
    """The argument list cannot be made. The message is for people."""


def substitute(order: AttemptOrder, executor_input: Mapping[str, Json], locate: Locate) -> list[str]:
    """The argument list of an attempt: its command and args as one list, ready to be executed without a shell.

    `executor_input` is the order's own or a localised one: what `{{$}}` and file names show. `locate` gives the path for an
    artifact's URI. Empty where the order has neither command nor args. Raises PlaceholderError.
    """
    return arguments([*order.command, *order.args], executor_input, order.placeholders, locate)


def arguments(
    elements: list[str],
    executor_input: Mapping[str, Json],
    constants: Mapping[str, str],
    locate: Locate,
) -> list[str]:
    """As `substitute`, from the parts; `constants` has whole placeholders as keys."""
    table = _Table(executor_input, constants, locate)
    resolved = [text for element in elements for text in _resolved(element, table.is_present)]
    # KFP leaves all but inputs and `{{$}}` in the program's own name as they are.
    found = [table.in_argument(text) if position else table.in_program(text) for position, text in enumerate(resolved)]
    for text in found:
        if "\0" in text:
            raise PlaceholderError("An argument of the step holds a NUL character, which no command line can carry.")
    return found


# --- structures -----------------------------------------------------------------------------------------------------


def _structure(text: str) -> Json:
    """The structure that a string holds as JSON, None for ordinary strings."""
    if not _STRUCTURE.match(text):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and len(value) == 1 else None


def _resolved(element: Json, is_present: Callable[[str], bool]) -> list[str]:
    """An element's strings with structures resolved: none for an absent one, several for a list in IfPresent."""
    if isinstance(element, str):
        structure = _structure(element)
        return [element] if structure is None else _resolved(structure, is_present)
    if isinstance(element, list):
        return [text for member in element for text in _resolved(member, is_present)]
    if isinstance(element, dict) and isinstance(concat := element.get("Concat"), list):
        return ["".join(_member(member, is_present) for member in concat)]
    if isinstance(element, dict) and isinstance(choice := element.get("IfPresent"), dict):
        name = str(choice.get("InputName", ""))
        branch = choice.get("Then") if is_present(name) else choice.get("Else")
        return [] if branch is None else _resolved(branch, is_present)
    raise PlaceholderError(
        f"An argument of the step has a structure that is neither Concat nor IfPresent: {json.dumps(element)[:200]}"
    )


def _member(member: Json, is_present: Callable[[str], bool]) -> str:
    if isinstance(member, list):
        raise PlaceholderError("A Concat in the step's arguments has a list as a member; members are strings or single structures.")
    found = _resolved(member, is_present)
    if len(found) > 1:
        raise PlaceholderError("A Concat in the step's arguments has an IfPresent that gives several arguments; it needs one.")
    return found[0] if found else ""


# --- placeholders ---------------------------------------------------------------------------------------------------


class _Table:
    """What each placeholder stands for; an unknown one stays as it is."""

    def __init__(self, executor_input: Mapping[str, Json], constants: Mapping[str, str], locate: Locate) -> None:
        self.inputs: Mapping[str, Json] = executor_input.get("inputs", {})
        self.outputs: Mapping[str, Json] = executor_input.get("outputs", {})
        self.parameters: Mapping[str, Json] = self.inputs.get("parameterValues", {})
        self.executor_input = executor_input
        self.constants = constants
        self.locate = locate

    def is_present(self, name: str) -> bool:
        """Whether an input has a value: a parameter that is not null, or an artifact."""
        return self.parameters.get(name) is not None or bool(self._listed(self.inputs, name))

    def in_argument(self, text: str) -> str:
        """The text with all placeholders replaced."""
        return _PLACEHOLDER.sub(lambda match: self._text(match.group()), text) if "{{$" in text else text

    def in_program(self, text: str) -> str:
        """The text with `{{$}}` replaced, and input parameters where no output is mentioned."""
        with_inputs = "$.outputs" not in text

        def replaced(match: re.Match[str]) -> str:
            whole = match.group()
            if whole == "{{$}}" or (with_inputs and whole.startswith("{{$.inputs.parameters[")):
                return self._text(whole)
            return whole

        return _PLACEHOLDER.sub(replaced, text) if "{{$" in text else text

    def _text(self, whole: str) -> str:
        if whole == "{{$}}":
            return json.dumps(self.executor_input, ensure_ascii=False, separators=(",", ":"))
        if whole in self.constants:
            return self.constants[whole]
        if whole in _OUTPUT_FILE_PLACEHOLDERS:
            return str(self.outputs.get("outputFile", whole))
        reference = _REFERENCE.fullmatch(whole)
        if not reference:
            return whole
        name, rest = reference["name"], reference["rest"]
        if reference["kind"] == "artifacts":
            section = self.inputs if reference["side"] == "inputs" else self.outputs
            found = self._artifact(section, name, rest)
        elif reference["side"] == "inputs":
            found = to_text(self.parameters.get(name)) if not rest else None
        else:
            found = self.outputs.get("parameters", {}).get(name, {}).get("outputFile") if rest == ".output_file" else None
        return whole if found is None else found

    def _listed(self, section: Mapping[str, Json], name: str) -> list[Mapping[str, Json]]:
        listed: list[Mapping[str, Json]] = section.get("artifacts", {}).get(name, {}).get("artifacts", [])
        return listed

    def _artifact(self, section: Mapping[str, Json], name: str, rest: str) -> str | None:
        """The text of an artifact's property; an input that was left out gives the empty text."""
        listed = self._listed(section, name)
        if not rest:
            return to_json_text(list(listed)) if listed or section is self.inputs else None
        if not listed:
            return "" if section is self.inputs else None
        first = listed[0]
        metadata: Mapping[str, Json] = first.get("metadata") or {}
        if rest == ".uri":
            return str(first.get("uri", ""))
        if rest == ".path":
            return artifact_path(first, self.locate)
        if rest == ".metadata":
            return to_json_text(dict(metadata))
        key = _METADATA_KEY.fullmatch(rest)
        return to_text(metadata.get(key.group(2))) if key else None
