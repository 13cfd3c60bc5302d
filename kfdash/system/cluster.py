"""What the observer finds out of the cluster, which others may not ask, and tells of: rights, version, whether it answers."""

from __future__ import annotations

import contextlib
import threading

from django.conf import settings

from kfdash import doctor, pulse
from runs import executing
from runs.executors.base import ExecutorUnavailable

_EVERY, _SOONER = 120.0, 10.0  # seconds between two looks: where all is well, and where it is not


def begin() -> None:
    """Looks at the cluster now and then, in a thread; nothing where steps are no pods."""
    if settings.EXECUTOR == "kubernetes":
        threading.Thread(target=_look_for_ever, name="cluster", daemon=True).start()


def _look_for_ever() -> None:
    never = threading.Event()
    while True:
        found = doctor.executor()
        pulse.tell(findings=[] if found.ok else [[found.what, found.sentence, found.needed]])
        if found.ok:
            pulse.tell(executor=_described())
        never.wait(_EVERY if found.ok else _SOONER)


def _described() -> str:
    from runs.executors.kubernetes import check  # noqa: PLC0415  # needs the optional package

    with contextlib.suppress(ExecutorUnavailable):
        return check.described(executing.kubernetes_config())
    return ""
