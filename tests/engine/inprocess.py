"""Carries out lightweight Python components in this process, with the KFP SDK's own executor: real outputs for the engine."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pipelines.spec.model import ComponentSpec, ContainerSpec, ParameterType, PipelineSpec
from runs.engine.model import Task, Values


class InProcess:
    """A script for a World: runs Python components for real, and gives made-up values for all others."""

    made_up: Mapping[str, Any] = {
        "NUMBER_INTEGER": 3,
        "NUMBER_DOUBLE": 2.5,
        "STRING": "text",
        "BOOLEAN": True,
        "LIST": [1, 2],
        "STRUCT": {"a": 1, "b": 2},
    }

    def __init__(self, spec: PipelineSpec, folder: Path) -> None:
        self.spec = spec
        self.folder = folder
        self.ids = iter(range(1, 1_000_000))
        self.modules: dict[str, ModuleType] = {}

    def __call__(self, task: Task, number: int) -> Values | str:
        component = self.spec.at(task.path)[1]
        executor = self.spec.executor_of(component)
        if isinstance(executor, ContainerSpec) and "--function_to_execute" in executor.args and executor.command[0] == "sh":
            return self._run(task, number, component, executor)
        return self._make_up(component, task)

    def _make_up(self, component: ComponentSpec, task: Task) -> Values:
        parameters = {name: self.made_up[definition.type.value] for name, definition in component.output_parameters.items()}
        self._place(task).mkdir(parents=True, exist_ok=True)
        artifacts = {name: [self._artifact(name, task, component, {})] for name in component.output_artifacts}
        for name in artifacts:
            (self._place(task) / name).write_text("made up")
        return Values(parameters, artifacts)

    def _artifact(self, name: str, task: Task, component: ComponentSpec, given: Mapping[str, Any]) -> Any:
        kind = component.output_artifacts[name].type
        return {
            "id": next(self.ids),
            "name": name,
            "uri": given.get("uri") or str(self._place(task) / name),
            "type": kind.title,
            "schema_version": kind.version,
            "metadata": dict(given.get("metadata") or {}),
            "custom_path": given.get("custom_path") or given.get("customPath") or "",
        }

    def _place(self, task: Task) -> Path:
        return self.folder / task.path.replace("/", "_")

    def _run(self, task: Task, number: int, component: ComponentSpec, executor: ContainerSpec) -> Values | str:
        from kfp.dsl.executor import Executor  # noqa: PLC0415 (the SDK takes a second to import, and may be missing)

        place = self._place(task)
        place.mkdir(parents=True, exist_ok=True)
        before = Path.cwd()
        os.chdir(place)
        try:
            function = getattr(self._module(executor), executor.args[executor.args.index("--function_to_execute") + 1])
            Executor(self._executor_input(task, component, place), function).execute()
        except (Exception, SystemExit) as error:
            return f"{type(error).__name__}: {error}."
        finally:
            os.chdir(before)
        return self._outputs(task, component, place)

    def _module(self, executor: ContainerSpec) -> ModuleType:
        if executor.label not in self.modules:
            source = self.folder / f"{executor.label}.py"
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(executor.command[-1])
            loader = importlib.util.spec_from_file_location(f"component_{abs(hash(str(source)))}", source)
            assert loader is not None and loader.loader is not None
            module = importlib.util.module_from_spec(loader)
            sys.modules[loader.name] = module
            loader.loader.exec_module(module)
            self.modules[executor.label] = module
        return self.modules[executor.label]

    def _executor_input(self, task: Task, component: ComponentSpec, place: Path) -> dict[str, Any]:
        given = task.inputs or Values()
        defaults = {name: one.default for name, one in component.input_parameters.items() if one.has_default}
        artifacts = {
            name: {
                "artifacts": [
                    {
                        "name": str(one["id"]),
                        "uri": one["uri"],
                        "metadata": one["metadata"],
                        "customPath": one["custom_path"],
                        "type": {"schemaTitle": one["type"], "schemaVersion": one["schema_version"]},
                    }
                    for one in every
                ]
            }
            for name, every in given.artifacts.items()
        }
        outputs = {
            name: {
                "artifacts": [
                    {
                        "name": name,
                        "uri": str(place / name),
                        "metadata": dict(one.metadata),
                        "type": {"schemaTitle": one.type.title, "schemaVersion": one.type.version},
                    }
                ]
            }
            for name, one in component.output_artifacts.items()
        }
        return {
            "inputs": {"parameterValues": {**defaults, **given.parameters}, "artifacts": artifacts},
            "outputs": {
                "parameters": {name: {"outputFile": str(place / "parameters" / name)} for name in component.output_parameters},
                "artifacts": outputs,
                "outputFile": str(place / "output_metadata.json"),
            },
        }

    def _outputs(self, task: Task, component: ComponentSpec, place: Path) -> Values:
        told = place / "output_metadata.json"
        document = json.loads(told.read_text()) if told.exists() else {}
        parameters = dict(document.get("parameterValues", {}))
        for name in component.output_parameters:
            file = place / "parameters" / name
            if name not in parameters and file.exists():
                text = file.read_text()
                is_text = component.output_parameters[name].type is ParameterType.STRING
                parameters[name] = text if is_text else json.loads(text.lower() if text in ("True", "False") else text)
        artifacts = {}
        for name in component.output_artifacts:
            listed = document.get("artifacts", {}).get(name, {}).get("artifacts", [])
            made = self._artifact(name, task, component, listed[0] if listed else {})
            if made["custom_path"]:
                shutil.copy(made["custom_path"], made["uri"])  # consumers find it where the URI says
            artifacts[name] = [made]
        return Values(parameters, artifacts)
