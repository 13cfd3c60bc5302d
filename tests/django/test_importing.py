"""Importers in a run: registered, found again, refused."""

from __future__ import annotations

import json

import pytest

from runs import driver, importing, models, services
from runs.facts import decode
from tests.django.documents import stored

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def facts(monkeypatch):
    """Facts that were handed over, as (run id, fact)."""
    handed: list = []
    monkeypatch.setattr("kfdash.outbox._send", lambda job, args: None)
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, new: handed.extend((run_id, decode(fact)) for fact in new))
    monkeypatch.setattr("kfdash.live.publish_run", lambda run_id, message: None)
    return handed


def document(uri="gs://bucket/data.csv", **options):
    importer = {
        "artifactUri": {"constant": uri},
        "typeSchema": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"},
        "metadata": {"run": "{{$.pipeline_job_name}}" if options.pop("by_run", False) else "any"},
        **options,
    }
    return json.dumps(
        {
            "pipelineInfo": {"name": "imports"},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.0",
            "root": {"dag": {"tasks": {"importer": {"taskInfo": {"name": "importer"}, "componentRef": {"name": "comp-importer"}}}}},
            "components": {
                "comp-importer": {
                    "executorLabel": "exec-importer",
                    "outputDefinitions": {
                        "artifacts": {"artifact": {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}}
                    },
                }
            },
            "deploymentSpec": {"executors": {"exec-importer": {"importer": importer}}},
        }
    )


def launched(facts, text, name=""):
    """A run whose importer was carried out and whose fact was folded in."""
    run = services.launch_run(specification=stored(text), arguments={}, name=name)
    driver.drive(str(run.pk))
    for order in models.Order.objects.filter(run=run, kind="start"):
        importing.carry_out(order.pk)
        importing.carry_out(order.pk)
    mine = [fact for run_id, fact in facts if run_id == str(run.pk) and hasattr(fact, "number")]
    assert len(mine) == 1
    driver.drive(str(run.pk), *mine)
    run.refresh_from_db()
    return run


def artifact_of(run):
    return models.Task.objects.get(run=run, path="root/importer").outputs["artifacts"]["artifact"][0]


def test_an_imported_artifact_has_a_row(facts):
    run = launched(facts, document(by_run=True), name="nightly")
    assert run.state == "SUCCEEDED"
    row = models.Artifact.objects.get(pk=artifact_of(run)["id"])
    assert (row.uri, row.type, row.metadata) == ("gs://bucket/data.csv", "system.Dataset", {"run": "nightly"})


def test_the_same_artifact_is_found_again(facts):
    first, second = launched(facts, document()), launched(facts, document())
    assert artifact_of(first)["id"] == artifact_of(second)["id"]


def test_a_reimport_and_other_metadata_make_new_ones(facts):
    first = launched(facts, document())
    again = launched(facts, document(reimport=True))
    other = launched(facts, document(by_run=True))
    assert len({artifact_of(run)["id"] for run in (first, again, other)}) == 3


def test_an_address_that_cannot_be_imported_fails_the_run_with_it(facts):
    run = launched(facts, document("file:///etc/passwd"))
    assert run.state == "FAILED"
    assert "file:///etc/passwd" in models.Task.objects.get(run=run, path="root/importer").reason
