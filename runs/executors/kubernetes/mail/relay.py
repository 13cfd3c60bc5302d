"""Carries what pods say to the intake, as their launchers would if they could call it, and its answers back to them."""

from __future__ import annotations

import json
import logging
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from runs.execution.result import RESULT_LIMIT
from runs.executors.base import AttemptKey, ExecutorUnavailable
from runs.executors.kubernetes.client import Client, core_path
from runs.executors.kubernetes.client import Refused as ClusterRefused
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.mail.mailbox import Mailbox
from runs.executors.kubernetes.names import TOKEN
from runs.executors.kubernetes.pods import RECORDED
from runs.launcher import tokens
from runs.launcher.asking import Line, Refused, Unanswered
from runs.launcher.mail import ANSWER, ASKED, HEARD, ORDER, RESULT

log = logging.getLogger(__name__)

Json = Any

_PATIENCE = 10.0  # seconds for which the intake is asked
_TOKEN_LIFE = 30 * 86400  # seconds: a launcher may be followed for long
_LIST_LIMIT = 32 * 1024 * 1024  # bytes of a list of files, as the intake has it
_NOT_SOONER = 10.0  # seconds between two renewals for one attempt
_MOST_REMEMBERED = 10_000


class Relay:
    """The way between one mailbox and the intake. Safe in any number of threads."""

    def __init__(self, config: Config, client: Client) -> None:
        self._config, self._client = config, client
        self.mailbox = Mailbox(config.mail_root, config.store_options)
        self._lock = threading.Lock()
        self._renewed: dict[str, float] = {}

    def line(self, key: AttemptKey) -> Line:
        """A way to the intake in the attempt's name: whose pod said something we know from the cluster."""
        claims = tokens.Claims(key.name, key.run_id, key.path, key.number, int(time.time()) + _TOKEN_LIFE, late=True)
        return Line(self._config.intake_url, tokens.issue(self._config.key, claims))

    # --- from kfdash ---

    def post_order(self, key: AttemptKey, query: str = "") -> None:
        """Asks for the attempt's order and leaves it in the bucket; `query` as for the intake. Raises ExecutorUnavailable."""
        line = self.line(key)
        try:
            document = self._order(line, key, f"/v1/order{query}")
        except Refused as refused:
            document = {"status": refused.status, "error": str(refused), "key": _key_json(key)}
        except Unanswered as error:
            raise ExecutorUnavailable(f"The intake does not answer at {self._config.intake_url}: {error}") from None
        self.mailbox.put(ORDER, key.name, document)

    def _order(self, line: Line, key: AttemptKey, path: str) -> Json:
        told = line.call("GET", path, patience=_PATIENCE)
        listed = told["order"]["executor_input"].get("outputs", {}).get("artifacts", {}).values()
        uris = [artifact["uri"] for members in listed for artifact in members.get("artifacts", [])]
        urls = _addresses(line, [{"uri": uri, "name": "", "size": 0} for uri in uris]) if uris else []
        number = 0
        for files in told["inputs"].values():
            for file in files:
                if file["url"].startswith("/"):
                    file["url"] = self._brought(line, key, number, file["url"])
                    number += 1
        return {**told, "uploads": dict(zip(uris, urls, strict=True)), "key": _key_json(key)}

    def _brought(self, line: Line, key: AttemptKey, number: int, path: str) -> str:
        """The address in the bucket of an input that only we can reach: it is put there."""
        with tempfile.NamedTemporaryFile() as file:
            line.fetch(path, lambda: open(file.name, "wb"), lambda size: None)  # noqa: SIM115  # `fetch` closes it
            with open(file.name, "rb") as whole:
                return self.mailbox.put_input(key.name, number, whole)

    def renew(self, key: AttemptKey, *, begun: bool, why: str) -> None:
        """Gives a pod new addresses, and its order anew, not too often."""
        with self._lock:
            if time.monotonic() - self._renewed.get(key.name, -_NOT_SOONER) < _NOT_SOONER:
                return
            if len(self._renewed) > _MOST_REMEMBERED:
                self._renewed.clear()
            self._renewed[key.name] = time.monotonic()
        log.info("%s asks for other addresses: %s", key.name, why)
        path = core_path(self._client.namespace, "pods", key.name)
        try:
            pod = self._client.request("GET", path)
            if RECORDED in pod["metadata"].get("labels", {}):
                return  # it said so before its end, and is read late
            # What lies at the outputs' places may be this attempt's own by now, unless it never had an order.
            again = "?again=1" if self.mailbox.order_of(key.name) is not None else ""
            self.post_order(key, "?begun=1" if begun else again)
            patch = {"metadata": {"annotations": {TOKEN: self.mailbox.addresses(key.name)}}}
            self._client.request("PATCH", path, body=patch, content_type="application/merge-patch+json")
        except ClusterRefused as refused:
            if refused.status != 404:
                raise ExecutorUnavailable(str(refused)) from None

    # --- to kfdash ---

    def take(self, kind: str, key: AttemptKey) -> bool:
        """Takes what lies in the inbox; whether there was something. Raises ExecutorUnavailable: it stays there then."""
        text = self.mailbox.read(kind, key.name, RESULT_LIMIT if kind == RESULT else _LIST_LIMIT)
        if text is None:
            return False
        if kind == RESULT:
            self.tell_result(key, text)
        else:
            self._answer(key, text)
        self.mailbox.taken(kind, key.name)
        return True

    def tell_result(self, key: AttemptKey, text: bytes) -> None:
        """Hands a result document on. Raises ExecutorUnavailable."""
        try:
            self.line(key).call("POST", "/v1/result", text, patience=_PATIENCE)
        except Refused as refused:  # what is wrong with it, the intake has told the driver
            log.info("The result of %s was refused: %s", key.name, refused)
        except Unanswered as error:
            raise ExecutorUnavailable(f"The intake does not take the result of {key.name}: {error}") from None

    def _answer(self, key: AttemptKey, text: bytes) -> None:
        """Answers where files are to be put."""
        answer: dict[str, Json] = {}
        try:
            asked = json.loads(text)
            answer["id"] = asked["id"]
            answer["urls"] = _addresses(self.line(key), asked["files"])
        except Refused as refused:
            answer |= {"status": refused.status, "error": str(refused)}
        except (ValueError, KeyError, TypeError):
            answer |= {"status": 400, "error": "The list of files cannot be read."}
        except Unanswered as error:
            raise ExecutorUnavailable(f"The intake does not answer {key.name}: {error}") from None
        self.mailbox.put(ANSWER, key.name, answer)

    def key_of(self, attempt: str) -> AttemptKey | None:
        """Whose mail it is, by the order that lies there; None where nobody knows. Raises ExecutorUnavailable."""
        found = self.mailbox.order_of(attempt)
        return AttemptKey(attempt, **found["key"]) if isinstance(found, dict) and "key" in found else None

    def heard(self, key: AttemptKey, following: int) -> None:
        """Tells how far the log was read. Raises ExecutorUnavailable."""
        self.mailbox.put(HEARD, key.name, following)


def _addresses(line: Line, files: Sequence[Mapping[str, Json]]) -> list[str]:
    """Where each file is to be put. Raises Refused, also where pods cannot put it there; Unanswered."""
    urls: list[str] = line.call("POST", "/v1/uploads", {"files": files}, patience=_PATIENCE)["urls"]
    for file, url in zip(files, urls, strict=True):
        if url.startswith("/"):
            uri = parse_qs(urlsplit(url).query).get("uri", [str(file["uri"])])[0]
            raise Refused(
                409,
                f"Pods of this cluster cannot call kfdash (KFDASH_LAUNCHER_URL is none), and there is no signed address for {uri}: "
                "a run's pipeline root must lie in a bucket whose addresses kfdash can sign, and a file may have 5 GiB.",
            )
    return urls


def _key_json(key: AttemptKey) -> dict[str, Json]:
    return {"run_id": key.run_id, "path": key.path, "number": key.number}


__all__ = ["ASKED", "RESULT", "Relay"]
