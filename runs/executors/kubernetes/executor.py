"""The executor whose steps are pods. Safe in any number of threads and processes; one that observes follows the cluster."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from runs.engine.model import AttemptLost, AttemptProgressed, AttemptStopped, Fact
from runs.execution.platform import InvalidOrder
from runs.executors.base import (
    AttemptKey,
    AttemptOrder,
    ClaimRefused,
    ExecutorUnavailable,
    FactObserved,
    NotNow,
    Observation,
    Standing,
)
from runs.executors.kubernetes import describing
from runs.executors.kubernetes.client import Client, Refused, core_path
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.diagnosis import diagnose, refusal
from runs.executors.kubernetes.ends import Ends
from runs.executors.kubernetes.mail.post import Post
from runs.executors.kubernetes.mail.relay import Relay
from runs.executors.kubernetes.manifest import manifest, workspace_manifest
from runs.executors.kubernetes.names import INSTALLATION, RUN
from runs.executors.kubernetes.pods import STOPPED, end_fact, read
from runs.executors.kubernetes.watch import Known, Watch
from runs.launcher import tokens

Json = Any
T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 8  # calls to the API server
_TOKEN_LIFE = 30 * 86400  # seconds; an attempt that is over has no use for its token anyway
_TELLING = 10  # seconds more than the user's grace period, for the launcher's last words


class KubernetesExecutor:
    """Steps as pods of one namespace. See `runs.executors.base.Executor`."""

    forget_after = 15.0  # each pod that is let go costs API server and kubelet as much as a container: others come first

    def __init__(self, config: Config) -> None:
        self.config = config
        self.client = Client(config)
        self._relay = Relay(config, self.client) if config.by_mail else None
        self._ends = Ends(self.client, config, self._relay)
        self._watch: Watch | None = None
        self._post: Post | None = None
        self._watchers: list[queue.SimpleQueue[Sequence[Observation] | None]] = []
        self._lock = threading.Lock()

    # --- the protocol ---

    def start(self, orders: Sequence[AttemptOrder]) -> Mapping[str, str]:
        """Makes pods; returns name → sentence for those that can never be. Raises NotNow, ExecutorUnavailable."""
        refused: dict[str, str] = {}
        waiting: dict[str, str] = {}
        answers = _each(self._start, orders)
        _raise_first(answers)  # all are sent again then: what is there already is left alone
        for order, answer in zip(orders, answers, strict=True):
            if answer is not None:
                verdict = refusal(answer.answer) if isinstance(answer, Refused) else None
                if verdict is None or verdict.fails:
                    refused[order.name] = verdict.sentence if verdict else str(answer)
                else:
                    waiting[order.name] = verdict.sentence
        if waiting:
            raise NotNow(waiting, refused)
        return refused

    def stop(self, attempts: Sequence[AttemptKey], *, grace: float) -> Sequence[FactObserved]:
        """Has pods ended; what has none is told, and returned, as stopped. Raises ExecutorUnavailable."""
        answers = _each(lambda key: self._stop(key, grace), attempts)
        _raise_first(answers)
        facts = [fact for fact in answers if isinstance(fact, FactObserved)]
        if facts:
            self._tell(facts)
        return facts

    def observe(self) -> Iterator[Sequence[Observation]]:
        """Batches as they come. An empty one says that the cluster was joined anew, and that it is the time to `look`."""
        mine: queue.SimpleQueue[Sequence[Observation] | None] = queue.SimpleQueue()
        with self._lock:
            self._watchers.append(mine)
            if self._watch is None:
                self._post = Post(self.client, self._relay) if self._relay is not None else None
                self._watch = Watch(self.client, self.config, self._ends, self._tell, self._post)
                self._watch.start()
        try:
            while (batch := mine.get()) is not None:
                yield batch
        finally:
            with self._lock:
                self._watchers.remove(mine)

    def look(self, attempts: Sequence[AttemptKey]) -> Sequence[FactObserved]:
        """What is known of these attempts. Raises ExecutorUnavailable."""
        answers = _each(lambda key: FactObserved(key.run_id, self._look(key)), attempts)
        _raise_first(answers)
        return [answer for answer in answers if isinstance(answer, FactObserved)]

    def forget(self, attempts: Sequence[AttemptKey]) -> None:
        """Pods lose their finalizer, and go when their time has come. Raises ExecutorUnavailable."""
        _raise_first(_each(self._forget, attempts))

    def describe(self, key: AttemptKey) -> Mapping[str, Json] | None:
        """What people are shown of an attempt's pod, see `describing.describe`. Raises ExecutorUnavailable."""
        return describing.describe(self.client, self.config, key)

    def clear(self, run_id: str) -> None:
        """Deletes all pods and the workspace of a run. Raises ExecutorUnavailable."""
        selector = f"{INSTALLATION}={self.config.installation},{RUN}={run_id}"
        namespace = self.client.namespace
        try:
            answer = self.client.request("GET", core_path(namespace, "pods"), query={"labelSelector": selector})
            for pod in answer["items"] or ():
                self._ends.release(pod["metadata"]["name"])
            for kind in ("pods", "persistentvolumeclaims"):
                self.client.request("DELETE", core_path(namespace, kind), query={"labelSelector": selector})
        except Refused as refused:
            raise refused.in_words() from None

    def standing(self) -> Standing:
        """Why pods cannot be followed, and how many there are by phase; nothing where this process does not follow them."""
        watch = self._watch
        return watch.standing() if watch is not None else Standing()

    def close(self) -> None:
        """Ends all observing and lets go of connections."""
        with self._lock:
            if self._watch is not None:
                self._watch.close()
            for watcher in self._watchers:
                watcher.put(None)
        self.client.close()

    # --- claims, which need no pod ---

    def create_claim(self, claim: Mapping[str, Json]) -> None:
        """Makes a volume claim; one that the same attempt made is the same. Raises ClaimRefused, ExecutorUnavailable."""
        name, namespace = claim["metadata"]["name"], self.client.namespace
        try:
            self.client.request("POST", core_path(namespace, "persistentvolumeclaims"), body=claim)
        except Refused as refused:
            if refused.reason != "AlreadyExists":
                raise ClaimRefused(f"The cluster refuses the volume claim {name!r}: {refused}") from None
            there = self.client.request("GET", core_path(namespace, "persistentvolumeclaims", name))
            if there["metadata"].get("labels") != claim["metadata"].get("labels"):
                raise ClaimRefused(f"There is a volume claim {name!r} already. Choose another name.") from None

    def delete_claim(self, name: str) -> None:
        """Deletes a volume claim. Raises ClaimRefused where there is none, ExecutorUnavailable."""
        try:
            self.client.request("DELETE", core_path(self.client.namespace, "persistentvolumeclaims", name))
        except Refused as refused:
            if refused.status == 404:
                raise ClaimRefused(f"There is no volume claim {name!r} to delete.") from None
            raise ClaimRefused(f"The cluster does not delete the volume claim {name!r}: {refused}") from None

    # --- one attempt ---

    def _start(self, order: AttemptOrder) -> Exception | None:
        """None where the pod is there now, whoever made it."""
        try:
            pod = manifest(order, self.config, self._credential(order))
            if order.workspace_claim:
                self._make("persistentvolumeclaims", workspace_manifest(order, self.config.installation))
            made = self._make("pods", pod)
        except (InvalidOrder, Refused) as error:
            return error
        if made and self._relay is not None and (order.command or order.args):
            # Only now: what an earlier attempt left is cleared away with it, and a pod that is there may have begun.
            self._relay.post_order(AttemptKey(order.name, order.run_id, order.path, order.number))
        return None

    def _credential(self, order: AttemptOrder) -> str:
        """What the launcher shows: the attempt's token; where it cannot call, its addresses."""
        if self._relay is not None:
            return self._relay.mailbox.addresses(order.name)
        claims = tokens.Claims(order.name, order.run_id, order.path, order.number, int(time.time()) + _TOKEN_LIFE)
        return tokens.issue(self.config.key, claims)

    def _make(self, kind: str, body: Mapping[str, Json]) -> bool:
        """Whether it was made now; it may be there already."""
        try:
            self.client.request("POST", core_path(self.client.namespace, kind), body=body)
        except Refused as refused:
            if refused.reason != "AlreadyExists":
                raise
            return False
        return True

    def _stop(self, key: AttemptKey, grace: float) -> FactObserved | None:
        path = core_path(self.client.namespace, "pods", key.name)
        note = {"metadata": {"annotations": {STOPPED: str(int(time.time()))}}}
        pod = self.client.found("PATCH", path, body=note, content_type="application/merge-patch+json")
        if pod is None:
            return FactObserved(key.run_id, AttemptStopped(key.path, key.number, datetime.now(UTC)))
        seen = read(pod)
        if seen is None or seen.end is None:
            self._ends.delete(key, grace=math.ceil(grace) + _TELLING if grace > 0 else 0)
        return None

    def _look(self, key: AttemptKey) -> Fact:
        known = self._watch.newest(key.name) if self._watch is not None and self._watch.synced.is_set() else None
        if known is None:
            known = self._fetched(key)
        if known is None or known.seen.recorded:
            return self._ends.document(key) or _unknown(key)
        seen = known.seen
        near = self._ends.documents_are_near
        if (near or seen.end is not None or known.end is not None) and (
            fact := self._ends.document(key, seen, known.pod, known.events)
        ) is not None:
            return fact
        if known.end is not None:
            return known.end
        return known.told or AttemptProgressed(key.path, key.number, seen.phase, seen.at)

    def _fetched(self, key: AttemptKey) -> Known | None:
        """A pod that is not followed, or not yet."""
        pod = self.client.found("GET", core_path(self.client.namespace, "pods", key.name))
        seen = read(pod) if pod is not None else None
        if seen is None:
            return None
        known = Known(seen, pod)
        if seen.end is not None and (seen.launcher_ended or seen.deleted_at or not seen.has_launcher):
            known.end = end_fact(seen, seen.end, diagnose(pod, ()))
        return known

    def _forget(self, key: AttemptKey) -> None:
        """Lets go of an attempt; where its log is still being read, once that is done."""
        if self._post is None or not self._post.when_read(key.name, lambda: self._let_go(key)):
            self._let_go(key)

    def _let_go(self, key: AttemptKey) -> None:
        pod = self._ends.release(key.name)
        if pod is not None:
            ended_well = pod.get("status", {}).get("phase") == "Succeeded"
            events = [] if ended_well else describing.events_of(self.client, key.name)
            describing.keep(self.config, key, pod, events)
        self._ends.forget_document(key)
        if self._watch is not None:
            self._watch.drop(key.name)

    def _tell(self, batch: Sequence[Observation]) -> None:
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.put(batch)


def _unknown(key: AttemptKey) -> AttemptLost:
    return AttemptLost(key.path, key.number, datetime.now(UTC), "The cluster has no pod of this attempt.")


def _each(do: Callable[[T], R], items: Sequence[T]) -> list[R | ExecutorUnavailable]:
    """Several at once, answers in the order of the items; what cannot be done now is among them."""

    def tried(item: T) -> R | ExecutorUnavailable:
        try:
            return do(item)
        except ExecutorUnavailable as error:
            return error

    if len(items) < 2:
        return [tried(item) for item in items]
    with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
        return list(pool.map(tried, items))


def _raise_first(answers: Sequence[object]) -> None:
    for answer in answers:
        if isinstance(answer, ExecutorUnavailable):
            raise answer
