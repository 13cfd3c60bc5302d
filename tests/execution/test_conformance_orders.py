"""Orders of every container in the conformance packages: complete, and without a placeholder left."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from pipelines.spec.model import ComponentSpec, ContainerSpec, ParameterType, PipelineSpec
from pipelines.spec.parse import parse_text
from runs.engine.model import ArtifactValue, Kind, Run, Task, Values
from runs.execution.attempt import AttemptOrder
from runs.execution.fingerprint import fingerprint
from runs.execution.locations import localise
from runs.execution.order import complete
from runs.execution.placeholders import substitute

SAMPLES = {
    ParameterType.NUMBER_INTEGER: 1,
    ParameterType.NUMBER_DOUBLE: 0.5,
    ParameterType.STRING: "text",
    ParameterType.BOOLEAN: True,
    ParameterType.LIST: ["a", 1],
    ParameterType.STRUCT: {"k": [None]},
    ParameterType.TASK_FINAL_STATUS: {"state": "COMPLETE"},
    ParameterType.TASK_CONFIG: {},
}


OF_VERTEX = ("{{$.pipeline_google_cloud_", "{{$.pipeline_persistent_resource_id}}")


def steps(folder: pathlib.Path) -> Iterator[tuple[str, PipelineSpec, ComponentSpec]]:
    for file in sorted(folder.rglob("*.yaml")):
        spec = parse_text(file.read_text()).spec
        for component in spec.components.values():
            if isinstance(spec.executor_of(component), ContainerSpec):
                yield f"{file.name}: {component.name}", spec, component


def made(spec: PipelineSpec, component: ComponentSpec, inputs: Values) -> AttemptOrder:
    run = Run("r", "run", "p-abcde", pipeline_root="minio://kfdash/v2/artifacts/p/r")
    task = Task("root/step", Kind.CONTAINER, inputs=inputs)
    return complete(spec=spec, component=component, run=run, task=task, number=1)


def test_every_container_gives_an_argument_list_without_placeholders(conformance: pathlib.Path) -> None:
    count = 0
    for name, spec, component in steps(conformance / "pipelines"):
        count += 1
        parameters = {key: SAMPLES[definition.type] for key, definition in component.input_parameters.items()}
        # What resources, images and f-strings take from the task is not among the component's inputs.
        parameters |= {
            f"pipelinechannel--{key}": "1" for key in ("cpu_limit", "memory_limit", "accelerator_limit", "accelerator_type")
        }
        value = ArtifactValue(
            id=1, name="a", uri="minio://kfdash/a", type="system.Artifact", schema_version="0.0.1", metadata={}, custom_path=""
        )
        inputs = Values(parameters, {key: [value] for key in component.input_artifacts})
        order = made(spec, component, inputs)
        argv = substitute(order, localise(order.executor_input, "/artifacts", outputs_dir="/out"), lambda uri: uri)
        assert argv or not (order.command or order.args), name
        assert not [text for text in argv if "{{$" in text and not any(known in text for known in OF_VERTEX)], name
        assert len(fingerprint(spec=spec, component=component, task_spec=None, inputs=inputs)) == 64, name
    assert count > 100


def test_every_container_can_do_without_its_optional_inputs(conformance: pathlib.Path) -> None:
    for name, spec, component in steps(conformance / "pipelines"):
        needed = {
            key: SAMPLES[definition.type]
            for key, definition in component.input_parameters.items()
            if not definition.optional and not definition.has_default
        }
        executor = spec.executor_of(component)
        assert isinstance(executor, ContainerSpec)
        if "{{$" in executor.image:
            continue
        order = made(spec, component, Values(needed))
        argv = substitute(order, localise(order.executor_input, "/artifacts", outputs_dir="/out"), lambda uri: uri)
        assert not [text for text in argv if "{{$" in text and not any(known in text for known in OF_VERTEX)], name
