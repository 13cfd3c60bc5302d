"""Talks to the API server: plain dicts there and back, refusals as sentences. The only place that knows the `kubernetes` package.

The package reads kubeconfigs and knows how to log in; requests go through its connection pool as raw JSON, because its typed
models cost much for many pods and drop fields they do not know.
"""

from __future__ import annotations

import json
import os
import pathlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
import yaml
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config

from runs.executors.base import ExecutorUnavailable
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.diagnosis import refusal

Json = Any

_CONNECT, _READ = 5.0, 30.0  # seconds
_ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TRANSIENT = (408, 429, 500, 502, 503, 504)


class NoKubeconfig(ExecutorUnavailable):
    """How to reach a cluster is not known, or is told wrongly."""


class NotLetIn(ExecutorUnavailable):
    """The API server does not accept the credentials."""


class Refused(Exception):
    """The API server said no. `status` is HTTP's, `reason` Kubernetes' word (`AlreadyExists`, …), `answer` its Status document."""

    def __init__(self, status: int, answer: Mapping[str, Json]) -> None:
        self.status = status
        self.reason = str(answer.get("reason") or "")
        self.answer = {"code": status, **answer}
        super().__init__(str(answer.get("message") or f"HTTP {status}"))

    def in_words(self) -> ExecutorUnavailable:
        """The same as a sentence for people: it may be allowed another time."""
        return ExecutorUnavailable(refusal(self.answer).sentence)


class Client:
    """One API server and one namespace. Threads share a pool of connections; a process that was forked opens its own."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._process = 0
        self._api: Any = None
        self._namespace = config.namespace

    @property
    def namespace(self) -> str:
        """Where pods are made. Raises ExecutorUnavailable where the kubeconfig cannot be read."""
        if not self._namespace:
            self._opened()
        return self._namespace

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Json] | None = None,
        body: Json = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        """One call; the answer's JSON. Raises Refused, or ExecutorUnavailable for what may be otherwise in a moment."""
        response = self._send(method, path, query, body, content_type, accept, stream=False, read=_READ)
        return json.loads(response.data) if response.data else None

    def found(self, method: str, path: str, **options: Json) -> Json:
        """As `request`, for an object that may be gone: None then. Raises ExecutorUnavailable for whatever else is refused."""
        try:
            return self.request(method, path, **options)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise refused.in_words() from None

    def lines(self, path: str, *, query: Mapping[str, Json], read: float) -> Iterator[bytes]:
        """Lines of an answer that goes on for long: a watch, or a log; `read` seconds of silence end it. Raises as `request`."""
        rest = b""
        for piece in self.pieces(path, query=query, read=read):
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def pieces(self, path: str, *, query: Mapping[str, Json], read: float) -> Iterator[bytes]:
        """The same in pieces as they arrive."""
        response = self._send("GET", path, query, None, "", "application/json", stream=True, read=read)
        try:
            yield from response.stream(65536, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ExecutorUnavailable(f"The connection to the Kubernetes API broke off: {error}.") from None
        finally:
            response.close()

    def close(self) -> None:
        """Lets go of all connections of this process."""
        if self._api is not None and self._process == os.getpid():
            self._api.rest_client.pool_manager.clear()

    # --- the connection ---

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Json] | None,
        body: Json,
        content_type: str,
        accept: str,
        *,
        stream: bool,
        read: float,
    ) -> Any:
        api = self._opened()
        headers = {"Accept": accept, "User-Agent": "kfdash"}
        if body is not None:
            headers["Content-Type"] = content_type
        pairs = [(key, value) for key, value in (query or {}).items()]
        try:
            api.update_params_for_auth(headers, pairs, ["BearerToken"])
            response = api.rest_client.pool_manager.request(
                method,
                f"{api.configuration.host}{path}" + (f"?{urlencode(pairs)}" if pairs else ""),
                headers=headers,
                body=json.dumps(body).encode() if body is not None else None,
                timeout=urllib3.Timeout(connect=_CONNECT, read=read),
                preload_content=not stream,
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ExecutorUnavailable(f"The Kubernetes API at {api.configuration.host} does not answer: {_brief(error)}") from None
        if response.status >= 400:
            self._refuse(api, response)
        return response

    def _refuse(self, api: Any, response: Any) -> None:
        raw = response.data if response.data is not None else response.read()
        response.close()
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            answer = {"message": raw.decode(errors="replace")[:300]}
        host = api.configuration.host
        if response.status == 401:
            raise NotLetIn(
                f"The Kubernetes API at {host} does not accept kfdash's credentials; they may have expired. Renew the kubeconfig."
            )
        if response.status in _TRANSIENT:
            raise ExecutorUnavailable(f"The Kubernetes API at {host} cannot do it now ({response.status}): {answer.get('message')}")
        raise Refused(response.status, answer)

    def _opened(self) -> Any:
        if self._process == os.getpid():
            return self._api
        with self._lock:
            if self._process != os.getpid():
                self._api, namespace = _open(self._config)
                self._namespace = self._namespace or namespace
                self._process = os.getpid()
        return self._api


def _open(config: Config) -> tuple[Any, str]:
    """An API client of the package, and the namespace that its kubeconfig or service account names."""
    settings = kubernetes_client.Configuration()
    settings.connection_pool_maxsize = 512 if config.by_mail else 16  # each launcher that is followed has one
    try:
        if not config.kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ:
            kubernetes_config.load_incluster_config(client_configuration=settings)
            namespace = (_ACCOUNT / "namespace").read_text().strip()
        else:
            file, context = config.kubeconfig or None, config.context or None
            kubernetes_config.load_kube_config(file, context, client_configuration=settings)
            contexts, active = kubernetes_config.list_kube_config_contexts(file)
            chosen = next((item for item in contexts if item["name"] == context), active) if context else active
            namespace = chosen.get("context", {}).get("namespace", "")
    except (kubernetes_config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        where = config.kubeconfig or "~/.kube/config"
        raise NoKubeconfig(
            f"There is no usable kubeconfig at {where}: {_brief(error)} "
            "Set KFDASH_KUBECONFIG, and KFDASH_KUBE_CONTEXT for another context."
        ) from None
    return kubernetes_client.ApiClient(settings), namespace or "default"


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return f"{text[:300]}." if text else f"{type(error).__name__}."


def core_path(namespace: str, kind: str, name: str = "") -> str:
    """The address of the objects of a kind (`pods`, `events`, `persistentvolumeclaims`) in a namespace, or of one of them."""
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/{kind}"
    return f"{path}/{quote(name, safe='')}" if name else path
