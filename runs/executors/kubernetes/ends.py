"""How attempts ended: the result document first, then what the pod tells; and what is done with pods that are over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from runs import results
from runs.engine.model import AttemptFailed, AttemptLost, AttemptStopped, Fact
from runs.execution.facts import fact_of
from runs.execution.locations import STORE
from runs.execution.result import Cause, InvalidResult, Result, to_time
from runs.executors.base import AttemptKey, ExecutorUnavailable, LogObserved
from runs.executors.kubernetes import diagnosis, podlog
from runs.executors.kubernetes.client import Client, Refused, core_path
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.diagnosis import diagnose
from runs.executors.kubernetes.mail.relay import RESULT, Relay
from runs.executors.kubernetes.names import FINALIZER, INSTALLATION, RUN
from runs.executors.kubernetes.pods import RECORDED, RECORDED_AT, Seen, end_fact, failure
from runs.store import NotReadable

Json = Any

_STRATEGIC = "application/strategic-merge-patch+json"
_NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE = 500
_AWAITED = 15.0  # seconds until a pod's status says how its container ended
_ONLY_THE_POD_KNOWS = (diagnosis.Cause.OUT_OF_MEMORY, diagnosis.Cause.EVICTED, diagnosis.Cause.TIMEOUT)


class Ends:
    """Reads ends and removes what is left. Knows nothing of who follows the pods."""

    def __init__(self, client: Client, config: Config, relay: Relay | None = None) -> None:
        self._client = client
        self._config = config
        self._relay = relay  # where pods cannot call kfdash
        self.documents_are_near = config.results_root.startswith(STORE)  # on our own disk: looking costs nothing

    def document(
        self,
        key: AttemptKey,
        seen: Seen | None = None,
        pod: Mapping[str, Json] | None = None,
        events: Sequence[Mapping[str, Json]] = (),
    ) -> Fact | None:
        """The end that the launcher announced, if it did; where that is half the story, together with what the pod tells.

        None while the other half is awaited, too. Raises ExecutorUnavailable where the store does not answer.
        """
        try:
            result = self._result(key)
        except InvalidResult as error:
            reason = f"What the step's launcher told of its end cannot be taken. {error}"
            return AttemptFailed(key.path, key.number, datetime.now(UTC), reason, Cause.OUTPUTS)
        except NotReadable as error:
            raise ExecutorUnavailable(f"The store of results does not answer: {error}") from None
        if result is None:
            return None
        fact = fact_of(result, key.path, key.number)
        if not result.is_half_the_story or seen is None or seen.stopped:
            return fact
        if seen.end is None and time.time() - result.times["finished"] / 1e6 < _AWAITED:
            return None
        verdict = diagnose(pod, events, peak=result.peak_memory) if pod is not None else None
        if verdict is None or not (verdict.lost or (verdict.fails and verdict.cause in _ONLY_THE_POD_KNOWS)):
            return fact
        found = failure(seen, verdict, to_time(result.times["finished"]))
        return replace(found, peak_memory=result.peak_memory) if isinstance(found, AttemptFailed) else found

    def _result(self, key: AttemptKey) -> Result | None:
        """The document; one that still lies in the inbox is taken first. Raises InvalidResult, NotReadable, ExecutorUnavailable."""
        root, options = self._config.results_root, self._config.store_options
        found = results.read(root, options, key.run_id, key.name)
        if found is None and self._relay is not None and self._relay.take(RESULT, key):
            return results.read(root, options, key.run_id, key.name)
        return found

    def read(
        self, seen: Seen, pod: Mapping[str, Json], events: Sequence[Mapping[str, Json]], *, wait: bool
    ) -> tuple[Fact, list[LogObserved]] | None:
        """The end's fact, and the log where it had to be taken from the cluster. None: wait a moment."""
        if seen.end is None:
            return None
        if seen.has_launcher and (fact := self.document(seen.key, seen, pod, events)) is not None:
            return fact, []
        if wait:
            return None
        logged = podlog.take(self._client, self._config.logs_dir, seen) if seen.end.exit_code is not None else None
        lines = podlog.last_lines(self._config.logs_dir, seen, 10) if logged else []
        return end_fact(seen, seen.end, diagnose(pod, events, lines)), [logged] if logged else []

    def forget_document(self, key: AttemptKey) -> None:
        """The end is recorded: its document can go. Raises ExecutorUnavailable."""
        try:
            results.forget(self._config.results_root, self._config.store_options, key.run_id, key.name)
            if self._relay is not None:
                self._relay.mailbox.forget(key.name)
        except NotReadable as error:
            raise ExecutorUnavailable(f"The store of results does not answer: {error}") from None

    # --- ends that no pod tells ---

    def of_vanished(self, seen: Seen) -> Fact:
        """The end of an attempt whose pod is gone together with its finalizer."""
        with contextlib.suppress(ExecutorUnavailable):
            if (fact := self.document(seen.key, seen)) is not None:
                return fact
        now = datetime.now(UTC)
        if seen.stopped:
            return AttemptStopped(seen.key.path, seen.key.number, now)
        return AttemptLost(seen.key.path, seen.key.number, now, "The step's pod was taken away from the cluster by somebody else.")

    @staticmethod
    def lost_node(seen: Seen, now: datetime) -> Fact:
        """The end of one whose node does not answer any more."""
        if seen.stopped:
            return AttemptStopped(seen.key.path, seen.key.number, now)
        return AttemptLost(seen.key.path, seen.key.number, now, "The node that the step ran on does not answer any more.")

    @staticmethod
    def waited_too_long(seen: Seen, now: datetime, why: str) -> Fact:
        """The end of one that could not be started for too long."""
        reason = f"The step could not be started for {int((now - seen.at).total_seconds() // 60)} minutes. {why}".strip()
        return AttemptFailed(seen.key.path, seen.key.number, now, reason, "start-timeout", retryable=False)

    # --- pods that are over ---

    def still_there(self, key: AttemptKey) -> bool:
        """Whether there is such a pod."""
        try:
            self._client.request("GET", core_path(self._client.namespace, "pods", key.name), accept=_as_metadata())
        except Refused as refused:
            return refused.status != 404
        return True

    def delete(self, key: AttemptKey, *, grace: int | None = None) -> bool:
        """Has a pod deleted, its finalizer stays; whether there was one. Raises ExecutorUnavailable."""
        body = {"gracePeriodSeconds": grace} if grace is not None else None
        return self._client.found("DELETE", core_path(self._client.namespace, "pods", key.name), body=body) is not None

    def release(self, name: str) -> dict[str, Json] | None:
        """An attempt's end is recorded: its pod may go whenever it does. The pod as it is; None where it is gone already.

        Raises ExecutorUnavailable.
        """
        patch = {
            "metadata": {
                "labels": {RECORDED: "true"},
                "annotations": {RECORDED_AT: str(int(time.time()))},
                "$deleteFromPrimitiveList/finalizers": [FINALIZER],
            }
        }
        path = core_path(self._client.namespace, "pods", name)
        pod: dict[str, Json] | None = self._client.found("PATCH", path, body=patch, content_type=_STRATEGIC)
        return pod

    def sweep(self) -> None:
        """Deletes recorded pods whose time is over. Raises ExecutorUnavailable and Refused."""
        for index, phase in enumerate(("=Succeeded", "!=Succeeded")):
            pods = [one for one in self._recorded(f"status.phase{phase}") if "deletionTimestamp" not in one]
            times = self._times({one.get("labels", {}).get(RUN, "") for one in pods})
            for metadata in pods:
                told = metadata.get("annotations", {}).get(RECORDED_AT, "0")
                age = time.time() - (int(told) if told.isdecimal() else 0)
                if age > times[metadata.get("labels", {}).get(RUN, "")][index]:
                    self._client.found("DELETE", core_path(self._client.namespace, "pods", metadata["name"]))

    def _times(self, runs: Collection[str]) -> Mapping[str, tuple[float, float]]:
        same = dict.fromkeys(runs, (self._config.pod_ttl, self._config.failed_pod_ttl))
        known = {run for run in runs if run}
        return {**same, **self._config.pod_times(known)} if self._config.pod_times is not None and known else same

    def _recorded(self, fields: str) -> Iterator[Mapping[str, Json]]:
        selector = f"{INSTALLATION}={self._config.installation},{RECORDED}"
        query: dict[str, Json] = {"labelSelector": selector, "fieldSelector": fields, "limit": _PAGE}
        while True:
            answer = self._client.request("GET", core_path(self._client.namespace, "pods"), query=query, accept=_NAMES_ONLY)
            yield from [item["metadata"] for item in answer["items"] or ()]
            query["continue"] = answer["metadata"].get("continue", "")
            if not query["continue"]:
                return


def _as_metadata() -> str:
    return "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
