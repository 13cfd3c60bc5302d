"""Follows the pods of an installation: lists, then watches, lists again now and then, and tells what happened as facts.

Kept of each pod is what its facts need; the pod itself only while it waits for something or its end is being read.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from runs.engine.model import AttemptProgressed, Fact, Phase
from runs.executors.base import ExecutorUnavailable, FactObserved, Observation, Standing
from runs.executors.kubernetes.client import Client, Refused, core_path
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.deviceclaims import DeviceClaims
from runs.executors.kubernetes.diagnosis import Cause, diagnose
from runs.executors.kubernetes.ends import Ends
from runs.executors.kubernetes.mail.post import Post
from runs.executors.kubernetes.names import INSTALLATION
from runs.executors.kubernetes.nodes import Nodes
from runs.executors.kubernetes.podlog import PodLogs
from runs.executors.kubernetes.pods import RECORDED, Seen, failure, lost_with_its_node, read

log = logging.getLogger(__name__)

Json = Any

_LIST_AGAIN = 300  # seconds
_BREATH = 0.2  # seconds until the list is asked for again
_MOMENT = 2.0  # seconds until a broken connection is made again
_LAUNCHER_TIME = 10.0  # seconds that a launcher has for the result document once the user's container ended
_EVENTS_KEPT = 12  # a pod
_OF_EVERY_POD = ("Scheduled", "Created", "Started", "Killing")  # events that say nothing which a pod's status does not
_TELLING = ",".join(["involvedObject.kind=Pod", *(f"reason!={reason}" for reason in _OF_EVERY_POD)])
_SILENCE = 150.0  # seconds after which a watch is dead: bookmarks come about once a minute
_PAGE, _PAGES = 500, 10  # of events
_UNCLAIMED = 3600.0  # seconds, at least, until the end of an attempt that nobody records is let go


class Expired(Exception):
    """The place in the history from which a watch was to go on is gone: list again."""


@dataclass(slots=True)
class Known:
    """What is kept of a pod."""

    seen: Seen
    pod: dict[str, Json] | None = None  # while it waits for something, or its end is being read
    events: list[Mapping[str, Json]] = field(default_factory=list)
    told: AttemptProgressed | None = None
    end: Fact | None = None  # told; where there is a result document it is read again when asked for
    ending_since: float = 0.0  # monotonic; 0 while it has not ended
    reading: bool = False  # its end is being read by some thread
    patient: bool = False  # it only waits for room beside others: that may take as long as it takes


class Watch:
    """Threads that follow pods and their events until `close`. `tell` is called from any of them."""

    def __init__(
        self, client: Client, config: Config, ends: Ends, tell: Callable[[Sequence[Observation]], None], post: Post | None = None
    ) -> None:
        self._client = client
        self._selector = f"{INSTALLATION}={config.installation},!{RECORDED}"
        self._ends = ends
        self._nodes = Nodes(client)
        self._device_claims = DeviceClaims(client)
        self._start_timeout = config.start_timeout
        self._patience = config.failed_pod_ttl
        self._tell = tell
        self._post = post  # where pods cannot call kfdash
        self._known: dict[str, Known] = {}
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._logs = PodLogs(client, config.logs_dir, tell)
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="ends")
        self.synced = threading.Event()  # the list is known and followed
        self._trouble = ""  # why not

    def start(self) -> None:
        """Begins."""
        for name, follow in (("pods", self._follow_pods), ("events", self._follow_events), ("pod-clock", self._look_at_clock)):
            threading.Thread(target=follow, name=name, daemon=True).start()

    def close(self) -> None:
        """Ends the threads, at the latest when something arrives."""
        self._closed.set()
        self._readers.shutdown(wait=False, cancel_futures=True)

    def newest(self, name: str) -> Known | None:
        """What is known of a pod; None for one that is not known (or not yet)."""
        with self._lock:
            return self._known.get(name)

    def drop(self, name: str) -> None:
        """A pod is recorded: the cluster will say so in a moment."""
        with self._lock:
            self._known.pop(name, None)
        if self._post is not None:
            self._post.drop(name)

    def standing(self) -> Standing:
        """Why pods cannot be followed now, and how many there are by phase (`ended`: the end is not recorded yet)."""
        with self._lock:
            phases = Counter("ended" if one.end or one.seen.end else one.seen.phase.value.lower() for one in self._known.values())
        return Standing(self._trouble, phases)

    # --- following ---

    def _follow_pods(self) -> None:
        while not self._closed.is_set():
            try:
                version = self._list_pods()
                self._trouble = ""
                self.synced.set()
                self._tell(())  # from here on nothing is missed
                self._watch("pods", {"labelSelector": self._selector}, version, self._pod_event)
            except Expired:
                self._closed.wait(_BREATH)
            except (ExecutorUnavailable, Refused) as error:
                if self.synced.is_set():
                    log.warning("The cluster's pods cannot be followed now: %s", error)
                self._trouble = str(error)
                self.synced.clear()
                self._closed.wait(_MOMENT)
            except Exception:
                log.exception("Following pods failed; it is begun again.")
                self._closed.wait(_MOMENT)

    def _follow_events(self) -> None:
        while not self._closed.is_set():
            try:
                self.synced.wait()
                selector = {"fieldSelector": _TELLING}
                self._watch("events", selector, self._list_events(selector), self._cluster_event)
            except Expired:
                self._closed.wait(_BREATH)
            except (ExecutorUnavailable, Refused):
                self._closed.wait(_MOMENT)
            except Exception:
                log.exception("Following the cluster's events failed; it is begun again.")
                self._closed.wait(_MOMENT)

    def _list_pods(self) -> str:
        query = {"labelSelector": self._selector, "resourceVersion": "0"}
        answer = self._client.request("GET", self._path("pods"), query=query)
        there = set()
        for pod in answer["items"] or ():
            there.add(pod["metadata"]["name"])
            self._pod(pod)
        with self._lock:
            gone = [name for name in self._known if name not in there]
        for name in gone:
            self._gone(name)
        version: str = answer["metadata"]["resourceVersion"]
        return version

    def _list_events(self, selector: Mapping[str, str]) -> str:
        """What was said of our pods before we listened; where it is very much, the first part."""
        query: dict[str, Json] = {**selector, "limit": _PAGE}
        for _ in range(_PAGES):
            answer = self._client.request("GET", self._path("events"), query=query)
            for event in answer["items"] or ():
                self._cluster_event("ADDED", event)
            query["continue"] = answer["metadata"].get("continue", "")
            if not query["continue"]:
                break
        version: str = answer["metadata"]["resourceVersion"]
        return version

    def _watch(self, kind: str, selector: Mapping[str, str], version: str, take: Callable[[str, dict[str, Json]], None]) -> None:
        """Follows for some minutes. Raises Expired, ExecutorUnavailable and Refused."""
        until = time.monotonic() + _LIST_AGAIN
        while not self._closed.is_set() and (left := until - time.monotonic()) > 0:
            query = {
                **selector,
                "watch": "1",
                "allowWatchBookmarks": "true",
                "resourceVersion": version,
                "timeoutSeconds": max(1, int(left)),
            }
            try:
                for line in self._client.lines(self._path(kind), query=query, read=_SILENCE):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise Expired
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        take(event["type"], event["object"])
                    if self._closed.is_set():
                        return
            except Refused as refused:
                if refused.status == 410:
                    raise Expired from None
                raise

    def _path(self, kind: str) -> str:
        return core_path(self._client.namespace, kind)

    # --- what is seen ---

    def _pod_event(self, kind: str, pod: dict[str, Json]) -> None:
        if kind == "DELETED":
            self._gone(pod["metadata"]["name"])
        else:
            self._pod(pod)

    def _pod(self, pod: dict[str, Json]) -> None:
        seen = read(pod)
        if seen is None:
            return
        pod["metadata"].pop("managedFields", None)
        self._logs.see(seen)
        if self._post is not None:
            self._post.see(seen)
        with self._lock:
            known = self._known.get(seen.key.name)
            if known is None:
                known = self._known[seen.key.name] = Known(seen)
            known.seen = seen
            if known.end is not None:
                return
            known.pod = pod if seen.end is not None or seen.phase is not Phase.RUNNING or seen.deleted_at else None
            if seen.end is not None and not known.ending_since:
                known.ending_since = time.monotonic()
        self._consider(known, pod)

    def _gone(self, name: str) -> None:
        """The pod left the selection: its end is recorded, or somebody took it away together with its finalizer."""
        with self._lock:
            known = self._known.pop(name, None)
        if self._post is not None:
            self._post.drop(name)
        if known is not None and known.end is None and not self._ends.still_there(known.seen.key):
            self._tell([FactObserved(known.seen.key.run_id, self._ends.of_vanished(known.seen))])

    def _cluster_event(self, kind: str, event: dict[str, Json]) -> None:
        name = event.get("involvedObject", {}).get("name", "")
        with self._lock:
            known = self._known.get(name)
            if known is None or known.end is not None or kind == "DELETED":
                return
            uid = event["metadata"].get("uid")
            known.events = [one for one in known.events if one["metadata"].get("uid") != uid][1 - _EVENTS_KEPT :] + [event]
            pod = known.pod
        if pod is not None:
            self._consider(known, pod)

    def _consider(self, known: Known, pod: dict[str, Json]) -> None:
        """Tells what is new about a pod."""
        seen = known.seen
        if seen.end is not None:
            self._end(known)
            return
        absent = self._device_claims.absent(pod)
        verdict = diagnose(pod, known.events, nodes=self._nodes.for_pod(pod), absent_claims=absent)
        known.patient = verdict is not None and verdict.cause == Cause.WAITS_FOR_ROOM
        if verdict is not None and verdict.fails and not seen.deleted_at:
            self._give_up(known, failure(seen, verdict, datetime.now(UTC)))
            return
        reason, attention = (verdict.sentence, verdict.attention) if verdict is not None else ("", False)
        fact = AttemptProgressed(seen.key.path, seen.key.number, seen.phase, seen.at, reason, attention)
        if seen.phase is Phase.RUNNING and seen.has_launcher and not reason and not (known.told and known.told.reason):
            return  # the launcher says when the user's code runs, earlier and better
        with self._lock:
            if known.end is not None or known.told == fact:
                return
            known.told = fact
        self._tell([FactObserved(seen.key.run_id, fact)])

    def _give_up(self, known: Known, fact: Fact) -> None:
        """Tells the end of an attempt whose pod cannot start, and has the pod ended."""
        with self._lock:
            if known.end is not None:
                return
            known.end, known.pod, known.ending_since = fact, None, time.monotonic()
        self._ends.delete(known.seen.key)
        self._tell([FactObserved(known.seen.key.run_id, fact)])

    def _end(self, known: Known) -> None:
        with self._lock:
            if known.reading or known.end is not None or self._closed.is_set():
                return
            known.reading = True
        self._readers.submit(self._read_end, known)

    def _read_end(self, known: Known) -> None:
        """Reads how an attempt ended and tells it; where the launcher may still be at work, the clock asks again."""
        try:
            with self._lock:
                seen, pod, events = known.seen, known.pod, list(known.events)
            if seen.end is None or pod is None:
                return
            self._logs.stop(seen.key.name)
            patient = seen.has_launcher and not seen.launcher_ended and not seen.deleted_at
            found = self._ends.read(seen, pod, events, wait=patient and time.monotonic() - known.ending_since < _LAUNCHER_TIME)
            if found is None:
                return
            fact, logged = found
            with self._lock:
                if known.end is not None:
                    return
                known.end, known.pod, known.events = fact, None, []
            self._tell([*logged, FactObserved(seen.key.run_id, fact)])
        except ExecutorUnavailable as error:
            log.warning("How %s ended cannot be read now: %s", known.seen.key.name, error)
        except Exception:
            log.exception("How %s ended cannot be read.", known.seen.key.name)
        finally:
            known.reading = False

    # --- what falls due ---

    def _look_at_clock(self) -> None:
        ticks = 0
        while not self._closed.wait(1.0):
            ticks += 1
            try:
                for known in self._due():
                    self._look_again(known)
                if ticks % 60 == 0 and self.synced.is_set():
                    self._let_go()
                    self._ends.sweep()
            except (ExecutorUnavailable, Refused) as error:
                log.warning("Pods that are over could not be removed now: %s", error)
            except Exception:
                log.exception("Looking at pods that wait failed.")

    def _due(self) -> Iterator[Known]:
        with self._lock:
            return iter([known for known in self._known.values() if known.pod is not None and known.end is None])

    def _let_go(self) -> None:
        """Releases pods that ended long ago and that nobody asks for: their run is not in the database (any more)."""
        before = time.monotonic() - max(_UNCLAIMED, self._patience)
        with self._lock:
            names = [name for name, known in self._known.items() if known.end is not None and known.ending_since < before]
        for name in names:
            self._ends.release(name)

    def _look_again(self, known: Known) -> None:
        now = datetime.now(UTC)
        seen = known.seen
        if seen.end is not None:
            self._end(known)
        elif lost_with_its_node(seen, now):
            self._give_up(known, self._ends.lost_node(seen, now))
        elif not known.patient and seen.phase is not Phase.RUNNING and (now - seen.at).total_seconds() > self._start_timeout:
            why = known.told.reason if known.told else ""
            self._give_up(known, self._ends.waited_too_long(seen, now, why))
