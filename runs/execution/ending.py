"""Why a step ended as it did, in one sentence."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from runs.execution.amounts import size

_MEANINGS = {
    signal.SIGSEGV: "a crash in native code",
    signal.SIGABRT: "it aborted itself",
    signal.SIGBUS: "a crash in native code",
    signal.SIGILL: "an instruction this processor does not have",
    signal.SIGFPE: "an arithmetic error in native code",
    signal.SIGXFSZ: "a file grew beyond the limit of what a step may write",
    signal.SIGXCPU: "its time on the processor was used up",
    signal.SIGPIPE: "it wrote to a pipe that nobody reads",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a step's process ended. `cause` is a short code; empty for exit code 0."""

    exit_code: int
    signal: int | None = None
    reason: str = ""
    cause: str = ""


def ending(status: int, *, program: str, last_line: str, peak: int, memory_killed: bool) -> Ending:
    """Reads a wait status. `last_line` is the last the step said on stderr."""
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return Ending(0)
    number = -code if code < 0 else (code - 128 if code - 128 in (signal.SIGKILL, signal.SIGSEGV) else None)
    exit_code = code if code > 0 else 128 - code
    if number == signal.SIGKILL and memory_killed:
        return Ending(exit_code, number, f"out of memory: the kernel ended it (its peak was {size(peak)})", "out-of-memory")
    if number:
        return Ending(exit_code, number, f"ended by {_name(number)}{_meaning(number, peak)}", "signal")
    if code == 127 and last_line.startswith("kfdash: "):
        reason = f"the command {program} was not found on this machine; the local executor runs commands without their image"
        return Ending(127, None, reason, "command-not-found")
    said = f": {last_line}" if last_line else ""
    return Ending(code, None, f"exit code {code}{said}", "exit-code")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _meaning(number: int, peak: int) -> str:
    if number == signal.SIGKILL:
        return f" from outside, perhaps for lack of memory (its peak was {size(peak)})"
    try:
        meaning = _MEANINGS.get(signal.Signals(number), "")
    except ValueError:
        return ""
    return f" ({meaning})" if meaning else ""
