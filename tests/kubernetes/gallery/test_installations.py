"""What is wrong with the installation rather than with a pipeline: kfdash's own image, and a namespace with a strict standard."""

from __future__ import annotations

import contextlib
import pathlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.faults.stack import call, end, tasks
from tests.kubernetes.gallery.exhibits import Exhibit
from tests.kubernetes.gallery.showing import Cluster, pattern, reasons
from tests.running import IMAGE, Installation, on_pods, wait_for

pytestmark = pytest.mark.kubernetes

STRICT = {"pod-security.kubernetes.io/enforce": "restricted"}
HELLO = ("sh", "-c", "id -u; echo hello")


@contextlib.contextmanager
def installed(folder: pathlib.Path, image: str, labels: Mapping[str, str] | None = None, **settings: str) -> Iterator[Installation]:
    """kfdash with this image of the launcher, in a namespace of its own with these labels."""
    cluster, namespace = Cluster(), f"gallery-{uuid.uuid4().hex[:6]}"
    cluster.make("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": dict(labels or {})}})
    try:
        with Installation(folder / "data", **on_pods(namespace, KFDASH_IMAGE=image, **settings)) as running:
            yield running
    finally:
        cluster.remove_namespace(namespace)


def said(running: Installation, exhibit: Exhibit) -> dict[str, Any]:
    """The step once its sentence is there."""
    run = call(running, "/apis/v2beta1/runs", {"display_name": "exhibit", "pipeline_spec": exhibit.package("exhibit")})["run_id"]
    step: dict[str, Any] = {}

    def told() -> bool:
        step.update(tasks(running, run).get("root/step", {}))
        return any(pattern(exhibit).search(reason) for reason in reasons(step))

    assert wait_for(told, 60), f"Not said: {exhibit.sentence}\nSaid: {reasons(step)}"
    with contextlib.suppress(OSError):
        call(running, f"/apis/v2beta1/runs/{run}:terminate", {})
    return step


def test_an_image_of_the_launcher_that_is_not_there_is_waited_for(tmp_path: pathlib.Path) -> None:
    exhibit = Exhibit(
        "Image not found: docker.io has no kfdash:none-such. Check its name and tag. "
        "It is kfdash's own image for the launcher: set KFDASH_IMAGE to one that the cluster can pull."
    )
    with installed(tmp_path, "kfdash:none-such") as running:
        step = said(running, exhibit)
        assert (step["state"], step["attention"]) == ("PENDING", True)


def test_a_launcher_s_image_that_is_not_kfdash_s_is_named(tmp_path: pathlib.Path) -> None:
    exhibit = Exhibit("kfdash's launcher fails in this pod…. Is python:3.11 the image of this kfdash (KFDASH_IMAGE)?")
    with installed(tmp_path, "python:3.11") as running:
        assert said(running, exhibit)["attention"]


def test_in_a_namespace_of_the_restricted_standard_a_step_may_not_be_root(tmp_path: pathlib.Path) -> None:
    root = Exhibit(
        "Refused by the namespace: the pod breaks its security standard 'restricted' (runAsNonRoot != true). "
        "Set the step's security context, or use a namespace of another standard.",
        command=HELLO,
    )
    user = Exhibit("", command=HELLO, platform={"securityContext": {"runAsUser": "1000", "runAsNonRoot": True}})
    with installed(tmp_path, IMAGE, STRICT) as running:
        assert said(running, root)["state"] == "FAILED"
        assert printed(running, user) == ["1000", "hello"]


def test_a_template_makes_every_step_fit_the_restricted_standard(tmp_path: pathlib.Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("spec: {securityContext: {runAsUser: 1000, runAsNonRoot: true, fsGroup: 1000}}")
    with installed(tmp_path, IMAGE, STRICT, KFDASH_POD_TEMPLATE=str(template)) as running:
        assert printed(running, Exhibit("", command=HELLO)) == ["1000", "hello"]


def printed(running: Installation, exhibit: Exhibit) -> list[str]:
    """What a step that succeeds prints."""
    run = call(running, "/apis/v2beta1/runs", {"display_name": "well", "pipeline_spec": exhibit.package("well")})["run_id"]
    assert end(running, run, 60) == "SUCCEEDED", tasks(running, run)
    lines: list[str] = []

    def there() -> bool:  # the log may come a moment after the result
        found = call(running, f"/apis/kfdash/v1/runs/{run}/log?node=root/step").get("lines", [])
        lines[:] = [line["text"] for line in found if line["stream"] == "stdout"]
        return bool(lines)

    assert wait_for(there, 10)
    return lines
