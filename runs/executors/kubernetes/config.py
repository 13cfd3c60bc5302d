"""What the Kubernetes executor must be told about its installation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from runs.launcher.mail import NOWHERE
from runs.store import StoreOptions

Json = Any
PodTimes = Callable[[Collection[str]], Mapping[str, tuple[float, float]]]


@dataclass(frozen=True)
class Config:
    """The installation, as far as pods are concerned. Times are seconds."""

    image: str  # of the launcher beside each step
    launcher_url: str  # where pods reach intake: http://host:port; or NOWHERE: they meet kfdash in the bucket of `mail_root`
    key: bytes  # signs the tokens of attempts
    installation: str  # tells our pods from those of others; a label's value
    results_root: str  # where result documents lie
    store_options: StoreOptions
    mail_root: str = ""
    intake_url: str = ""  # where the executor reaches intake for pods that cannot
    logs_dir: str = ""  # where the logs of steps lie that have no launcher
    kubeconfig: str = ""  # empty: ~/.kube/config, or the pod's own service account
    context: str = ""  # empty: the kubeconfig's current one
    namespace: str = ""  # empty: the context's
    pod_template: Mapping[str, Json] = field(default_factory=dict)  # merges in underneath every pod
    pod_ttl: float = 3600.0  # how long a pod is kept once its end is recorded
    failed_pod_ttl: float = 86400.0
    pod_times: PodTimes | None = None  # run ids → such times of each run, where they are not the same for all
    start_timeout: float = 3600.0  # how long a pod may wait for being started
    grace: float = 30.0  # between SIGTERM and SIGKILL
    launcher_cpu: str = "20m"  # what the launcher asks for; it may use more
    launcher_memory: str = "40Mi"
    launcher_memory_limit: str = "64Mi"  # while it sends many files at once, or reads outputs that are large

    @property
    def by_mail(self) -> bool:
        """Whether pods cannot call kfdash."""
        return self.launcher_url == NOWHERE
