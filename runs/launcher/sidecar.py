"""What the launcher does, in order. Each stage looks into the shared folder first: it may have been done before a restart.

Modules that take their time are imported when the order is being asked for: until then nothing waits for them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from runs.launcher import inputs
from runs.launcher.asking import NOWHERE, Line, Refused, Unanswered
from runs.launcher.logs import LogSender
from runs.launcher.volume import Ended, Volume

if TYPE_CHECKING:
    from runs.execution.attempt import AttemptOrder
    from runs.execution.result import Result

Json = Any

_FIRST_LOOK, _LOOK, _SELDOM = 0.01, 0.005, 0.05  # seconds between two looks at what `entry` did: one that runs for long can wait
_BRIEF = 0.1  # seconds: of a step that is over so soon, only the end is told
_ALIVE = 2.0  # seconds between two signs of life
_LOG_WITHIN = 600.0  # seconds that the rest of the log may take once the result is told
_SLOW = 0.5  # seconds after which progress is told
_LAST = 0.02  # seconds
_NOTHING_ELSE: Mapping[str, Json] = {"inputs": {}, "problems": {}}


def now() -> int:
    """Unix time in µs."""
    return time.time_ns() // 1000


class Sidecar:
    """The launcher of one attempt."""

    def __init__(self, *, attempt: str, address: str, token: str, folder: str, overlay: str, places: Sequence[str] = ()) -> None:
        self.volume = Volume(folder)
        self._attempt, self._overlay, self._places = attempt, overlay, places
        self._ending = threading.Event()
        self.began = now()
        if address == NOWHERE:
            from runs.launcher.mail import ADDRESSES, MailLine  # noqa: PLC0415  # only where it is needed

            self.line: Line = MailLine(ADDRESSES)
        else:
            self.line = Line(address, token)

    def run(self) -> int:
        """All of it; the exit code."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        self.volume.make()
        threading.Thread(target=self._stay_alive, name="alive", daemon=True).start()
        if not self.volume.has("collected"):
            try:
                self._carry_out()
            except Refused as refused:
                self._refuse(str(refused), told=True)
            except (OSError, ValueError) as error:
                self._refuse(f"The launcher could not use the volume it shares with the step: {error}.", told=False)
            else:
                self._await_entry()
                return 0
        self._ending.wait()
        return 0

    def _await_entry(self) -> None:
        """Waits until the step's container has ended, or this one is asked to: a pod without anything to stop is over sooner."""
        wait = _LOOK
        while self.volume.is_held():
            if self._ending.wait(wait):
                return
            wait = min(wait * 1.2, _SELDOM)
        self._ending.wait(_LAST)  # it should be seen to end first: a launcher that ends alone is started again

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ending.set()

    def _stay_alive(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                self.volume.touch()
            time.sleep(_ALIVE)

    # --- the stages ---

    def _carry_out(self) -> None:
        begun = self.volume.has("plan")
        sender = LogSender(self.line, self.volume)
        if begun:
            sender.start()
        try:
            order, told = self._ask_order(begun)
        except Refused:
            if begun and (text := self.volume.read("ended")) is not None:  # the result was taken; the log may not have been
                self._say_the_end(sender, Ended.read(text))
            raise
        if not begun and not self.volume.has("refused"):
            problem = self._prepare(order, told)
            if problem:
                self._tell(self._failure(problem, "inputs"))
                self._refuse(problem, told=True)
                return
        if self.volume.has("refused"):
            return
        if not begun:
            sender.start()
        if _may_have_outputs(order):
            import runs.launcher.outputs  # noqa: PLC0415, F401  # while the step runs
        ended = self._await_end()
        if ended is None:
            return
        sender.finish(ended.lines)
        result = self._collect(order, told, ended, sender)
        self._tell(result)
        self._say_the_end(sender, ended)
        self.volume.write("collected", b"")

    def _ask_order(self, begun: bool) -> tuple[AttemptOrder, dict[str, Json]]:
        """The order, and what else was told with it. Raises Refused, also for one that cannot be read."""
        loading = threading.Thread(target=_load, daemon=True)
        loading.start()
        try:
            told = self.line.call("GET", "/v1/order?begun=1" if begun else "/v1/order")
        except Unanswered as error:  # only where there is no intake to ask
            self._tell(self._failure(str(error), "inputs"))
            raise Refused(502, str(error)) from None
        loading.join()
        from runs.execution.attempt import AttemptOrder  # noqa: PLC0415  # loaded meanwhile

        try:
            return AttemptOrder.from_json(told["order"]), {**_NOTHING_ELSE, **told}
        except (KeyError, TypeError, ValueError):
            sentence = "The launcher cannot read the order of kfdash: KFDASH_IMAGE is not of the version of kfdash that runs."
            self._tell(self._failure(sentence, "refused"))
            raise Refused(502, sentence) from None

    def _prepare(self, order: AttemptOrder, told: Mapping[str, Json]) -> str:
        """Inputs in place, and the plan; a sentence where that cannot be."""
        from runs.execution.placeholders import PlaceholderError  # noqa: PLC0415
        from runs.launcher.plan import make_plan  # noqa: PLC0415

        try:
            inputs.fetch(self.line, inputs.places(order.executor_input), told["inputs"], told["problems"], self._fetched)
            plan = make_plan(order, told, self.volume, self._overlay, self._places)
            self.volume.write("plan", plan.records())
        except (inputs.NotFetched, PlaceholderError, ValueError) as error:
            return str(error)
        return ""

    def _fetched(self, done: int, total: int) -> None:
        """Tells how far it is, once a second."""
        if now() - max(self.began, getattr(self, "_told", 0)) > 1_000_000:
            self._told = now()
            of = f" of {max(total, done) / 1048576:,.0f} MiB" if total else ""
            threading.Thread(
                target=self._progress, args=("starting", f"fetching inputs: {done / 1048576:,.0f}{of}"), daemon=True
            ).start()

    def _progress(self, phase: str, reason: str = "") -> None:
        """Tells of a phase; what is not heard is no harm."""
        with contextlib.suppress(Refused, Unanswered):
            self.line.call("POST", "/v1/progress", {"phase": phase, "at": now(), "reason": reason}, patience=1.0)

    def _await_end(self) -> Ended | None:
        """How the command ended; None where the pod is ended before it is known. Tells when it has begun."""
        told, begun = False, 0.0
        while (text := self.volume.read("ended")) is None:
            if not begun and self.volume.has("begun"):
                begun = time.monotonic()
            since = time.monotonic() - begun
            if begun and not told and since > _BRIEF:
                told = True
                self._progress("running")
            if self._ending.is_set():
                return None  # `entry` was killed outright: the pod's status tells the rest
            time.sleep(min(max(since / 100, _LOOK), _SELDOM) if begun else _FIRST_LOOK)
        return Ended.read(text)

    def _collect(self, order: AttemptOrder, told: Mapping[str, Json], ended: Ended, sender: LogSender) -> Result:
        from runs.launcher import endings  # noqa: PLC0415  # loaded meanwhile

        result = endings.judge(order, ended, self.began, sender)
        if result.state != "succeeded" or not _may_have_outputs(order):
            return result
        return self._with_outputs(result, order, int(told["limits"]["output_bytes"]))

    def _with_outputs(self, result: Result, order: AttemptOrder, limit: int) -> Result:
        from runs.execution.collect import OutputsInvalid  # noqa: PLC0415
        from runs.launcher import endings, outputs  # noqa: PLC0415

        try:
            values = outputs.gather(order)
            if values.artifacts:
                slow = threading.Timer(_SLOW, self._progress, args=("collecting",))
                slow.daemon = True
                slow.start()
                try:
                    outputs.store(self.line, order, values, self.volume, limit, lambda: not self._ending.is_set())
                finally:
                    slow.cancel()
        except (OutputsInvalid, outputs.NotStored) as error:
            return endings.spoilt(result, str(error), "outputs")
        except Unanswered as error:
            return endings.spoilt(result, f"Its outputs could not be stored: nobody answered ({error}).", "outputs")
        return endings.with_outputs(result, values, now())

    def _failure(self, sentence: str, cause: str) -> Result:
        from runs.execution.result import Result  # noqa: PLC0415  # loaded meanwhile

        times = {"starting": self.began, "finished": now()}
        return Result(attempt=self._attempt, state="failed", times=times, reason=sentence, cause=cause)

    def _tell(self, result: Result) -> None:
        """Announces the result, for as long as it takes. What intake finds wrong with it, it has told the driver."""
        try:
            self.line.call("POST", "/v1/result", result.to_text().encode())
        except Refused as refused:
            print(f"The result was refused: {refused}", file=sys.stderr, flush=True)

    def _say_the_end(self, sender: LogSender, ended: Ended) -> None:
        """Waits until the log has been sent."""
        sender.finish(ended.lines)
        until = time.monotonic() + _LOG_WITHIN
        while not sender.done.wait(0.1):
            if time.monotonic() > until:
                return

    def _refuse(self, sentence: str, *, told: bool) -> None:
        """`entry` need not wait. What is not told is seen by the pod's end."""
        if not told:
            print(sentence, file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            if not self.volume.has("plan"):
                self.volume.write("refused", sentence.encode(errors="replace"))
            else:
                self.volume.write("collected", b"")


def _may_have_outputs(order: AttemptOrder) -> bool:
    """Whether there is something to collect, or a file in which it would be told."""
    told = order.executor_input.get("outputs", {}).get("outputFile", "")
    return bool(order.output_parameters or order.output_artifacts or (told and os.path.lexists(told)))


def _load() -> None:
    import runs.execution.attempt  # noqa: PLC0415, F401
