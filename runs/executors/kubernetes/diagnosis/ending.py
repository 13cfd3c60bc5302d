"""Pods that have ended without success: refused by their node, out of time, or by the step's own command."""

from __future__ import annotations

import re
import signal

from runs.execution.amounts import seconds, size
from runs.executors.kubernetes.diagnosis.podview import MAIN, ContainerView, Ended, PodView
from runs.executors.kubernetes.diagnosis.verdict import Cause, Diagnosis, fails, loses
from runs.executors.kubernetes.diagnosis.wording import memory, plain

_TOO_SMALL = re.compile(
    r"Node didn't have enough resource: (?P<resource>\S+), requested: (?P<asked>\d+), used: (?P<used>\d+), capacity: (?P<most>\d+)"
)
_MISSING_PROGRAM = re.compile(r'exec: "([^"]+)": (?:executable file not found|stat [^:]*: no such file or directory)')
_NOT_EXECUTABLE = re.compile(r'exec: "([^"]+)": (?:permission denied|is a directory)')
_ENTRY = "/kfdash/bin/entry"
_START_FAILED = ("StartError", "ContainerCannotRun", "RunContainerError", "CreateContainerError")
_FAILED_TO_SAY = 125  # entry's own code for what it could not do
_SIGNALS = {
    signal.SIGSEGV: "a crash in native code",
    signal.SIGABRT: "it aborted itself",
    signal.SIGBUS: "a crash in native code",
    signal.SIGILL: "an instruction that the node's processor does not have",
    signal.SIGFPE: "an arithmetic error in native code",
    signal.SIGKILL: "killed from outside, perhaps for lack of memory",
    signal.SIGTERM: "it was told to end",
}


def rejected(pod: PodView) -> Diagnosis | None:
    """Why a pod failed as a whole, before or beside its containers: the node refused it, or its time was over."""
    node = pod.node or "The node"
    if pod.reason == "DeadlineExceeded" or (pod.phase in ("Pending", "Running") and pod.newest("DeadlineExceeded") is not None):
        limit = pod.spec.get("activeDeadlineSeconds")
        after = f" of {seconds(limit)}" if isinstance(limit, int) else ""
        return fails(f"Ran into its time limit: the pod was ended at its deadline{after}.", Cause.TIMEOUT)
    if pod.phase != "Failed" or not pod.reason:
        return None
    if pod.reason.startswith("OutOf"):
        return loses(_out_of(pod, node), Cause.NODE)
    if pod.reason in ("NodeAffinity", "NodeName", "NodePorts", "TaintToleration"):
        return loses(f"Refused by its node: {node} does not fit the step's node selector, affinity or tolerations.", Cause.NODE)
    if pod.reason in ("UnexpectedAdmissionError", "PodOSNotSupported", "UnexpectedPredicateFailureType", "AppArmor"):
        return loses(f"Refused by its node: {node} says {plain(pod.message)}.", Cause.NODE)
    if pod.container(MAIN) is None or pod.container(MAIN).ended is None:  # type: ignore[union-attr]
        return fails(f"Pod failed ({pod.reason}): {plain(pod.message) or 'the cluster does not say why'}.", Cause.NODE)
    return None


def _out_of(pod: PodView, node: str) -> str:
    match = _TOO_SMALL.search(pod.message)
    if match is None:
        return f"Refused by its node: {node} had no {pod.reason.removeprefix('OutOf')} left."
    asked, most = int(match["asked"]), int(match["most"])
    if match["resource"] in ("memory", "ephemeral-storage"):
        amounts = f"it asks for {size(asked)}, {size(int(match['used']))} of {size(most)} were taken"
    elif match["resource"] == "cpu":
        amounts = f"it asks for {asked / 1000:g} CPU, {int(match['used']) / 1000:g} of {most / 1000:g} were taken"
    else:
        amounts = f"it asks for {asked}, {match['used']} of {most} were taken"
    return f"Refused by its node: {node} had not enough {match['resource']} left; {amounts}."


def of_command(pod: PodView) -> Diagnosis | None:
    """Why the step's own container failed, None while it has not."""
    main = pod.container(MAIN)
    if main is None or main.ended is None or main.ended.code == 0:
        return None
    ended = main.ended
    if ended.reason == "OOMKilled":
        return out_of_memory(main.limit("memory"), pod.peak, exit_code=ended.code)
    if ended.reason in _START_FAILED:
        return not_started(ended.message, main)
    if ended.reason == "ContainerStatusUnknown":
        said = f"Lost: node {pod.node} cannot say how the step's container ended; the node was probably started anew."
        return loses(said, Cause.NODE_LOST)
    return _by_code(pod, main, ended)


def out_of_memory(limit: str, peak: int | None = None, *, exit_code: int | None = 137) -> Diagnosis:
    """That a step was killed for its memory: `limit` as the pod has it, empty for none; `peak` in bytes where known."""
    at = f"killed at its limit of {memory(limit)}" if limit else "killed because the node had no memory left"
    seen = f" (its peak was {size(peak)})" if peak else ""
    advice = "Raise the step's memory limit or use less." if limit else "Give the step a memory request, or use less."
    return fails(f"Out of memory: {at}{seen}. {advice}", Cause.OUT_OF_MEMORY, exit_code=exit_code)


def not_started(message: str, main: ContainerView) -> Diagnosis:
    """Why a container could not be started, from what the container runtime says."""
    whose = "" if main.name == MAIN else f" of the container {main.name}"
    if (match := _MISSING_PROGRAM.search(message)) is not None:
        if match[1] == _ENTRY:
            said = "Could not begin: kfdash's launcher has not laid its program into the pod."
            return fails(f"{said} Look at the launcher's log; the installation's image may be broken.", Cause.LAUNCHER)
        said = f"Program not found: the image {main.image} has no {match[1]}{whose}. Correct the command, or use another image."
        return fails(said, Cause.NOT_FOUND, retryable=False, exit_code=127)
    if (match := _NOT_EXECUTABLE.search(message)) is not None:
        said = f"Program cannot be run: {match[1]}{whose} is not executable in the image {main.image}, or not for its user."
        return fails(said, Cause.NOT_FOUND, retryable=False, exit_code=126)
    return fails(f"Container could not be started{whose}: {plain(message) or 'the node does not say why'}.", Cause.CONTAINER)


def _by_code(pod: PodView, main: ContainerView, ended: Ended) -> Diagnosis:
    code = ended.code if ended.code is not None else 1
    line = _last_line(pod, ended)
    if code == _FAILED_TO_SAY and line.startswith("kfdash: "):
        told = line.removeprefix("kfdash: ").strip()
        return fails(told[:1].upper() + told[1:], Cause.CONTAINER, exit_code=code)
    if line.endswith("exec format error"):
        told = f"Wrong architecture: the program of {main.image} is not for the processor of {pod.node or 'the node'}. "
        told += "Build the image for it, or choose nodes with the selector kubernetes.io/arch."
        return fails(told, Cause.IMAGE, retryable=False, exit_code=code)
    number = code - 128
    if code > 128 and number in (*_SIGNALS, signal.SIGPIPE, signal.SIGXFSZ):
        name, meaning = signal.Signals(number).name, _SIGNALS.get(signal.Signals(number), "")
        if number == signal.SIGKILL and pod.peak:
            meaning = f"{meaning}; its peak was {size(pod.peak)}"
        said = f"Ended by {name}{f' ({meaning})' if meaning else ''}{f': {line}' if line else '.'}"
        return fails(said, Cause.SIGNAL, exit_code=code)
    return fails(f"Exit code {code}{f': {line}' if line else '.'}", Cause.EXIT_CODE, exit_code=code)


def _last_line(pod: PodView, ended: Ended) -> str:
    """What the step said last, of its log or of its termination message."""
    lines = [line.strip() for line in (*ended.message.splitlines(), *pod.last_lines) if line.strip()]
    return lines[-1][:500] if lines else ""
