"""Who looks into the inbox, and whose output is followed: what the executor has running where pods cannot call kfdash."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from runs.executors.base import AttemptKey, ExecutorUnavailable
from runs.executors.kubernetes.client import Client
from runs.executors.kubernetes.mail.following import Follower
from runs.executors.kubernetes.mail.mailbox import Mail
from runs.executors.kubernetes.mail.relay import Relay
from runs.executors.kubernetes.pods import Seen

log = logging.getLogger(__name__)

_OFTEN = 0.1  # seconds between two looks while a pod may have ended before its output could be followed
_SELDOM = 2.0  # … while pods run, whose hints come at once
_IDLE = 30.0
_YOUNG = 20.0  # seconds after its start in which a pod is looked after often
_AT_ONCE = 8


class Post:
    """Begins with the first pod that is seen; ends with the process."""

    def __init__(self, client: Client, relay: Relay) -> None:
        self._client, self._relay = client, relay
        self._lock = threading.Lock()
        self._followers: dict[str, Follower] = {}
        self._seen: dict[str, tuple[AttemptKey, float]] = {}  # attempts that may write, since when they were started
        self._taking: set[Mail] = set()
        self._poked = threading.Event()
        self._takers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mail")
        self._tellers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="tell")
        threading.Thread(target=self._look_for_ever, name="inbox", daemon=True).start()

    def see(self, seen: Seen) -> None:
        """A pod changed."""
        if not seen.has_launcher or not seen.started:
            return
        name = seen.key.name
        with self._lock:
            if name not in self._seen:
                self._seen[name] = (seen.key, time.monotonic())
                self._poked.set()
            if not seen.launcher_began:
                return
            follower = self._followers.get(name)
            if follower is None:
                follower = self._followers[name] = Follower(self._client, self._relay, seen.key, self._poked.set, self._tellers)
                follower.start()
            follower.last = follower.last or seen.launcher_ended

    def drop(self, name: str) -> None:
        """A pod is recorded or gone; what it still prints is read all the same."""
        with self._lock:
            self._seen.pop(name, None)
            follower = self._followers.pop(name, None)
        if follower is not None:
            follower.last = True

    def when_read(self, name: str, do: Callable[[], None]) -> bool:
        """Has it done when all that the pod printed is read; False where nothing is left to be read."""
        with self._lock:
            follower = self._followers.get(name)
        return follower is not None and follower.when_done(do)

    # --- the inbox ---

    def _look_for_ever(self) -> None:
        while True:
            self._poked.wait(self._pause())
            self._poked.clear()
            try:
                self._look()
            except ExecutorUnavailable as error:
                log.warning("%s", error)
                time.sleep(_SELDOM)
            except Exception:
                log.exception("Looking into the inbox failed.")
                time.sleep(_SELDOM)

    def _pause(self) -> float:
        before = time.monotonic() - _YOUNG
        with self._lock:
            for name, (_, since) in self._seen.items():
                follower = self._followers.get(name)
                if since > before and (follower is None or not follower.heard.is_set()):
                    return _OFTEN
            return _SELDOM if self._seen else _IDLE

    def _look(self) -> None:
        for mail in self._relay.mailbox.inbox():
            with self._lock:
                if mail in self._taking:
                    continue
                self._taking.add(mail)
            self._takers.submit(self._take, mail)

    def _take(self, mail: Mail) -> None:
        try:
            with self._lock:
                known = self._seen.get(mail.attempt)
            key = known[0] if known else self._relay.key_of(mail.attempt)
            if key is None:
                log.warning("There is mail of %s, and nobody knows its run.", mail.attempt)
                self._relay.mailbox.taken(mail.kind, mail.attempt)
            else:
                self._relay.take(mail.kind, key)
        except ExecutorUnavailable as error:
            log.warning("%s", error)
        except Exception:
            log.exception("The mail of %s could not be taken.", mail.attempt)
        finally:
            with self._lock:
                self._taking.discard(mail)
