"""What importers give."""

from __future__ import annotations

import pytest

from pipelines.spec.model import ArtifactDefinition, ArtifactType, ComponentSpec, ImporterSpec, ParameterDefinition, ParameterType
from runs.engine.model import Values
from runs.execution.importer import ImportRefused, imported

DATASET, MODEL = ArtifactType("system.Dataset"), ArtifactType("system.Model")
COMPONENT = ComponentSpec(
    name="comp-importer",
    input_parameters={
        "uri": ParameterDefinition(ParameterType.STRING),
        "n": ParameterDefinition(ParameterType.NUMBER_INTEGER, has_default=True, default=3),
    },
    output_artifacts={"artifact": ArtifactDefinition(DATASET)},
)


def test_a_constant_uri_is_registered_as_it_is() -> None:
    name, value = imported(ImporterSpec("exec", DATASET, uri="gs://b/data.csv", metadata={"key": "value"}), COMPONENT, Values(), {})
    assert name == "artifact"
    assert value == {
        "id": 0,
        "name": "artifact",
        "uri": "gs://b/data.csv",
        "type": "system.Dataset",
        "schema_version": "0.0.1",
        "metadata": {"key": "value"},
        "custom_path": "",
    }


def test_the_uri_can_be_an_input() -> None:
    _, value = imported(ImporterSpec("exec", DATASET, uri_input="uri"), COMPONENT, Values({"uri": "s3://b/k"}), {})
    assert value["uri"] == "s3://b/k"


def test_placeholders_in_metadata_are_resolved_in_keys_and_values() -> None:
    metadata = {
        "{{$.inputs.parameters['uri']}}": ["{{$.inputs.parameters['n']}}", "x-{{$.inputs.parameters['uri']}}"],
        "run": {"id": "{{$.pipeline_job_uuid}}"},
    }
    importer = ImporterSpec("exec", DATASET, uri_input="uri", metadata=metadata)
    _, value = imported(importer, COMPONENT, Values({"uri": "s3://b/k"}), {"{{$.pipeline_job_uuid}}": "r1"})
    assert value["metadata"] == {"s3://b/k": ["3", "x-s3://b/k"], "run": {"id": "r1"}}


def test_an_artifact_for_the_workspace_says_so() -> None:
    _, value = imported(ImporterSpec("exec", DATASET, uri="gs://b/k", download_to_workspace=True), COMPONENT, Values(), {})
    assert value["metadata"] == {"_kfp_workspace": True}


def test_a_path_of_a_local_step_becomes_its_uri() -> None:
    importer = ImporterSpec("exec", DATASET, uri_input="uri")
    _, value = imported(importer, COMPONENT, Values({"uri": "/data/artifacts/kfdash/v2/x"}), {}, artifacts_dir="/data/artifacts")
    assert value["uri"] == "minio://kfdash/v2/x"


@pytest.mark.parametrize("uri", ["https://example.org/a.csv", "minio://mlpipeline/x", "oci://registry/model:1", "az://c/k"])
def test_stores_and_web_addresses_can_be_imported(uri: str) -> None:
    type = MODEL if uri.startswith("oci") else DATASET
    assert imported(ImporterSpec("exec", type, uri=uri), COMPONENT, Values(), {})[1]["uri"] == uri


@pytest.mark.parametrize(
    "uri", ["", "/etc/passwd", "file:///etc/passwd", "gs://b/../c", "gs://", "ftp://x/y", "oci://a-dataset", "data"]
)
def test_other_addresses_are_refused(uri: str) -> None:
    with pytest.raises(ImportRefused):
        imported(ImporterSpec("exec", DATASET, uri=uri), COMPONENT, Values(), {})


@pytest.mark.parametrize(("inputs", "words"), [({}, "nothing"), ({"uri": ""}, "an empty text"), ({"uri": 3}, "a number")])
def test_an_input_that_is_no_address_is_named(inputs: dict[str, object], words: str) -> None:
    with pytest.raises(ImportRefused, match=f"'uri', which holds {words}"):
        imported(ImporterSpec("exec", DATASET, uri_input="uri"), COMPONENT, Values(inputs), {})
