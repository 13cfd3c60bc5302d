"""What is said of a step in one line and in one sentence, from the message that the live view is told (`runs.messages`).

Pages and sockets both use it, so that a step is worded the same before and after a change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kfdash import moment, words

Message = Mapping[str, Any]

_LINE = 34  # characters of a box's second line
_CAUSES = {
    "out-of-memory": "out of memory",
    "timeout": "ran into its time limit",
    "upstream-failed": "",
    "deadline": "ran into its time limit",
}
_DIGITS = re.compile(r"(\d+\.\d{3})\d+")
_SEEN = 18  # characters
_LONG = re.compile(r"(\d+\.\d{6})\d+")
_NEGATED = re.compile(r"because !\(([^()]*)\) is false")
_OUTPUT = re.compile(r"\b([\w.]+(?:-[\w.]+)*)-Output\b")
_RETRY = re.compile(r"Retry \d+ of \d+(?: in [\d.]+ s)?(?=\.$)")
_FALSE = re.compile(r"^(?:Skipped|No iterations) because (?P<expression>.*) is false(?: \((?P<seen>.*)\))?\.$", re.DOTALL)


def said(message: Message) -> dict[str, Any]:
    """What a page shows beside a step's state: `line` (box), `why` (table), `since` (ISO time while a clock runs), `starting`."""
    return {"line": line(message), "why": why(message), "since": since(message), "starting": starting(message)}


def starting(message: Message) -> bool:
    """Whether a pending step's attempt is under way already: its environment is made, its inputs are fetched."""
    told = message["attempt"] and message["reason"] and not message["cause"] and not message["attention"]
    return bool(message["state"] == "PENDING" and told and not is_group(message))


def line(message: Message) -> str:
    """The second line of a box: how long, or why not."""
    state = message["state"]
    if state == "PENDING":
        return _cut(_pending(message))
    if state == "RUNNING":
        if message["kind"] == "loop":
            return counts(message)
        if message["reason"] and not is_group(message):
            return _cut(_clause(message["reason"]))
        return words.duration(seconds(message))
    if state == "SUCCEEDED":
        if message["cached"]:
            return "cached"
        if message["kind"] == "loop":
            return f"{message['succeeded']} of {message['children']}, {words.duration(seconds(message))}"
        return words.duration(seconds(message))
    if state == "CANCELING":
        return "stopping"
    if state == "CANCELED":
        taken = seconds(message)
        return f"stopped after {words.duration(taken)}" if taken else "stopped"
    if message["kind"] == "loop" and message["failed"]:
        return counts(message)
    return _cut(_because(message))


def why(message: Message) -> str:
    """The sentence of a table's row; empty where there is nothing to explain."""
    state = message["state"]
    if state == "PENDING":
        if message["cause"] == "retry" and (again := _RETRY.search(message["reason"])) is not None:
            return f"{again[0]}. {message['reason'][: again.start()].rstrip(' .')}."
        return _first_upper(message["reason"] or _pending(message))
    if message["kind"] == "loop" and state in ("RUNNING", "CANCELING", "FAILED"):
        return counts(message) if state != "FAILED" else message["reason"]
    if is_group(message) and state in ("RUNNING", "SUCCEEDED") and message["children"]:
        noun = "iteration" if message["kind"] == "loop" else "step"
        return f"{message['ended']} of {words.counted(message['children'], noun)}"
    if state == "SUCCEEDED" and message["cached"]:
        return "Reused from an earlier run"
    return plainly(str(message["reason"])) if state == "SKIPPED" else str(message["reason"])


def plainly(reason: str) -> str:
    """A skipped step's reason in the user's words: `tiny` for `tiny-Output`, `a is true` for `!(a) is false`, six decimals."""
    return _OUTPUT.sub(r"\1", _NEGATED.sub(r"because \1 is true", _LONG.sub(r"\1", reason)))


def since(message: Message) -> str:
    """When the clock of a running step began, ISO time; empty where its line is no clock."""
    if message["state"] != "RUNNING" or message["kind"] == "loop" or (message["reason"] and not is_group(message)):
        return ""
    return "" if moment.past() else message["started"] or message["ready"] or ""


def counts(message: Message) -> str:
    """`6 done, 3 running, 1 failed` of a loop's iterations."""
    done = message["succeeded"]
    parts = [
        f"{done:,} done" if done or not message["failed"] else "",
        f"{message['running']:,} running" if message["running"] else "",
    ]
    parts.append(f"{message['failed']:,} failed" if message["failed"] else "")
    return ", ".join(part for part in parts if part) or f"0 of {message['children']:,}"


def seconds(message: Message) -> float | None:
    """How long a task took or has taken, from its first sign of life; None for one that ended before it had begun."""
    begin = message["started"] or message["ready"]
    unbegun = message["state"] in ("FAILED", "CANCELED") and not message["started"]
    if not begin or unbegun:
        return None
    end = message["finished"]
    now = datetime.fromisoformat(end) if end else moment.now()
    return max(0.0, (now - datetime.fromisoformat(begin)).total_seconds())


def is_group(message: Message) -> bool:
    """Whether the task has children instead of attempts."""
    return message["kind"] in ("dag", "loop")


def _pending(message: Message) -> str:
    if message["cause"] == "retry" and (again := _RETRY.search(message["reason"])) is not None:
        return f"failed, {again[0][0].lower()}{again[0][1:]}"
    if message["reason"]:
        return _clause(message["reason"])
    if message["waiting_on"]:
        return f"after {words.counted(message['waiting_on'], 'step')}"
    if message["retry_at"]:
        return "waits for its next attempt"
    if message["attempt"] or message["ready"]:
        return "queued"
    return ""


def _because(message: Message) -> str:
    """A short form of why a task was skipped or failed."""
    reason = message["reason"]
    if short := _CAUSES.get(message["cause"]):
        return short
    if (false := _FALSE.match(reason)) is not None:
        return f"not taken: {_short_values(false['seen'])}" if false["seen"] else "not taken"
    if reason.startswith("Did not run because "):
        return reason.removeprefix("Did not run ").rstrip(".")
    return _clause(reason) or words.state_word(message["state"]).lower()


def _short_values(seen: str) -> str:
    """The values that a condition saw, as they fit into a box: fewer digits, and where it is long only the name's end."""
    text = _DIGITS.sub(r"\1", plainly(seen))
    return text if len(text) <= _SEEN else re.sub(r"\b[\w.]+(?:-[\w.]+)*-(?=[\w.]+ is )", "", text)


def _clause(reason: str) -> str:
    """The first clause of a sentence, begun in lower case where that is no name."""
    text = reason.strip().split("\n", 1)[0]
    for stop in (": ", ". ", "; "):
        if 8 <= text.find(stop) <= _LINE + 20:
            text = text[: text.find(stop)]
    text = text.rstrip(".")
    text = text.removeprefix("The step ")
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cut(text: str) -> str:
    return text if len(text) <= _LINE else text[: _LINE - 1].rstrip() + "…"
