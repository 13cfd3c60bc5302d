"""What people are shown of a pod, and the copy that stays when it is gone."""

from __future__ import annotations

import pytest

from runs.executors.base import AttemptKey
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.describing import keep, kept
from runs.executors.kubernetes.shown import shown, shown_event
from runs.store import StoreOptions

POD = {
    "metadata": {
        "name": "score-1",
        "managedFields": [{"manager": "kfdash"}],
        "resourceVersion": "12",
        "annotations": {"kfdash.dev/token": "secret", "kfdash.dev/path": "root/score"},
    },
    "spec": {"containers": [{"name": "main", "image": "python:3.11"}]},
    "status": {"phase": "Failed"},
}
KEY = AttemptKey("score-1", "run", "root/score", 1)


@pytest.fixture
def config(tmp_path):
    options = StoreOptions(artifacts_dir=str(tmp_path))
    return Config("kfdash:1", "http://host:8001", b"key", "abc", "minio://kfdash/.results", options)


def test_nobody_is_shown_the_token_of_an_attempt():
    document = shown(POD)
    assert document["metadata"]["annotations"] == {"kfdash.dev/token": "(hidden)", "kfdash.dev/path": "root/score"}
    assert "secret" not in str(document)
    assert POD["metadata"]["annotations"]["kfdash.dev/token"] == "secret"


def test_what_only_machines_read_is_left_out():
    assert set(shown(POD)["metadata"]) == {"name", "annotations"}
    assert list(shown(POD))[:3] == ["apiVersion", "kind", "metadata"]


def test_an_event_of_either_form_is_shown_alike():
    old = {"type": "Warning", "reason": "Failed", "message": "no", "count": 3, "lastTimestamp": "2026-03-01T10:00:00Z"}
    new = {
        "type": "Normal",
        "reason": "Scheduled",
        "eventTime": "2026-03-01T10:00:00.1Z",
        "reportingComponent": "default-scheduler",
    }
    assert shown_event({**old, "source": {"component": "kubelet"}}) == {
        "at": "2026-03-01T10:00:00Z",
        "warning": True,
        "reason": "Failed",
        "message": "no",
        "count": 3,
        "by": "kubelet",
    }
    assert shown_event(new)["by"] == "default-scheduler"
    assert shown_event({})["count"] == 1


def test_a_copy_of_the_pod_outlives_it_without_its_token(config):
    assert kept(config, KEY) is None
    keep(config, KEY, POD, [shown_event({"reason": "Failed"})])
    copy = kept(config, KEY)
    assert copy is not None and copy["gone"]
    assert copy["pod"]["status"]["phase"] == "Failed"
    assert copy["events"][0]["reason"] == "Failed"
    assert "secret" not in str(copy)
