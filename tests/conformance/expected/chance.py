"""KFP's pipelines that toss coins: what must hold whichever way they fall."""

from __future__ import annotations

from tests.conformance.expected.model import Expected
from tests.conformance.seen import Seen


def _printed(seen: Seen, path: str, *lines: str) -> None:
    if not seen.is_cached(path):
        assert seen.printed(path) == list(lines), path


def _flip_coin(seen: Seen) -> None:
    face = seen.value("flip-coin", "Output")
    _printed(seen, "flip-coin", face)
    group, number, other, limit = {
        "heads": ("condition-1", "", "condition-4", 5),
        "tails": ("condition-4", "-2", "condition-1", 15),
    }[face]
    drawn = seen.value(f"{group}/random-num{number}", "Output")
    low, high = (0, 9) if face == "heads" else (10, 19)
    assert low <= drawn <= high
    first = 2 if face == "heads" else 5
    is_above = drawn > limit
    message = {
        (True, True): "print-msg",
        (True, False): "print-msg-2",
        (False, True): "print-msg-3",
        (False, False): "print-msg-4",
    }[face == "heads", is_above]
    taken, left = (first, first + 1) if is_above else (first + 1, first)
    _printed(seen, f"{group}/condition-{taken}/{message}", f"{face} and {drawn} {'>' if is_above else '<='} {limit}!")
    assert seen.in_state("SKIPPED") == {other, f"{group}/condition-{left}"}
    assert seen.ran() == {"flip-coin": 1, f"random-num{number}": 1, message: 1}


def _oneof_through_three(seen: Seen) -> None:
    face = seen.value("mantle/core/flip-coin", "Output")
    branches = "mantle/core/condition-branches-1"
    taken, left, step, output = (
        ("condition-2", "condition-3", "core-comp", "Output")
        if face == "heads"
        else ("condition-3", "condition-2", "core-output-comp", "output_key")
    )
    text = f"Got {face}!"
    assert seen.value(f"{branches}/{taken}/{step}", output) == text
    assert seen.value(branches, "pipelinechannel--condition-branches-1-oneof-1") == text
    assert seen.value("mantle/core", "Output") == seen.value("mantle", "Output") == text
    _printed(seen, "crust-comp", f"input : {text}")
    assert seen.in_state("SKIPPED") == {f"{branches}/{left}"}
    assert seen.ran() == {"flip-coin": 1, step: 1, "crust-comp": 1}


def _three_sided_die(seen: Seen) -> None:
    group = "roll-die-pipeline"
    face = seen.value(f"{group}/flip-three-sided-die", "Output")
    number, step, output, text = {
        "heads": (2, "print-and-return", "Output", "Got heads!"),
        "tails": (3, "print-and-return-2", "Output", "Got tails!"),
        "draw": (4, "special-print-and-return", "output_key", "Draw!"),
    }[face]
    branches = f"{group}/condition-branches-1"
    taken = f"{branches}/condition-{number}"
    assert seen.value(f"{taken}/{step}", output) == text
    assert seen.value(group, "Output") == seen.value("print-and-return", "Output") == seen.value("", "Output") == text
    _printed(seen, f"{taken}/{step}", f"Got the special state: {text}" if face == "draw" else text)
    assert seen.in_state("SKIPPED") == {f"{branches}/condition-{one}" for one in {2, 3, 4} - {number}}
    assert sum(seen.ran().values()) == 3


def _two_sided_coin(seen: Seen) -> None:
    face = seen.value("flip-coin", "Output")
    text = f"Got {face}!"
    taken, left, step = ("2", "3", "print-and-return") if face == "heads" else ("3", "2", "print-and-return-2")
    assert seen.value(f"condition-branches-1/condition-{taken}/{step}", "Output") == text
    assert seen.value("print-and-return-3", "Output") == seen.value("", "Output") == text
    _printed(seen, "print-and-return-3", text)
    assert seen.in_state("SKIPPED") == {f"condition-branches-1/condition-{left}"}
    assert seen.ran() == {"flip-coin": 1, step: 1, "print-and-return-3": 1}


def _lucky_numbers(seen: Seen) -> None:
    drawn = [seen.value(path, "Output") for path in seen.paths("for-loop-1[*]/int-0-to-9999")]
    assert len(drawn) == 3 and all(0 <= number <= 9999 for number in drawn)
    assert seen.value("for-loop-1", "pipelinechannel--int-0-to-9999-Output") == drawn
    _printed(seen, "print-ints", str(drawn))
    skipped = {"for-loop-1[0]/condition-2/condition-3", "for-loop-1[1]/condition-2/condition-3"}
    _printed(seen, "for-loop-1[2]/condition-2/condition-3/print-and-return", "Adding drumroll on last trial!")
    for index, number in enumerate(drawn):
        skipped |= _trial(seen, f"for-loop-1[{index}]/condition-branches-4", number)
    assert seen.in_state("SKIPPED") == skipped


def _trial(seen: Seen, group: str, number: int) -> set[str]:
    """Checks what one trial announced; the paths that it skipped."""
    if number == 5000:
        lucky = "Got the lucky number 5000! A one in 10,000 chance."
        _printed(seen, f"{group}/condition-13/print-and-return-8", f"Announcing: {lucky}")
        for path in seen.paths(f"{group}/condition-13/condition-14/for-loop-16[*]/print-and-return-9"):
            _printed(seen, path, f"Announcing again: {lucky}")
        return {f"{group}/condition-8", f"{group}/condition-9"}
    is_low, parity = number < 5000, "odd" if number % 2 else "even"
    branch, other, inner, asks, end = (8, 9, 5, "is-even-or-odd", 4) if is_low else (9, 8, 10, "is-even-or-odd-2", 7)
    taken = inner + (1 if parity == "even" else 2)
    left = inner + (2 if parity == "even" else 1)
    text = f"Got a {'low' if is_low else 'high'} {parity} number!"
    inside = f"{group}/condition-{branch}"
    assert seen.value(f"{inside}/{asks}", "Output") == parity
    assert seen.value(f"{inside}/condition-branches-{inner}", f"pipelinechannel--condition-branches-{inner}-oneof-1") == text
    assert seen.value(f"{inside}/print-and-return-{end}", "Output") == text
    assert f"{inside}/condition-branches-{inner}/condition-{taken}" in seen.in_state("SUCCEEDED")
    return {f"{group}/condition-{other}", f"{group}/condition-13", f"{inside}/condition-branches-{inner}/condition-{left}"}


def _by_chance(check: object) -> Expected:
    return Expected(ran=None, skipped=None, by_chance=True, check=check)  # type: ignore[arg-type]


CHANCE = {
    "critical/flip_coin": _by_chance(_flip_coin),
    "critical/parameter_oneof": _by_chance(_oneof_through_three),
    "if_elif_else_with_oneof_parameters": _by_chance(_three_sided_die),
    "if_else_with_oneof_parameters": _by_chance(_two_sided_coin),
    "if_elif_else_complex": _by_chance(_lucky_numbers),
}
