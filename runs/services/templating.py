"""The pod template that a run may bring, where steps are pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from pipelines.spec.problems import Problem, Refused
from runs.documents import as_yaml
from runs.executing import site_pod_template
from runs.execution.platform import InvalidOrder
from runs.executors.kubernetes.permitted import run_template, underneath

Json = Any


class TemplatesOff(Exception):
    """Runs bring no pod templates here. The message is for people."""


def takes_pod_templates() -> bool:
    """Whether a run may bring a pod template."""
    return bool(settings.EXECUTOR == "kubernetes" and settings.RUN_POD_TEMPLATES)


def read_pod_template(text: str) -> dict[str, Json]:
    """A run's template out of what a person wrote; empty for empty text. Raises Refused with every problem at its line."""
    return _fits(run_template(text))


def checked_pod_template(template: Mapping[str, Json]) -> dict[str, Json]:
    """A template as a run may have it. Raises Refused with every problem at its place, and TemplatesOff."""
    if not template:
        return {}
    refuse_where_off(template)
    return _fits(run_template(template))


def refuse_where_off(template: Mapping[str, Json]) -> None:
    """Raises TemplatesOff where there is a template and none may be."""
    if not template or takes_pod_templates():
        return
    if settings.EXECUTOR != "kubernetes":
        raise TemplatesOff("The run has a pod template, and steps are no pods here. Launch it without one.")
    raise TemplatesOff("The run has a pod template, and runs may bring none here: who runs kfdash has switched them off.")


def pod_template_text(template: Mapping[str, Json]) -> str:
    """A run's template as people write it; empty without one."""
    return as_yaml(template) if template else ""


def _fits(template: dict[str, Json]) -> dict[str, Json]:
    """The same, once it is sure that it goes with the installation's own."""
    try:
        if template:
            underneath(site_pod_template(), template, {})
    except (InvalidOrder, ImproperlyConfigured) as error:
        raise Refused([Problem(str(error))]) from None
    return template
