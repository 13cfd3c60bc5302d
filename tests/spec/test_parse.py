"""Whole packages: what is taken, what is refused, and what comes out."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time
from typing import Any

import pytest
import yaml
from small_pipelines import constant, kubernetes, output, parsed, pipeline, step, task

from pipelines.packages import read_package
from pipelines.spec import model
from pipelines.spec.parse import build, parse_json, parse_text
from pipelines.spec.problems import MAX_PROBLEMS, Refused

Json = Any


def refusal(text: str) -> str:
    with pytest.raises(Refused) as caught:
        parse_text(text)
    return str(caught.value)


def yaml_of(*documents: Json) -> str:
    return yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False)


# --- the conformance data -------------------------------------------------------------------------------------------


def same(left: Json, right: Json) -> bool:
    """Whether two JSON values are equal where defaults, which protobuf drops, do not count."""
    if isinstance(left, dict) and isinstance(right, dict):
        return all(same(left.get(key), right.get(key)) for key in left.keys() | right.keys())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right or (not left and not right)


def test_every_valid_package_is_taken_and_comes_out_as_it_was(conformance: pathlib.Path) -> None:
    packages = sorted((conformance / "pipelines").rglob("*.yaml"))
    assert packages
    for path in packages:
        text = read_package(path.read_bytes(), path.name)
        document = parse_text(text)
        originals = [item for item in yaml.load_all(text, yaml.CSafeLoader) if item]
        assert same(document.pipeline, originals[0]), path.name
        assert same(document.platform, originals[1] if len(originals) > 1 else {}), path.name
        stored = json.loads(json.dumps([document.pipeline, document.platform]))
        assert build(*stored) == document.spec, path.name
        assert parse_json(*stored).spec == document.spec, path.name


def test_every_invalid_package_is_refused_with_sentences(conformance: pathlib.Path) -> None:
    packages = sorted((conformance / "invalid").iterdir())
    assert packages
    for path in packages:
        with pytest.raises(Refused) as caught:
            parse_text(read_package(path.read_bytes(), path.name))
        for problem in caught.value.problems:
            assert len(problem.message) > 20 and problem.message[-1] in ".?", path.name
            assert "Traceback" not in problem.message


# --- what a file is -------------------------------------------------------------------------------------------------


def test_the_platform_document_may_stand_first_or_second() -> None:
    platform = kubernetes({"make": {"image_pull_policy": "Always", "tolerations": [{"toleration_seconds": "30"}]}})
    first, second = parse_text(yaml_of(platform, pipeline())), parse_text(yaml_of(pipeline(), platform))
    assert first == second
    assert first.spec.platform.executors["make"] == {"imagePullPolicy": "Always", "tolerations": [{"tolerationSeconds": 30}]}


def test_json_is_taken_like_yaml() -> None:
    assert parse_text(json.dumps(pipeline(), indent=1)) == parse_text(yaml_of(pipeline()))


def test_the_form_of_the_api_and_of_a_manifest_are_taken() -> None:
    plain = parsed(pipeline(), kubernetes(config={"activeDeadlineSeconds": 60}))
    both = {"pipeline_spec": pipeline(), "platform_spec": kubernetes(config={"activeDeadlineSeconds": 60})}
    manifest = {
        "apiVersion": "pipelines.kubeflow.org/v2beta1",
        "kind": "PipelineVersion",
        "spec": {"pipelineName": "small", "pipelineSpec": both["pipeline_spec"], "platformSpec": both["platform_spec"]},
    }
    beside = {"apiVersion": "pipelines.kubeflow.org/v2beta1", "kind": "Pipeline", "spec": {"displayName": "Small"}}
    assert parse_text(yaml_of(both)) == plain
    assert parse_text(yaml_of(beside, manifest)) == plain
    assert plain.spec.platform.pipeline == {"activeDeadlineSeconds": 60}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The file is empty"),
        ("# nothing\n---\n", "The file is empty"),
        ("just words", "neither a pipeline nor a platform document"),
        ("- a\n- b\n", "neither a pipeline nor a platform document"),
        (yaml_of(kubernetes()), "This is no compiled pipeline"),
        (yaml_of(pipeline(), pipeline()), "more than one pipeline document"),
        (yaml_of(pipeline(), kubernetes(), kubernetes()), "more than one platform document"),
        (yaml_of(pipeline(), {"notes": 1}), "neither a pipeline nor a platform document"),
        (yaml_of(pipeline()) + "---\nafterthought\n", "neither a pipeline nor a platform document, but something else. (line"),
        (yaml_of({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {}}), "KFP v1 package (an Argo Workflow)"),
        (yaml_of({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": {}}), "kfp dsl compile --py"),
    ],
)
def test_what_is_no_package_is_refused(text: str, sentence: str) -> None:
    assert sentence in refusal(text)


def test_a_platform_of_others_is_ignored() -> None:
    assert parsed(pipeline(), {"platforms": {"google": {"config": {"a": 1}}}}).spec.platform == model.PlatformSpec()


def test_inline_documents_are_checked_too() -> None:
    for document in (None, [], "text", {"a": 1}, pipeline(extra=1), pipeline(description_=[[]])):
        with pytest.raises(Refused):
            parse_json(document)
    deep: Json = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(Refused, match="levels deep"):
        parse_json(pipeline(), {"platforms": deep})
    with pytest.raises(Refused, match="NUL"):
        parse_json(pipeline(sdkVersion="a\0b"))


# --- what comes out -------------------------------------------------------------------------------------------------


def test_a_task_waits_for_named_tasks_and_for_producers_of_its_inputs() -> None:
    tasks = {"make": task("make"), "b": task("make"), "use": task("use", after=["b"], parameters={"n": output("make", "count")})}
    document = parsed(pipeline(tasks))
    assert document.spec.root.dag is not None
    assert document.spec.root.dag.tasks["use"].dependencies == ("b", "make")
    assert document.spec.root.dag.dependants == {"make": ("use",), "b": ("use",), "use": ()}


def test_numbers_are_integers_where_they_are_integral() -> None:
    components = {
        "use": {
            "executorLabel": "use",
            "inputDefinitions": {"parameters": {"n": {"parameterType": "LIST", "defaultValue": [3.0, 2.5]}}},
        }
    }
    spec = parsed(pipeline({"use": task("use", parameters={"n": constant([1.0, {"a": 2.0}])})}, components)).spec
    assert spec.root.dag is not None
    source = spec.root.dag.tasks["use"].parameters["n"].source
    assert repr(source) == "Constant(value=[1, {'a': 2}])"
    assert repr(spec.components["use"].input_parameters["n"].default) == "[3, 2.5]"


def test_old_and_new_forms_of_resources_and_constants_are_read() -> None:
    resources = {
        "cpuLimit": 0.5,
        "memoryLimit": 0.268435456,
        "memoryRequest": 2,
        "resourceMemoryLimit": "256Mi",
        "accelerator": {"type": "T4", "count": "2"},
    }
    executors = {"use": {"container": {"image": "x", "resources": resources, "env": [{"name": "B", "value": "1"}, {"name": "A"}]}}}
    old = {"runtimeValue": {"constantValue": {"intValue": "7"}}}
    spec = parsed(pipeline({"use": task("use", parameters={"n": old})}, executors=executors)).spec
    container = spec.executors["use"]
    assert isinstance(container, model.ContainerSpec)
    assert container.env == (("B", "1"), ("A", ""))
    assert container.resources == model.ResourceSpec("0.5", "256Mi", "", "2G", "T4", "2")
    assert spec.root.dag is not None and spec.root.dag.tasks["use"].parameters["n"].source == model.Constant(7)


def test_retries_are_in_seconds_and_have_the_defaults_of_the_language() -> None:
    policies = {
        "a": {"maxRetryCount": 2},
        "b": {"maxRetryCount": 1, "backoffDuration": "1.5s", "backoffFactor": 3, "backoffMaxDuration": "60s"},
    }
    tasks = {key: task("make", retryPolicy=policy) for key, policy in policies.items()}
    dag = parsed(pipeline(tasks)).spec.root.dag
    assert dag is not None
    assert dag.tasks["a"].retry == model.RetryPolicy(2, 0.0, 2.0, None)
    assert dag.tasks["b"].retry == model.RetryPolicy(1, 1.5, 3.0, 60.0)


def test_the_tolerant_part_keeps_what_it_does_not_know_in_the_document() -> None:
    executors = {"make": {"container": {"image": "x", "command": ["a"], "tpu": True}}}
    document = parsed(pipeline(executors=executors))
    assert document.pipeline["deploymentSpec"]["executors"]["make"]["container"]["tpu"] is True


def test_a_list_of_problems_has_an_end() -> None:
    components = {f"c{index}": step(f"nowhere{index}") for index in range(3 * MAX_PROBLEMS)}
    with pytest.raises(Refused) as caught:
        parsed(pipeline(components=components))
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert "more problems" in caught.value.problems[-1].message


@pytest.mark.parametrize(
    "document",
    [
        pipeline({f"task-number-{index}": task(f"component-{index}x") for index in range(5000)}),
        pipeline({f"t{index}": task("make", after=[f"u{index}" for index in range(50)]) for index in range(400)}),
        pipeline(components={f"c{index}": {"executorLabel": "make", f"field{index}": 1} for index in range(5000)}),
        pipeline({f"t{index}": task("make", after=[f"t{other}" for other in range(300)]) for index in range(300)}),
    ],
    ids=["components", "tasks", "fields", "cycles"],
)
def test_thousands_of_problems_are_found_in_a_moment(document: Json) -> None:
    text = yaml_of(document)
    began = time.process_time()
    refusal(text)
    assert time.process_time() - began < 3, "seconds at most on any machine; about one here"


def test_a_large_package_is_read_in_a_moment() -> None:
    source = "print('a line of a step that is not short at all')\n" * 30
    components = {
        f"c{index}": step(f"e{index}", inputs={"n": "NUMBER_INTEGER"}, outputs={"out": "NUMBER_INTEGER"}) for index in range(450)
    }
    executors = {
        f"e{index}": {"container": {"image": "x", "command": ["python3", "-c", source], "args": ["{{$}}"]}} for index in range(450)
    }
    tasks = {
        f"t{index}": task(f"c{index}", parameters={"n": output(f"t{index - 1}") if index else constant(1)}) for index in range(450)
    }
    text = yaml_of(pipeline(tasks, components, executors))
    assert len(text) > 900_000
    parse_text(text)
    began = time.process_time()
    parse_text(text)
    assert time.process_time() - began < 1, "the budget is 0.35 s; this only keeps it from growing without notice"


def test_neither_django_nor_the_sdk_is_loaded_and_nothing_stays_in_the_environment() -> None:
    program = (
        "import sys, os, pipelines.packages, pipelines.spec.parse, pipelines.spec.arguments, pipelines.spec.platform;"
        "print([name for name in ('django', 'kfp.dsl', 'kfp.client') if name in sys.modules], '_KFP_RUNTIME' in os.environ)"
    )
    root = pathlib.Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


# --- what the SDK compiles ------------------------------------------------------------------------------------------


def test_what_the_sdk_compiles_is_taken(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("kfp")
    program = pathlib.Path(__file__).with_name("sdk_pipelines.py")
    subprocess.run([sys.executable, "-W", "ignore", program, tmp_path], check=True, timeout=120)
    packages = sorted(tmp_path.glob("*.yaml"))
    assert len(packages) == 9
    for path in packages:
        parse_text(path.read_text())
