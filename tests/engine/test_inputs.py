"""Inputs: sources, defaults, null at every depth, conversion, checks, placeholders, and sentences for what is missing."""

import pytest

from pipelines.spec.model import ArtifactDefinition, Constant, FromInput, ParameterInput
from runs.engine.inputs import Unresolved, value_in_scope
from runs.engine.model import Snapshot, State, Values
from tests.engine.build import dag, parameter, pipeline, step, task
from tests.engine.world import World, artifact, outputs

PLAIN = step("plain")


def run_with(definition, given, **arguments):
    """A world with one step that has one input `x`."""
    one = step("one", inputs={"x": definition})
    root_inputs = {name: parameter("STRING", optional=True) for name in arguments}
    return World(pipeline(dag("root", [task("t", "one", inputs={"x": given})], inputs=root_inputs), one), arguments=arguments).go()


@pytest.mark.parametrize(
    ("type", "given", "got"),
    [
        ("STRING", 3.0, "3"),
        ("STRING", 2.5, "2.5"),
        ("STRING", True, "true"),
        ("STRING", ["a", 1.0], '["a",1]'),
        ("STRING", {"b": 1, "a": "<"}, '{"a":"\\u003c","b":1}'),
        ("NUMBER_INTEGER", 3.0, 3),
        ("NUMBER_INTEGER", 2.5, 2.5),
        ("NUMBER_DOUBLE", 3.0, 3),
        ("BOOLEAN", False, False),
        ("LIST", [1.0, {"a": 2.0}], [1, {"a": 2}]),
        ("STRUCT", {"a": [1.0]}, {"a": [1]}),
    ],
)
def test_values_are_converted_to_their_declared_type(type: str, given: object, got: object) -> None:
    value = run_with(parameter(type), Constant(given))["t"].inputs.parameters["x"]
    assert value == got and value.__class__ is got.__class__


@pytest.mark.parametrize(
    ("type", "given", "word"),
    [("NUMBER_INTEGER", "3", "a string"), ("BOOLEAN", 1, "a number"), ("LIST", {}, "an object"), ("STRUCT", "{}", "a string")],
)
def test_what_does_not_fit_fails_the_task_with_a_sentence_that_names_the_input(type: str, given: object, word: str) -> None:
    world = run_with(parameter(type), Constant(given))
    assert world.state("t") == "FAILED" and world.started == []
    assert world["t"].reason.startswith(f"The input 'x' wants {type}, but got {word}")


def test_literals_are_checked() -> None:
    world = run_with(parameter("STRING", literals=("red", "green")), "blue")
    assert world["t"].reason == 'The input \'x\' is "blue", which is none of "red", "green".'
    assert run_with(parameter("NUMBER_INTEGER", literals=(1, 2)), Constant(2.0)).run.state is State.SUCCEEDED


def test_run_constants_and_other_inputs_are_replaced_in_constants_at_every_depth() -> None:
    one = step("one", inputs={"text": "STRING", "deep": "STRUCT"})
    given = {
        "text": "run {{$.pipeline_job_name}} of {{$.pipeline_task_name}}: {{$.inputs.parameters['pipelinechannel--n']}}",
        "deep": {"a": ["{{$.inputs.parameters['pipelinechannel--n']}}", "{{$.workspace_path}}/x", "{{$.pipeline_job_uuid}}"]},
        "pipelinechannel--n": "<n",
    }
    root = dag("root", [task("t", "one", inputs=given)], inputs={"n": "NUMBER_INTEGER"})
    world = World(pipeline(root, one), arguments={"n": 5}).go()
    assert world["t"].inputs.parameters["text"] == "run a run of t: 5"
    assert world["t"].inputs.parameters["deep"] == {"a": ["5", "/kfp-workspace/x", "run-1"]}


def test_a_null_in_an_f_string_is_empty() -> None:
    one = step("one", inputs={"text": "STRING"})
    given = {"text": "value {{$.inputs.parameters['pipelinechannel--n']}}!", "pipelinechannel--n": "<n"}
    root = dag("root", [task("t", "one", inputs=given)], inputs={"n": parameter("NUMBER_INTEGER", optional=True)})
    assert World(pipeline(root, one)).go()["t"].inputs.parameters["text"] == "value !"


def test_the_callers_value_wins_over_the_nested_default_and_that_over_the_components() -> None:
    leaf = step("leaf", inputs={"x": parameter("STRING", "component", optional=True)})
    nested = dag("nested", [task("l", "leaf", inputs={"x": "<x"})], inputs={"x": parameter("STRING", "nested", optional=True)})
    without = dag("without", [task("l", "leaf", inputs={"x": "<x"})], inputs={"x": parameter("STRING", optional=True)})
    tasks = [task("given", "nested", inputs={"x": "caller"}), task("left-out", "nested"), task("null", "without")]
    world = World(pipeline(dag("root", tasks), leaf, nested, without)).go()
    assert world["given/l"].inputs.parameters == {"x": "caller"}
    assert world["left-out/l"].inputs.parameters == {"x": "nested"}
    assert world["null"].inputs.parameters == {"x": None} and world["null/l"].inputs.parameters == {}


def test_null_goes_through_groups_that_are_never_optional_and_counts_as_not_supplied() -> None:
    leaf = step("leaf", inputs={"x": parameter("NUMBER_INTEGER", optional=True)})
    inner = dag("condition", [task("l", "leaf", inputs={"x": "<x"})], inputs={"x": "NUMBER_INTEGER"})
    outer = dag("nested", [task("c", "condition", inputs={"x": "<x"})], inputs={"x": parameter("NUMBER_INTEGER", 5, optional=True)})
    root = dag("root", [task("n", "nested", inputs={"x": "<p"})], inputs={"p": parameter("NUMBER_INTEGER", optional=True)})
    world = World(pipeline(root, leaf, inner, outer)).go()
    assert world.run.state is State.SUCCEEDED
    assert world["n/c"].inputs.parameters == {"x": None} and world["n/c/l"].inputs.parameters == {}


def test_null_for_a_required_input_of_a_step_is_an_error_that_names_both() -> None:
    world = run_with(parameter("NUMBER_INTEGER"), "<p", p=None)
    assert world["t"].reason == "The input 'x' is required, but 'p', which it comes from, was not given."


def test_a_required_input_that_nobody_gives_is_an_error_and_a_default_is_not() -> None:
    one = step("one", inputs={"x": "STRING"})
    two = step("two", inputs={"x": parameter("STRING", "d")})
    world = World(pipeline(dag("root", [task("a", "one"), task("b", "two")]), one, two)).go()
    assert world["a"].reason == "The input 'x' is required and was not given."
    assert world.state("b") == "SUCCEEDED" and world["b"].inputs.parameters == {}


def test_an_input_that_the_pipeline_around_does_not_have_is_an_error() -> None:
    world = run_with(parameter("STRING"), "<nowhere")
    assert world["t"].reason == "The input 'x' refers to 'nowhere', which the pipeline around it does not have."


def test_root_inputs_are_arguments_then_defaults_then_null() -> None:
    inputs = {"a": "STRING", "b": parameter("NUMBER_INTEGER", 7.0), "c": parameter("LIST", optional=True)}
    world = World(pipeline(dag("root", [task("t", "plain")], inputs=inputs), PLAIN), arguments={"a": "x"}).go()
    assert world[""].inputs.parameters == {"a": "x", "b": 7, "c": None}


def test_a_run_without_a_required_argument_or_with_artifact_inputs_fails_at_once_with_the_reason() -> None:
    world = World(pipeline(dag("root", [task("t", "plain")], inputs={"a": "STRING"}), PLAIN)).go()
    assert world.run.state is State.FAILED and world.run.reason == "The pipeline's input 'a' is required and was not given."
    world = World(pipeline(dag("root", [task("t", "plain")], artifacts_in={"d": None}), PLAIN)).go()
    assert world.run.state is State.FAILED and "'d' is an artifact" in world.run.reason and world.started == []


def test_optional_artifacts_that_are_absent_are_left_out_through_groups() -> None:
    optional = ArtifactDefinition(optional=True)
    leaf = step("leaf", artifacts_in={"d": optional})
    needy = step("needy", artifacts_in={"d": None})
    group = dag(
        "group", [task("l", "leaf", artifacts={"d": "<d"}), task("n", "needy", artifacts={"d": "<d"})], artifacts_in={"d": None}
    )
    root = dag("root", [task("g", "group", artifacts={"d": "<d"})], artifacts_in={"d": optional})
    world = World(pipeline(root, leaf, needy, group)).go()
    assert world.state("g/l") == "SUCCEEDED" and world["g/l"].inputs.artifacts == {}
    assert world["g/n"].reason == "The input artifact 'd' is required, but 'd', which it comes from, was not given."


def test_an_artifact_that_was_not_produced_fails_the_consumer_with_a_sentence() -> None:
    make = step("make", artifacts_out=("data",))
    need = step("need", artifacts_in={"d": None})
    root = dag("root", [task("m", "make"), task("n", "need", artifacts={"d": "@m.data"})])
    world = World(pipeline(root, make, need)).go()
    assert world["n"].reason == "The input artifact 'd' needs the output 'data' of 'm', which it did not produce."


def test_a_list_of_artifacts_crosses_borders_whole_and_under_two_names() -> None:
    many = [artifact("a", 1), artifact("b", 2)]
    make = step("make", artifacts_out=("data",))
    leaf = step("leaf", artifacts_in={"d": ArtifactDefinition(is_list=True), "e": ArtifactDefinition(is_list=True)})
    lists = {"one": ArtifactDefinition(is_list=True), "two": ArtifactDefinition(is_list=True)}
    group = dag("group", [task("l", "leaf", artifacts={"d": "<one", "e": "<two"})], artifacts_in=lists)
    root = dag("root", [task("m", "make"), task("g", "group", artifacts={"one": "@m.data", "two": "@m.data"})])
    world = World(pipeline(root, make, leaf, group), lambda t, n: Values({}, {"data": many})).go()
    assert world["g/l"].inputs.artifacts == {"d": many, "e": many}


def test_settings_of_the_platform_are_resolved_in_the_scope_around_the_step() -> None:
    number = step("number", outputs={"Output": "STRING"})
    root = dag(
        "root",
        [task("a", "number"), task("t", "plain", after=("a",))],
        inputs={"p": parameter("STRING", optional=True), "q": "STRING"},
    )
    world = World(pipeline(root, number, PLAIN), lambda t, n: outputs(Output="secret"), arguments={"q": '{"k": "v"}'}).go()
    snapshot = Snapshot(world.run, world.spec, world.tasks)

    def value(**given):
        return value_in_scope(snapshot, "root/t", given)

    assert value(taskOutputParameter={"producerTask": "a", "outputParameterKey": "Output"}) == "secret"
    assert value(componentInputParameter="p") is None
    assert value(componentInputParameter="q", parameterExpressionSelector='parseJson(string_value)["k"]') == "v"
    assert value(runtimeValue={"constant": "x-{{$.pipeline_job_name}}"}) == "x-a run"
    with pytest.raises(Unresolved, match="'nowhere'"):
        value(componentInputParameter="nowhere")


def test_a_selector_takes_a_value_out_before_the_type_is_checked() -> None:
    given = ParameterInput(FromInput("p"), 'parseJson(string_value)["n"]')
    one = step("one", inputs={"x": "NUMBER_INTEGER"})
    spec = pipeline(dag("root", [task("t", "one", inputs={"x": given})], inputs={"p": "STRUCT"}), one)
    assert World(spec, arguments={"p": {"n": 4}}).go()["t"].inputs.parameters == {"x": 4}
