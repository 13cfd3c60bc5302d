"""The installation's executor, opened once in each process."""

from __future__ import annotations

import pathlib
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from pipelines.spec.problems import Refused
from runs.executors.base import Executor
from runs.executors.fake import FakeExecutor
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.permitted import site_template
from runs.executors.local.executor import LocalExecutor
from runs.podtimes import times_of
from runs.stores import store_options


@cache
def executor() -> Executor:
    """The executor that KFDASH_EXECUTOR names."""
    if settings.EXECUTOR == "local":
        return LocalExecutor(str(settings.RUNTIME_DIR / "host.sock"))
    if settings.EXECUTOR == "kubernetes":
        return _kubernetes()
    if settings.EXECUTOR == "fake":
        return FakeExecutor()
    raise ImproperlyConfigured(f"KFDASH_EXECUTOR is {settings.EXECUTOR!r}; it must be 'local' or 'kubernetes'.")


def _kubernetes() -> Executor:
    try:
        from runs.executors.kubernetes.executor import KubernetesExecutor  # noqa: PLC0415  # an optional package
    except ImportError as error:
        raise ImproperlyConfigured(f"Steps as pods need an optional package ({error}): pip install 'kfdash[kubernetes]'.") from None
    return KubernetesExecutor(kubernetes_config())


def kubernetes_config() -> Config:
    """What the settings say of steps as pods. Raises ImproperlyConfigured."""
    return Config(
        image=settings.IMAGE,
        launcher_url=settings.LAUNCHER_URL,
        key=settings.LAUNCHER_KEY,
        installation=settings.INSTALLATION,
        results_root=settings.RESULTS_ROOT,
        store_options=store_options(),
        mail_root=f"{settings.MAIL_ROOT}/{settings.INSTALLATION}",  # others may have the same bucket
        intake_url=settings.INTAKE_URL,
        logs_dir=str(settings.LOGS_DIR),
        kubeconfig=settings.KUBECONFIG,
        context=settings.KUBE_CONTEXT,
        namespace=settings.POD_NAMESPACE,
        pod_template=site_pod_template(),
        pod_ttl=settings.POD_TTL,
        failed_pod_ttl=settings.FAILED_POD_TTL,
        pod_times=times_of,
        start_timeout=settings.START_TIMEOUT,
        grace=settings.STOP_GRACE,
    )


def site_pod_template() -> dict[str, Any]:
    """The installation's pod template; empty without one. Raises ImproperlyConfigured."""
    path = settings.POD_TEMPLATE
    if not path:
        return {}
    try:
        return site_template(pathlib.Path(path).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"The pod template that KFDASH_POD_TEMPLATE names cannot be read: {error}") from None
    except Refused as error:
        problems = " ".join(str(problem) for problem in error.problems)
        raise ImproperlyConfigured(f"{path}, which KFDASH_POD_TEMPLATE names, is no pod template. {problems}") from None
