"""The pod of a step on the pages: the one that will be made, the one there is, and the one that was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.urls import reverse

from pipelines.services import upload_pipeline
from pipelines.specifications import load
from runs import services
from runs.executors.base import ExecutorUnavailable
from runs.services import pods
from tests.django.documents import chain, stored
from tests.django.driving import launched

pytestmark = pytest.mark.django_db

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a-1", "namespace": "team", "annotations": {"note": "<b>& one\ntwo</b>"}},
    "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "python:3.11"}]},
    "status": {"phase": "Pending"},
}
EVENT = {
    "at": "2026-03-01T10:00:00Z",
    "warning": True,
    "reason": "FailedMount",
    "message": 'secret "<tls>" not found',
    "count": 3,
    "by": "kubelet",
}


class Cluster:
    """An executor that has one pod, or none, or cannot say."""

    def __init__(self, found=None, error=None):
        self.found, self.error, self.asked = found, error, []

    def describe(self, key):
        self.asked.append(key)
        if self.error:
            raise self.error
        return self.found


@pytest.fixture(autouse=True)
def quiet(monkeypatch, settings, tmp_path):
    monkeypatch.setattr("kfdash.outbox._send", lambda job, args: None)
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, facts: None)
    monkeypatch.setattr("kfdash.live.publish_run", lambda run_id, message: None)
    settings.LOGS_DIR = tmp_path
    settings.EXECUTOR = "kubernetes"
    settings.LAUNCHER_URL = "http://host:8001"


@pytest.fixture
def site(client):
    client.defaults["HTTP_HOST"] = "localhost"
    return client


def page(site, address, **query):
    answer = site.get(address, query)
    assert answer.status_code == 200
    return answer.content.decode()


def pod_page(site, run, **query):
    return page(site, reverse("run-pod", args=[run.pk]), **query)


def has(monkeypatch, **what):
    cluster = Cluster(**what)
    monkeypatch.setattr(pods, "executor", lambda: cluster)
    return cluster


def test_the_panel_of_a_step_leads_to_its_pod_and_asks_for_events_later(site):
    run = launched(chain(2))
    panel = page(site, reverse("run-detail", args=[run.pk]), task="root/s0", part="panel")
    assert ">Pod</a>" in panel
    assert "attempt=1&amp;part=events" in panel
    tab = page(site, reverse("run-detail", args=[run.pk]), task="root/s0", tab="pod", part="panel")
    assert f'data-later="{reverse("run-pod", args=[run.pk])}?task=root%2Fs0&amp;attempt=1"' in tab


def test_on_the_local_executor_there_is_no_pod(site, settings):
    settings.EXECUTOR = "local"
    run = launched(chain(2))
    assert ">Pod</a>" not in page(site, reverse("run-detail", args=[run.pk]), task="root/s0", tab="pod", part="panel")
    assert site.get(reverse("run-pod", args=[run.pk]), {"task": "root/s0"}).status_code == 404


def test_a_pod_is_shown_as_yaml_with_the_events_of_the_cluster(site, monkeypatch):
    run = launched(chain(2))
    cluster = has(monkeypatch, found={"pod": POD, "events": [EVENT], "gone": False})
    html = pod_page(site, run, task="root/s0", attempt=1)
    assert (cluster.asked[0].path, cluster.asked[0].number, cluster.asked[0].run_id) == ("root/s0", 1, str(run.pk))
    assert "node-1" in html and "Pending" in html
    assert "FailedMount" in html and "×3" in html and "&lt;tls&gt;" in html
    assert "<b>" not in html and "one" in html
    assert 'data-copy="apiVersion: v1' in html


def test_events_alone_stand_beside_the_reason(site, monkeypatch):
    run = launched(chain(2))
    has(monkeypatch, found={"pod": POD, "events": [EVENT] * 9, "gone": False})
    html = pod_page(site, run, task="root/s0", attempt=1, part="events")
    assert html.count("FailedMount") == 6
    assert "apiVersion" not in html


def test_a_copy_says_that_its_pod_is_gone(site, monkeypatch):
    run = launched(chain(2))
    has(monkeypatch, found={"pod": POD, "events": [], "gone": True})
    assert "It is gone from the cluster" in pod_page(site, run, task="root/s0", attempt=1)


def test_a_cluster_that_does_not_answer_is_said_in_its_place(site, monkeypatch):
    run = launched(chain(2))
    has(monkeypatch, error=ExecutorUnavailable("The Kubernetes API at https://c does not answer."))
    assert "The pod cannot be shown now. The Kubernetes API at https://c does not answer." in pod_page(
        site, run, task="root/s0", attempt=1
    )


def test_an_attempt_without_a_pod_says_so(site, monkeypatch):
    run = launched(chain(2))
    has(monkeypatch, found=None)
    assert "Nothing is left of this attempt" in pod_page(site, run, task="root/s0", attempt=1)


def test_a_step_that_waits_shows_the_pod_that_will_be_made(site):
    run = launched(chain(2))
    html = pod_page(site, run, task="root/s1")
    assert "The pod that will be made" in html
    assert "/kfdash/bin/entry" in html and "(hidden)" in html
    assert str(run.pk) in html


@pytest.mark.parametrize("task", ["root/none", "elsewhere", ""])
def test_a_step_that_is_none_is_not_found(site, task):
    run = launched(chain(2))
    assert site.get(reverse("run-pod", args=[run.pk]), {"task": task}).status_code == 404


def test_a_version_shows_the_pod_of_a_step_before_any_launch(site):
    pipeline, version = upload_pipeline(data=chain(2).encode(), file_name="chain.yaml")
    html = page(site, reverse("version-detail", args=[pipeline.pk, version.pk]), task="root/s0")
    assert "The pod that will be made" in html
    assert "-xxxxxxxxxxxxxxxx-1" in html


def test_what_comes_from_parameters_stands_by_its_name():
    platform = {
        "secretAsEnv": [
            {
                "secretNameParameter": {"componentInputParameter": "pipelinechannel--team_secret"},
                "keyToEnv": [{"secretKey": "k", "envVar": "K"}],
            }
        ],
        "nodeSelector": {"nodeSelectorJson": {"componentInputParameter": "where"}},
        "tolerations": [{"tolerationJson": {"componentInputParameter": "t"}}, {"key": "gpu", "operator": "Exists"}],
    }
    spec = with_platform(platform)
    shown = services.planned_pod(spec, "root/s0")
    assert shown is not None and not shown.made
    assert "name: input-team-secret" in shown.text
    assert "nodeSelector" not in shown.text
    assert "key: gpu" in shown.text


def test_a_pod_that_can_never_be_says_why():
    with pytest.raises(services.PodUnknown, match="pull policy is 'Sometimes'"):
        services.planned_pod(with_platform({"imagePullPolicy": "Sometimes"}), "root/s0")


def test_groups_have_no_pod():
    assert services.planned_pod(with_platform({}), "root") is None


def with_platform(config):
    """The chain's specification with settings for the step `t0`."""
    spec = load(stored(chain(2)).pk)
    _, component = spec.at("root/s0")
    label = spec.executor_of(component).label
    return replace(spec, platform=replace(spec.platform, executors={label: config}))
