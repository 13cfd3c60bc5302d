"""Who a pod is, by the token of its service account: the cluster is asked (TokenReview), and its answer kept for a moment.

Needs the `kubernetes` package and the right to create `tokenreviews` (`system:auth-delegator`).
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from django.conf import settings

try:
    from kubernetes import client as kubernetes_client
    from kubernetes import config as kubernetes_config
except ImportError:  # an extra
    kubernetes_client = kubernetes_config = None

log = logging.getLogger(__name__)

KEPT_FOR = 30.0  # seconds
_KEPT = 1000
_TIMEOUT = (3, 5)  # seconds to connect, to answer
_ACCOUNT = "system:serviceaccount:"
_NO_CLUSTER = "kfdash knows no cluster that could say whose token this is."
_NOT_KNOWN = "The cluster does not know this token, or it is for another audience ({audience})."


@dataclass(frozen=True)
class Account:
    """A service account; without a name, `refusal` says why there is none."""

    namespace: str = ""
    name: str = ""
    refusal: str = ""


class _Answers:
    """What the cluster said lately, by the token's hash."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Account]] = OrderedDict()
        self._api: tuple[int, Any] = (0, None)

    def of(self, token: str) -> Account:
        """The account whose token it is."""
        key = hashlib.sha256(token.encode()).hexdigest()
        with self._lock:
            at, found = self._kept.get(key, (0.0, None))
        if found is not None and time.monotonic() - at < KEPT_FOR:
            return found
        found, lasts = self._ask(token)
        if lasts:
            with self._lock:
                self._kept[key] = (time.monotonic(), found)
                self._kept.move_to_end(key)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return found

    def forget(self) -> None:
        """Everything is asked anew."""
        with self._lock:
            self._kept.clear()
            self._api = (0, None)

    def _ask(self, token: str) -> tuple[Account, bool]:
        if kubernetes_client is None:
            return Account(refusal=_NO_CLUSTER), True
        spec = {"token": token, "audiences": [settings.TOKEN_AUDIENCE]}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        try:
            answer = self._client().create_token_review(body, _request_timeout=_TIMEOUT)
        except kubernetes_config.ConfigException as error:
            log.warning("A token of a pod cannot be looked at: %s", error)
            return Account(refusal=_NO_CLUSTER), False
        except kubernetes_client.ApiException as error:
            log.warning("The cluster does not review tokens for kfdash: %s %s", error.status, error.reason)
            return Account(refusal="The cluster does not let kfdash ask whose token this is (system:auth-delegator)."), False
        except Exception as error:  # whatever the connection raises
            log.warning("The cluster cannot be asked whose token this is (%s: %s).", type(error).__name__, error)
            return Account(refusal="The cluster cannot be asked whose token this is. Try again in a moment."), False
        status = answer.status
        username = (status.user.username if status and status.user else "") or ""
        audiences = (status.audiences if status else None) or []
        if not status or not status.authenticated or not username.startswith(_ACCOUNT) or settings.TOKEN_AUDIENCE not in audiences:
            return Account(refusal=_NOT_KNOWN.format(audience=settings.TOKEN_AUDIENCE)), True
        namespace, _, name = username.removeprefix(_ACCOUNT).partition(":")
        return Account(namespace, name), True

    def _client(self) -> Any:
        """One for each process: a fork must not use its parent's connections."""
        with self._lock:
            process, api = self._api
            if process != os.getpid():
                api = kubernetes_client.AuthenticationV1Api(_connected())
                self._api = (os.getpid(), api)
            return api


def _connected() -> Any:
    if not settings.KUBECONFIG and os.environ.get("KUBERNETES_SERVICE_HOST"):
        found = kubernetes_client.Configuration()
        kubernetes_config.load_incluster_config(client_configuration=found)
        return kubernetes_client.ApiClient(found)
    return kubernetes_config.new_client_from_config(settings.KUBECONFIG or None, settings.KUBE_CONTEXT or None)


answers = _Answers()
