"""From canonical JSON to the typed values of `model`. What a document says wrongly is noted, and left out as far as possible."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.spec import model, platform, strict
from pipelines.spec.problems import Finding, Place
from pipelines.spec.values import normalise, to_text

Json = Any

_OLD_TYPES = {"INT": "NUMBER_INTEGER", "DOUBLE": "NUMBER_DOUBLE", "STRING": "STRING"}
_NO_MAPPING: Mapping[str, Json] = {}
EXECUTORS: Place = ("deploymentSpec", "executors")
KUBERNETES: Place = ("platforms", "kubernetes")


class Builder:
    """Makes a PipelineSpec and collects what could not be said in it, in the places of the pipeline document.

    `platform_findings` are in places of the platform document.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.platform_findings: list[Finding] = []

    def pipeline(self, pipeline: Mapping[str, Json], platform_document: Mapping[str, Json]) -> model.PipelineSpec:
        info = pipeline.get("pipelineInfo", _NO_MAPPING)
        components = pipeline.get("components", _NO_MAPPING)
        return model.PipelineSpec(
            name=info.get("name", ""),
            display_name=info.get("displayName", ""),
            description=info.get("description", ""),
            schema_version=pipeline.get("schemaVersion", ""),
            sdk_version=pipeline.get("sdkVersion", ""),
            root=self._component(model.ROOT, pipeline.get("root", _NO_MAPPING), (model.ROOT,)),
            components={name: self._component(name, item, ("components", name)) for name, item in sorted(components.items())},
            executors=self._executors(pipeline.get("deploymentSpec", _NO_MAPPING)),
            platform=self._platform(platform_document),
        )

    def _note(self, place: Place, message: str) -> None:
        self.findings.append(Finding(place, message))

    # --- components -------------------------------------------------------------------------------------------------

    def _component(self, name: str, data: Mapping[str, Json], place: Place) -> model.ComponentSpec:
        inputs = data.get("inputDefinitions", _NO_MAPPING)
        outputs = data.get("outputDefinitions", _NO_MAPPING)
        inputs_place, outputs_place = (*place, "inputDefinitions"), (*place, "outputDefinitions")
        return model.ComponentSpec(
            name=name,
            input_parameters=self._parameters(inputs, inputs_place),
            input_artifacts=self._artifacts(inputs, inputs_place),
            output_parameters=self._parameters(outputs, outputs_place),
            output_artifacts=self._artifacts(outputs, outputs_place),
            dag=self._dag(data["dag"], (*place, "dag")) if "dag" in data else None,
            executor=data.get("executorLabel", ""),
            task_config_passthroughs=tuple(
                (str(item.get("field", "")), item.get("applyToTask", False)) for item in data.get("taskConfigPassthroughs", ())
            ),
        )

    def _parameters(self, definitions: Mapping[str, Json], place: Place) -> dict[str, model.ParameterDefinition]:
        found = {}
        for name, item in sorted(definitions.get("parameters", _NO_MAPPING).items()):
            type_name = item.get("parameterType") or _OLD_TYPES.get(item.get("type", ""), "")
            if type_name not in model.ParameterType.__members__:  # numbers may stand for types, and mean nothing
                self._note((*place, "parameters", name), f"The parameter `{name}` has no parameterType{_shown(type_name)}.")
                type_name = "STRING"
            found[name] = model.ParameterDefinition(
                type=model.ParameterType(type_name),
                has_default="defaultValue" in item,
                default=normalise(item.get("defaultValue")),
                optional=item.get("isOptional", False),
                description=item.get("description", ""),
                literals=tuple(normalise(item.get("literals", ()))),
            )
        return found

    def _artifacts(self, definitions: Mapping[str, Json], place: Place) -> dict[str, model.ArtifactDefinition]:
        return {
            name: model.ArtifactDefinition(
                type=self._artifact_type(item.get("artifactType", _NO_MAPPING), (*place, "artifacts", name, "artifactType")),
                is_list=item.get("isArtifactList", False),
                optional=item.get("isOptional", False),
                description=item.get("description", ""),
                metadata=normalise(item.get("metadata", {})),
            )
            for name, item in sorted(definitions.get("artifacts", _NO_MAPPING).items())
        }

    def _artifact_type(self, data: Mapping[str, Json], place: Place) -> model.ArtifactType:
        if "schemaUri" in data:
            self._note(place, "An artifact type given by schemaUri cannot be used; use schemaTitle.")
        if "instanceSchema" in data:
            title = data.get("schemaTitle", "")
            return model.ArtifactType(title, data.get("schemaVersion", ""), instance_schema=data["instanceSchema"])
        return model.ArtifactType(data.get("schemaTitle", "system.Artifact"), data.get("schemaVersion", "0.0.1"))

    # --- DAGs -------------------------------------------------------------------------------------------------------

    def _dag(self, data: Mapping[str, Json], place: Place) -> model.DagSpec:
        outputs = data.get("outputs", _NO_MAPPING)
        tasks = sorted(data.get("tasks", _NO_MAPPING).items())
        return model.DagSpec(
            tasks={key: self._task(key, item, (*place, "tasks", key)) for key, item in tasks},
            output_parameters={
                name: self._parameter_selector(item, (*place, "outputs", "parameters", name))
                for name, item in sorted(outputs.get("parameters", _NO_MAPPING).items())
            },
            output_artifacts={
                name: model.ArtifactSelector(
                    tuple(
                        model.FromTask(source.get("producerSubtask", ""), source.get("outputArtifactKey", ""))
                        for source in item.get("artifactSelectors", ())
                    )
                )
                for name, item in sorted(outputs.get("artifacts", _NO_MAPPING).items())
            },
        )

    def _parameter_selector(self, data: Mapping[str, Json], place: Place) -> model.ParameterSelector:
        sources = [data["valueFromParameter"]] if "valueFromParameter" in data else []
        sources += data.get("valueFromOneof", _NO_MAPPING).get("parameterSelectors", ())
        return model.ParameterSelector(
            tuple(model.FromTask(item.get("producerSubtask", ""), item.get("outputParameterKey", "")) for item in sources)
        )

    def _task(self, key: str, data: Mapping[str, Json], place: Place) -> model.TaskSpec:
        inputs = data.get("inputs", _NO_MAPPING)
        parameters = {
            name: self._parameter_input(name, item, (*place, "inputs", "parameters", name))
            for name, item in sorted(inputs.get("parameters", _NO_MAPPING).items())
        }
        artifacts = {
            name: self._artifact_input(name, item, (*place, "inputs", "artifacts", name))
            for name, item in sorted(inputs.get("artifacts", _NO_MAPPING).items())
        }
        caching = data.get("cachingOptions", _NO_MAPPING)
        return model.TaskSpec(
            key=key,
            name=data.get("taskInfo", _NO_MAPPING).get("name", "") or key,
            component=data.get("componentRef", _NO_MAPPING).get("name", ""),
            dependencies=_dependencies(data.get("dependentTasks", ()), parameters, artifacts),
            parameters=parameters,
            artifacts=artifacts,
            caching=model.CachingOptions(caching.get("enableCache", False), caching.get("cacheKey", "")),
            trigger=_trigger(data.get("triggerPolicy", _NO_MAPPING)),
            iterator=self._iterator(data, place),
            parallelism=data.get("iteratorPolicy", _NO_MAPPING).get("parallelismLimit", 0),
            retry=self._retry(data["retryPolicy"], (*place, "retryPolicy")) if "retryPolicy" in data else None,
        )

    def _parameter_input(self, name: str, data: Mapping[str, Json], place: Place) -> model.ParameterInput:
        source: model.ParameterSource = model.Constant(None)
        if "componentInputParameter" in data:
            source = model.FromInput(data["componentInputParameter"])
        elif "taskOutputParameter" in data:
            output = data["taskOutputParameter"]
            source = model.FromTask(output.get("producerTask", ""), output.get("outputParameterKey", ""))
        elif "taskFinalStatus" in data:
            source = model.FinalStatus(data["taskFinalStatus"].get("producerTask", ""))
        elif "runtimeValue" in data:
            value = data["runtimeValue"]
            if "runtimeParameter" in value:
                self._note((*place, "runtimeValue"), "A runtimeParameter gives no value to a task; use componentInputParameter.")
            source = model.Constant(_constant(value))
        else:
            self._note(place, f"Nothing says where the value of the input `{name}` comes from.")
        return model.ParameterInput(source, data.get("parameterExpressionSelector", ""))

    def _artifact_input(self, name: str, data: Mapping[str, Json], place: Place) -> model.ArtifactInput:
        if "taskOutputArtifact" in data:
            output = data["taskOutputArtifact"]
            return model.ArtifactInput(model.FromTask(output.get("producerTask", ""), output.get("outputArtifactKey", "")))
        if "componentInputArtifact" not in data:
            self._note(place, f"Nothing says where the artifact of the input `{name}` comes from.")
        return model.ArtifactInput(model.FromInput(data.get("componentInputArtifact", "")))

    def _retry(self, data: Mapping[str, Json], place: Place) -> model.RetryPolicy:
        factor = data.get("backoffFactor", 2.0)
        if isinstance(factor, str):  # how protobuf writes what is no finite number
            self._note((*place, "backoffFactor"), "The factor must be a finite number.")
            factor = 2.0
        return model.RetryPolicy(
            max_retries=data.get("maxRetryCount", 0),
            delay=_seconds(data.get("backoffDuration", "0s")),
            factor=factor,
            max_window=_seconds(data.get("backoffMaxDuration", "0s")) or None,
        )

    def _iterator(self, data: Mapping[str, Json], place: Place) -> model.Iterator | None:
        if "parameterIterator" in data:
            return self._parameter_iterator(data["parameterIterator"], (*place, "parameterIterator"))
        if "artifactIterator" in data:
            iterator = data["artifactIterator"]
            items = iterator.get("items", _NO_MAPPING).get("inputArtifact", "")
            if not items:
                self._note((*place, "artifactIterator"), "Nothing says over which artifacts this loops (items.inputArtifact).")
            return model.Iterator(iterator.get("itemInput", ""), items_input=items, over_artifacts=True)
        return None

    def _parameter_iterator(self, data: Mapping[str, Json], place: Place) -> model.Iterator:
        items = data.get("items", _NO_MAPPING)
        item_input = data.get("itemInput", "")
        if "raw" not in items:
            if not items.get("inputParameter"):
                self._note(place, "Nothing says over which items this loops (items.raw or items.inputParameter).")
            return model.Iterator(item_input, items_input=items.get("inputParameter", ""))
        try:
            raw = normalise(json.loads(items["raw"]))
        except (ValueError, RecursionError):
            raw = None
        if not isinstance(raw, list):
            self._note((*place, "items", "raw"), "The items to loop over must be the text of a JSON list.")
            raw = []
        return model.Iterator(item_input, raw=tuple(raw))

    # --- executors and platform -------------------------------------------------------------------------------------

    def _executors(self, deployment: Mapping[str, Json]) -> dict[str, model.ExecutorSpec]:
        data, findings = strict.canonical(deployment, strict.DEPLOYMENT_CONFIG, EXECUTORS[:1], tolerant=True)
        self.findings += findings
        found: dict[str, model.ExecutorSpec] = {}
        for label, item in data.get("executors", _NO_MAPPING).items():
            place = (*EXECUTORS, label)
            if "container" in item:
                container = found[label] = _container(label, item["container"])
                if not container.image:
                    self._note((*place, "container"), f"The executor `{label}` has no image.")
                continue
            if "importer" in item:
                found[label] = self._importer(label, item["importer"], (*place, "importer"))
                continue
            # What cannot be run still has a label that components refer to.
            found[label] = model.ContainerSpec(label, image="")
            if "customJob" in item:
                self._note(
                    place, f"The executor `{label}` is a customJob, which only Vertex AI can run; use a container component."
                )
            elif "resolver" in item:
                self._note(place, f"The executor `{label}` is a resolver, which cannot be run; use an importer.")
            else:
                self._note(place, f"The executor `{label}` says nothing to run: it has neither a container nor an importer.")
        return found

    def _importer(self, label: str, data: Mapping[str, Json], place: Place) -> model.ImporterSpec:
        uri = data.get("artifactUri", _NO_MAPPING)
        metadata = {name: _constant(item) for name, item in data.get("properties", _NO_MAPPING).items()}
        metadata |= {name: _constant(item) for name, item in data.get("customProperties", _NO_MAPPING).items()}
        constant = _constant(uri)
        if constant is None and not uri.get("runtimeParameter"):
            self._note((*place, "artifactUri"), "The importer does not say what to import (artifactUri).")
        return model.ImporterSpec(
            label=label,
            type=self._artifact_type(data.get("typeSchema", _NO_MAPPING), (*place, "typeSchema")),
            uri="" if constant is None else to_text(constant),
            uri_input=uri.get("runtimeParameter", ""),
            metadata=metadata | normalise(data.get("metadata", {})),
            reimport=data.get("reimport", False),
            download_to_workspace=data.get("downloadToWorkspace", False),
        )

    def _platform(self, document: Mapping[str, Json]) -> model.PlatformSpec:
        kubernetes = document.get("platforms", _NO_MAPPING).get("kubernetes", _NO_MAPPING)
        executors = {}
        for label, item in sorted(kubernetes.get("deploymentSpec", _NO_MAPPING).get("executors", _NO_MAPPING).items()):
            executors[label], findings = platform.read_executor(item, (*KUBERNETES, *EXECUTORS, label))
            self.platform_findings += findings
        return model.PlatformSpec(executors, normalise(kubernetes.get("pipelineConfig", {})))


# --- pieces that cannot be wrong ------------------------------------------------------------------------------------


def _constant(data: Mapping[str, Json]) -> Json:
    """The literal of a ValueOrRuntimeParameter, in either of its forms; None where there is none."""
    if "constantValue" in data:
        old = data["constantValue"]
        if "intValue" in old:
            return int(old["intValue"])  # protobuf writes 64-bit integers as text
        return normalise(old.get("doubleValue", old.get("stringValue", "")))
    return normalise(data.get("constant"))


def _shown(type_name: Json) -> str:
    return f" that is known, but `{type_name}`" if type_name else ""


def _dependencies(
    named: Json, parameters: Mapping[str, model.ParameterInput], artifacts: Mapping[str, model.ArtifactInput]
) -> tuple[str, ...]:
    sources: list[model.ParameterSource | model.ArtifactSource] = [item.source for item in parameters.values()]
    sources += [item.source for item in artifacts.values()]
    producers = [source.producer for source in sources if isinstance(source, model.FromTask | model.FinalStatus)]
    return tuple(dict.fromkeys([*named, *producers]))


def _trigger(data: Mapping[str, Json]) -> model.TriggerPolicy:
    name = data.get("strategy", "")
    known = name in model.TriggerStrategy.__members__
    strategy = model.TriggerStrategy(name) if known else model.TriggerStrategy.ALL_UPSTREAM_TASKS_SUCCEEDED
    return model.TriggerPolicy(data.get("condition", ""), strategy)


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def _container(label: str, data: Mapping[str, Json]) -> model.ContainerSpec:
    return model.ContainerSpec(
        label=label,
        image=data.get("image", ""),
        command=tuple(data.get("command", ())),
        args=tuple(data.get("args", ())),
        env=tuple((item.get("name", ""), item.get("value", "")) for item in data.get("env", ())),
        resources=_resources(data.get("resources", _NO_MAPPING)),
    )


def _resources(data: Mapping[str, Json]) -> model.ResourceSpec:
    accelerator = data.get("accelerator", _NO_MAPPING)
    return model.ResourceSpec(
        cpu_limit=data.get("resourceCpuLimit") or _quantity(data.get("cpuLimit")),
        memory_limit=data.get("resourceMemoryLimit") or _quantity(data.get("memoryLimit"), "G"),
        cpu_request=data.get("resourceCpuRequest") or _quantity(data.get("cpuRequest")),
        memory_request=data.get("resourceMemoryRequest") or _quantity(data.get("memoryRequest"), "G"),
        accelerator_type=accelerator.get("resourceType") or accelerator.get("type", ""),
        accelerator_count=str(accelerator.get("resourceCount") or accelerator.get("count", "")),
    )


def _quantity(number: float | None, unit: str = "") -> str:
    """An old numeric resource as a Kubernetes quantity; empty where not said."""
    return to_text(number) + unit if number else ""
