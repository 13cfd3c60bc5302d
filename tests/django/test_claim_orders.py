"""Orders that make and delete volume claims, carried out with a cluster that is played."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runs import claims, dispatch, driver, models
from runs.executors.base import ClaimRefused, ExecutorUnavailable
from runs.facts import decode
from tests.django.driving import driven, launched, states, task

pytestmark = pytest.mark.django_db


class Cluster:
    """Takes claims, or raises what it is told to."""

    def __init__(self) -> None:
        self.claims: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.raises: Exception | None = None

    def create_claim(self, manifest: dict[str, Any]) -> None:
        if self.raises:
            raise self.raises
        self.claims[manifest["metadata"]["name"]] = manifest

    def delete_claim(self, name: str) -> None:
        if self.raises:
            raise self.raises
        self.deleted.append(name)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, settings: Any, sent: list[tuple]) -> Cluster:
    found = Cluster()
    settings.EXECUTOR = "kubernetes"
    monkeypatch.setattr("runs.claims.executor", lambda: found)
    return found


def document() -> str:
    """A pipeline that makes a claim and deletes it."""
    parameters = {
        "access_modes": {"parameterType": "LIST"},
        "size": {"parameterType": "STRING"},
        "pvc_name_suffix": {"parameterType": "STRING", "isOptional": True},
        "storage_class_name": {"parameterType": "STRING", "isOptional": True, "defaultValue": "fast"},
    }
    constant = {"access_modes": ["ReadWriteOnce"], "size": "1Gi", "pvc_name_suffix": "-data"}
    name = {"taskOutputParameter": {"producerTask": "createpvc", "outputParameterKey": "name"}}
    return json.dumps(
        {
            "pipelineInfo": {"name": "volumes"},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.0",
            "root": {
                "dag": {
                    "tasks": {
                        "createpvc": {
                            "taskInfo": {"name": "createpvc"},
                            "componentRef": {"name": "comp-createpvc"},
                            "inputs": {
                                "parameters": {key: {"runtimeValue": {"constant": value}} for key, value in constant.items()}
                            },
                        },
                        "deletepvc": {
                            "taskInfo": {"name": "deletepvc"},
                            "componentRef": {"name": "comp-deletepvc"},
                            "dependentTasks": ["createpvc"],
                            "inputs": {"parameters": {"pvc_name": name}},
                        },
                    }
                }
            },
            "components": {
                "comp-createpvc": {
                    "executorLabel": "exec-createpvc",
                    "inputDefinitions": {"parameters": parameters},
                    "outputDefinitions": {"parameters": {"name": {"parameterType": "STRING"}}},
                },
                "comp-deletepvc": {
                    "executorLabel": "exec-deletepvc",
                    "inputDefinitions": {"parameters": {"pvc_name": {"parameterType": "STRING"}}},
                },
            },
            "deploymentSpec": {
                "executors": {
                    "exec-createpvc": {"container": {"image": "argostub/createpvc"}},
                    "exec-deletepvc": {"container": {"image": "argostub/deletepvc"}},
                }
            },
        }
    )


def carry_out(sent: list[tuple], run: models.Run) -> None:
    """Carries out what is ordered, and drives the run with the facts."""
    orders = models.Order.objects.filter(run=run, kind="start", carried_out_at=None)
    dispatch.carry_out([order.pk for order in orders])
    for job in [entry for entry in sent if entry[0] == "runs.jobs.carry_out_claim"]:
        sent.remove(job)
        claims.carry_out(job[1])
    facts = [decode(fact) for entry in sent if entry[0] == "facts" for fact in entry[2]]
    sent[:] = [entry for entry in sent if entry[0] != "facts"]
    driver.drive(str(run.pk), *facts)
    run.refresh_from_db()


@pytest.mark.django_db(transaction=True)
def test_a_claim_is_made_and_deleted_without_a_pod(cluster: Cluster, sent: list[tuple]) -> None:
    run = launched(document())
    carry_out(sent, run)
    ((name, manifest),) = cluster.claims.items()
    assert name.endswith("-data")
    assert manifest["spec"]["storageClassName"] == "fast", "the component's default"
    assert task(run, "root/createpvc").outputs["parameters"] == {"name": name}
    carry_out(sent, run)
    assert cluster.deleted == [name]
    assert (run.state, set(states(run).values())) == ("SUCCEEDED", {"SUCCEEDED"})


@pytest.mark.django_db(transaction=True)
def test_what_the_cluster_refuses_fails_the_step_with_its_sentence(cluster: Cluster, sent: list[tuple]) -> None:
    cluster.raises = ClaimRefused("There is a claim of this name already.")
    run = launched(document())
    carry_out(sent, run)
    assert (task(run, "root/createpvc").state, task(run, "root/createpvc").reason) == (
        "FAILED",
        "There is a claim of this name already.",
    )


@pytest.mark.django_db(transaction=True)
def test_a_cluster_that_is_away_is_waited_for(cluster: Cluster, sent: list[tuple]) -> None:
    cluster.raises = ExecutorUnavailable("The API server does not answer.")
    run = launched(document())
    carry_out(sent, run)
    order = models.Order.objects.get(run=run, kind="start")
    assert (order.carried_out_at, order.tries, order.answer) == (None, 1, "The API server does not answer.")
    cluster.raises = None
    carry_out(sent, run)
    assert task(run, "root/createpvc").state == "SUCCEEDED"


@pytest.mark.django_db(transaction=True)
def test_an_order_that_comes_twice_makes_one_claim(cluster: Cluster, sent: list[tuple]) -> None:
    run = driven(launched(document()))
    order = models.Order.objects.get(run=run, kind="start")
    claims.carry_out(order.pk)
    models.Order.objects.filter(pk=order.pk).update(carried_out_at=None)
    claims.carry_out(order.pk)
    assert len(cluster.claims) == 1
