"""A pod of the launcher's image that tries the way between pods and kfdash before the first step needs it."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from runs.executors.base import ExecutorUnavailable
from runs.executors.kubernetes.client import Client, Refused, core_path
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.diagnosis import diagnose, refusal
from runs.executors.kubernetes.mail.mailbox import Mailbox, unusable
from runs.executors.kubernetes.manifest import launcher_security
from runs.executors.kubernetes.names import MAIN, MANAGED_BY
from runs.executors.kubernetes.template import laid_over
from runs.launcher.mail import ORDER, RESULT

Json = Any

_PATIENCE = 120.0  # seconds that the pod may take; it may have to pull its image
_SAYS = "kfdash can read what a pod prints"
_FAILED = (
    "except Exception as error:\n"
    "    open('/dev/termination-log', 'w').write(str(getattr(error, 'reason', error)))\n"
    "    sys.exit(3)\n"
)
_CALL = f"import sys, urllib.request\ntry:\n    urllib.request.urlopen(sys.argv[1] + '/healthz', timeout=10).read()\n{_FAILED}"
_MEET = (  # as the launcher does it
    "import io, json, os, sys\n"
    "from runs.launcher.asking import Line\n"
    "told, line = json.loads(os.environ['ADDRESSES']), Line('', '')\n"
    "try:\n"
    f"    line.fetch(told['{ORDER}'], lambda: open('/dev/null', 'wb'), lambda size: None, patience=10)\n"
    f"    line.send(told['{RESULT}'], lambda: io.BytesIO(b'probe'), 5, patience=10)\n"
    f"{_FAILED}"
    f"print('{_SAYS}', flush=True)\n"
)


class NoWay(Exception):
    """The pod could not do what steps will need. `tried`: it ran, and the way is closed. The message is for people."""

    def __init__(self, sentence: str, *, tried: bool = False) -> None:
        super().__init__(sentence)
        self.tried = tried


def call(config: Config) -> None:
    """Lets a pod call kfdash. Raises NoWay. Somebody must listen at the launcher's URL meanwhile."""
    command = ["python3", "-c", _CALL, config.launcher_url]

    def sentence(why: str) -> str:
        return (
            f"A pod cannot reach kfdash at {config.launcher_url}: {why}. Set KFDASH_LAUNCHER_URL to an address of this machine "
            "that pods can reach, and let nothing between them close its port."
        )

    _run(config, {"command": command}, sentence)


def meet(config: Config) -> None:
    """Lets a pod and kfdash meet in the bucket, and reads what the pod prints. Raises NoWay."""
    if why := unusable(config.mail_root, config.store_options):
        raise NoWay(why)
    # Apart from the inbox, which a kfdash that runs already looks into.
    name, mailbox = f"probe-{uuid.uuid4().hex[:8]}", Mailbox(f"{config.mail_root}/probe", config.store_options)

    def sentence(why: str) -> str:
        return (
            f"A pod cannot use the bucket of {config.mail_root}: {why}. Its address must be one that pods and this machine both "
            "reach, and kfdash's credentials must allow to read and write there (KFDASH_PIPELINE_ROOT, KFDASH_STORES)."
        )

    try:
        addresses = mailbox.addresses(name)
        mailbox.put(ORDER, name, "probe")
        try:
            env = [{"name": "ADDRESSES", "value": addresses}]
            printed = _run(config, {"command": ["python3", "-c", _MEET], "env": env}, sentence)
            if mailbox.read(RESULT, name, 1000) != b"probe":
                raise NoWay(sentence("what it stored is not there"), tried=True)
        finally:
            mailbox.forget(name)
    except ExecutorUnavailable as error:
        raise NoWay(str(error)) from None
    if _SAYS not in printed:
        raise NoWay(
            "The cluster does not give what a pod prints, and without it steps that cannot call kfdash have no log "
            f"({printed.strip()[:200] or 'it is empty'})."
        )


def _run(config: Config, container: Mapping[str, Json], sentence: Callable[[str], str]) -> str:
    """What the pod printed. Raises NoWay with `sentence` of why where its container failed."""
    client = Client(config)
    pod = _pod(config, container)
    path = core_path(client.namespace, "pods", pod["metadata"]["name"])
    try:
        client.request("POST", core_path(client.namespace, "pods"), body=pod)
        try:
            _await(client, path, sentence)
            return _printed(client, path)
        finally:
            with contextlib.suppress(Refused, ExecutorUnavailable):
                client.request("DELETE", path, body={"gracePeriodSeconds": 0})
    except Refused as refused:
        raise NoWay(refusal(refused.answer).sentence) from None
    except ExecutorUnavailable as error:
        raise NoWay(str(error)) from None
    finally:
        client.close()


def _pod(config: Config, container: Mapping[str, Json]) -> dict[str, Json]:
    main = {"name": MAIN, "image": config.image, "securityContext": launcher_security(), **container}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        # Without the label of the installation: it is nobody's attempt.
        "metadata": {"name": f"kfdash-probe-{uuid.uuid4().hex[:8]}", "labels": {MANAGED_BY: "kfdash"}},
        "spec": {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [main]},
    }
    template = {"spec": {key: value for key, value in config.pod_template.get("spec", {}).items() if "ontainers" not in key}}
    return laid_over(template, pod)


def _await(client: Client, path: str, sentence: Callable[[str], str]) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        pod = client.request("GET", path)
        statuses = pod.get("status", {}).get("containerStatuses") or [{}]
        if ended := statuses[0].get("state", {}).get("terminated"):
            if ended.get("exitCode") == 0:
                return
            raise NoWay(sentence(ended.get("message") or f"exit code {ended.get('exitCode')}"), tried=True)
        verdict = diagnose(pod, ())
        if verdict is not None and verdict.fails:
            raise NoWay(f"A pod of the launcher's image cannot start. {verdict.sentence}")
        time.sleep(0.3)
    raise NoWay(f"A pod that was to try the way to kfdash has not been started for {int(_PATIENCE)} s.")


def _printed(client: Client, path: str) -> str:
    try:
        return b"\n".join(client.lines(f"{path}/log", query={"container": MAIN}, read=10)).decode(errors="replace")
    except (Refused, ExecutorUnavailable) as error:
        return str(error)
