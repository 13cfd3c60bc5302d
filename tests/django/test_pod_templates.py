"""The pod template that a run may bring: on the form, on the API, in its pods, and where it is not taken."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import reverse

from pipelines.services import upload_pipeline
from pipelines.spec.problems import Refused
from pipelines.specifications import load
from runs import ordering, services
from runs.executors.base import AttemptOrder
from runs.models import Run
from tests.django.documents import chain
from tests.django.driving import fail, launched, succeed

pytestmark = pytest.mark.django_db

TEMPLATE = {"spec": {"priorityClassName": "batch", "tolerations": [{"key": "gpu", "operator": "Exists"}]}}
TEXT = "spec:\n  priorityClassName: batch\n  tolerations: [{key: gpu, operator: Exists}]\n"


@pytest.fixture(autouse=True)
def as_pods(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Any) -> None:
    """Steps are pods; nothing is sent anywhere."""
    monkeypatch.setattr("kfdash.outbox._send", lambda job, args: None)
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, facts: None)
    monkeypatch.setattr("kfdash.live.publish_run", lambda run_id, message: None)
    settings.LOGS_DIR = tmp_path
    settings.EXECUTOR = "kubernetes"
    settings.LAUNCHER_URL = "http://host:8001"


@pytest.fixture
def site() -> Client:
    """A browser that has typed our address."""
    return Client(headers={"host": "localhost"})


@pytest.fixture
def form() -> str:
    """The address of a launch form."""
    pipeline, version = upload_pipeline(data=chain(2).encode(), file_name="chain.yaml")
    return reverse("launch", args=[pipeline.pk, version.pk])


def ordered(run: Run, path: str = "root/s0", number: int = 1) -> AttemptOrder:
    order = ordering.complete_orders(run, [(path, number)])[0]
    assert isinstance(order, AttemptOrder)
    return order


def test_a_template_goes_from_the_form_into_the_orders_of_the_run(site: Client, form: str) -> None:
    page = site.get(form).content.decode()
    assert 'name="pod_template"' in page and "<details" in page and "data-fold open" not in page
    answer = site.post(form, {"input.start": "1", "pod_template": TEXT.replace("\n", "\r\n")})
    run = Run.objects.get()
    assert answer.status_code == 302 and run.pod_template == TEMPLATE
    assert launched(pod_template=TEMPLATE).pod_template == TEMPLATE
    assert ordered(launched(pod_template=TEMPLATE)).pod_template == TEMPLATE


def test_a_template_that_may_not_be_comes_back_with_every_problem_at_its_line(site: Client, form: str) -> None:
    page = site.post(form, {"input.start": "1", "pod_template": "spec:\n  hostPID: true\n  nodeName: a\n"}).content.decode()
    assert not Run.objects.exists()
    assert "line 2, spec.hostPID" in page and "line 3, spec.nodeName" in page and "hostPID: true" in page
    assert 'href="#pod_template">pod template</a>' in page and "data-fold open" in page


def test_a_template_that_gets_in_the_installations_way_is_refused(site: Client, form: str, settings: Any, tmp_path: Any) -> None:
    (tmp_path / "site.yaml").write_text("spec: {volumes: [{name: ca, configMap: {name: ca}}]}")
    settings.POD_TEMPLATE = str(tmp_path / "site.yaml")
    page = site.post(form, {"input.start": "1", "pod_template": "spec: {volumes: [{name: ca, emptyDir: {}}]}"}).content.decode()
    assert not Run.objects.exists() and "as the installation&#x27;s template has. Call it otherwise." in page


def test_run_again_begins_with_the_runs_template_and_can_change_it(site: Client) -> None:
    run = launched(chain(1), pod_template=TEMPLATE)
    succeed(run, "root/s0")
    address = reverse("run-again", args=[run.pk])
    assert "priorityClassName: batch" in site.get(address).content.decode()
    site.post(address, {"again": "1", "input.start": "1", "pod_template": "spec: {priorityClassName: low}"})
    site.post(address, {"again": "1", "input.start": "1", "pod_template": ""})
    site.post(address, {"cache": "off"})
    found = Run.objects.exclude(pk=run.pk).order_by("number").values_list("pod_template", flat=True)
    assert list(found) == [{"spec": {"priorityClassName": "low"}}, {}, TEMPLATE]
    assert services.run_again(run, from_paths=[]).pod_template == TEMPLATE


def test_a_retry_keeps_the_template(settings: Any) -> None:
    run = launched(chain(1), pod_template=TEMPLATE)
    fail(run, "root/s0")
    services.retry_run(run)
    assert ordered(run, number=2).pod_template == TEMPLATE
    fail(run, "root/s0", 2)
    settings.RUN_POD_TEMPLATES = False
    with pytest.raises(services.NotRetriable, match="switched them off"):
        services.retry_run(run)


def test_the_page_shows_the_template_and_the_pod_that_comes_of_it(site: Client) -> None:
    run = launched(pod_template={"metadata": {"annotations": {"note": "<b>&"}}, **TEMPLATE})
    page = site.get(reverse("run-detail", args=[run.pk])).content.decode()
    assert "Pod template" in page and "priorityClassName" in page and "<b>&" not in page
    assert "Pod template" not in site.get(reverse("run-detail", args=[launched().pk])).content.decode()
    shown = services.planned_pod(load(run.specification_id), "root/s1", run)
    assert shown is not None and yaml.safe_load(shown.text)["spec"]["priorityClassName"] == "batch"


def test_where_they_are_switched_off_no_form_asks_and_no_launch_takes_one(site: Client, form: str, settings: Any) -> None:
    settings.RUN_POD_TEMPLATES = False
    assert "pod_template" not in site.get(form).content.decode()
    page = site.post(form, {"input.start": "1", "pod_template": TEXT}).content.decode()
    assert "who runs kfdash has switched them off" in page and not Run.objects.exists()


def test_where_steps_are_no_pods_none_is_taken(site: Client, form: str, settings: Any) -> None:
    settings.EXECUTOR = "local"
    assert "pod_template" not in site.get(form).content.decode()
    with pytest.raises(services.NotLaunchable, match="steps are no pods here"):
        launched(pod_template=TEMPLATE)


def test_what_comes_as_an_object_is_checked_too() -> None:
    with pytest.raises(Refused, match=r"only the installation's own template .*\(spec.hostNetwork\)"):
        launched(pod_template={"spec": {"hostNetwork": True}})
