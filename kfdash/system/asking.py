"""Questions to what may not answer: each is asked at most once at a time, in a thread of its own, and waited for with a deadline.

However many pages and probes want to know, and however long a database hangs, nobody waits longer than that, and one thread hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import connections

from kfdash.doctor import Finding
from kfdash.words import duration

T = TypeVar("T")
_HANGS = 9.0  # seconds without an answer: on a busy machine one may be late


@dataclass(frozen=True)
class Seen(Generic[T]):
    """An answer: what was found, and sentences about it. `value` is None where there was none."""

    value: T | None
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing needs doing."""
        return all(found.ok for found in self.findings)


class Look(Generic[T]):
    """One question. `keep`: seconds that an answer is good for; `patience`: seconds that it is waited for."""

    def __init__(self, what: str, subject: str, ask: Callable[[], Seen[T]], *, keep: float, patience: float) -> None:
        self.what, self.subject, self._ask, self._keep, self._patience = what, subject, ask, keep, patience
        self._lock = threading.Lock()
        self._seen: Seen[T] | None = None
        self._at = -keep
        self._asking: threading.Event | None = None
        self._since = 0.0
        self._answered = float("-inf")

    def seen(self) -> Seen[T]:
        """The answer; where none comes in time, a finding that says for how long there has been none."""
        fresh, asking = self._fresh_or_asked()
        if fresh is not None:
            return fresh
        if asking.wait(max(0.0, self._patience - (time.monotonic() - self._since))):
            with self._lock:
                if self._seen is not None:
                    return self._seen
        waited = time.monotonic() - self._since
        sentence = f"{self.subject} has not answered for {duration(waited)}. It is asked on; whatever needs it waits."
        return Seen(None, (Finding(self.what, sentence, ok=False),))

    def last(self) -> Seen[T] | None:
        """The last answer, without waiting; None before the first. An old one is asked for anew meanwhile."""
        self._fresh_or_asked()
        with self._lock:
            if self._asking is not None and time.monotonic() - self._since > self._patience:
                return Seen(None, (Finding(self.what, f"{self.subject} does not answer.", ok=False),))
            return self._seen

    def hangs(self) -> bool:
        """Whether it is asked for longer than anybody waits, and has answered nobody for a while. Asks nothing itself."""
        with self._lock:
            now = time.monotonic()
            return self._asking is not None and now - self._since > self._patience and now - self._answered > _HANGS

    def outdate(self) -> None:
        """The last answer is known to be true no more: the next one who wants to know asks anew."""
        with self._lock:
            self._at = -self._keep

    def older(self, seconds: float) -> bool:
        """Whether there is no answer yet, or one older than that."""
        return self._seen is None or time.monotonic() - self._at > seconds

    def _fresh_or_asked(self) -> tuple[Seen[T] | None, threading.Event]:
        with self._lock:
            if self._asking is None:
                if self._seen is not None and time.monotonic() - self._at < self._keep:
                    return self._seen, threading.Event()
                self._asking, self._since = threading.Event(), time.monotonic()
                threading.Thread(target=self._answer, args=(self._asking,), name=f"look-{self.what}", daemon=True).start()
            return None, self._asking

    def _answer(self, asked: threading.Event) -> None:
        try:
            seen = self._ask()
        except Exception as error:  # whatever it is, it says what is wrong with the subject
            what = " ".join(str(error).split()) or type(error).__name__
            seen = Seen(None, (Finding(self.what, f"{self.subject} cannot be asked: {what}.", ok=False),))
        finally:
            connections.close_all()
        with self._lock:
            self._seen, self._at, self._asking = seen, time.monotonic(), None
            if seen.value is not None:
                self._answered = self._at
        asked.set()
