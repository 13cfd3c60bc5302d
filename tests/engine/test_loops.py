"""Loops: items from anywhere, limits, order, fan-in through conditions and other loops."""

import pytest

from pipelines.spec.model import ArtifactDefinition, Constant, FromInput, FromTask, ParameterInput
from runs.engine.model import State, Values
from tests.engine.build import dag, parameter, pipeline, step, task
from tests.engine.world import World, artifact, outputs

USE = step("use", inputs={"x": "NUMBER_INTEGER"}, outputs={"Output": "NUMBER_INTEGER"})
TAKE = step("take", inputs={"xs": "LIST"})
PLAIN = step("plain")
BODY = dag("body", [task("one", "use", inputs={"x": "<item"})], inputs={"item": "NUMBER_INTEGER"}, gives={"all": "one.Output"})


def double(task, number):
    """A step that gives twice its input."""
    return outputs(Output=task.inputs.parameters["x"] * 2) if "x" in task.inputs.parameters else Values()


def test_iterations_are_collected_in_their_order_not_that_of_their_ends() -> None:
    root = dag(
        "root", [task("each", "body", over=[1, 2, 3]), task("t", "take", inputs={"xs": "@each.all"})], gives={"r": "each.all"}
    )
    world = World(pipeline(root, USE, TAKE, BODY), double)
    world.look()
    world.todo.reverse()
    world.carry_on()
    assert world["t"].inputs.parameters == {"xs": [2, 4, 6]} and world[""].outputs.parameters == {"r": [2, 4, 6]}


def test_a_limit_holds_and_nested_loops_have_their_own() -> None:
    inner = dag("inner", [task("in", "body", over=[1, 2, 3], at_once=2)], inputs={"item": "NUMBER_INTEGER"})
    root = dag("root", [task("out", "inner", over=[1, 2, 3], at_once=2)])
    world = World(pipeline(root, USE, BODY, inner), double)
    world.look()
    assert len(world.started) == 4
    while world.todo:
        order = world.todo.pop(0)
        for fact in world.facts_for(order):
            world.tell(fact)
        world.check()
        assert sum(task.under_way for task in world.tasks.tasks.values()) <= 4
    assert world.run.state is State.SUCCEEDED and len(world.started) == 9


def test_all_iterations_run_though_one_fails_and_the_reason_counts_them() -> None:
    root = dag("root", [task("each", "body", over=list(range(12)), at_once=2), task("t", "take", inputs={"xs": "@each.all"})])
    bad = {"root/each[4]/one", "root/each[7]/one"}
    world = World(pipeline(root, USE, TAKE, BODY), lambda t, n: "Exit code 2." if t.path in bad else outputs(Output=1)).go()
    assert world["each"].succeeded == 10 and world["each"].failed == 2
    assert world["each"].reason == "2 of 12 iterations failed. First: each[4]/one failed: Exit code 2."
    assert world.state("t") == "SKIPPED"


def test_an_empty_loop_succeeds_and_gives_empty_lists() -> None:
    root = dag("root", [task("each", "body", over=[]), task("t", "take", inputs={"xs": "@each.all"})])
    world = World(pipeline(root, USE, TAKE, BODY)).go()
    assert world["t"].inputs.parameters == {"xs": []} and world.run.state is State.SUCCEEDED


def test_fan_in_of_nested_loops_nests_parameters_and_flattens_artifacts() -> None:
    make = step("make", inputs={"x": "NUMBER_INTEGER"}, outputs={"Output": "NUMBER_INTEGER"}, artifacts_out=("data",))
    innermost = dag(
        "innermost",
        [task("m", "make", inputs={"x": "<item"})],
        inputs={"item": "NUMBER_INTEGER"},
        gives={"n": "m.Output"},
        gives_artifacts={"d": "m.data"},
    )
    middle = dag(
        "middle",
        [task("in", "innermost", over=[1, 2])],
        inputs={"item": "NUMBER_INTEGER"},
        gives={"n": "in.n"},
        gives_artifacts={"d": "in.d"},
    )
    take = step("take", inputs={"xs": "LIST"}, artifacts_in={"ds": ArtifactDefinition(is_list=True)})
    root = dag(
        "root", [task("out", "middle", over=[1, 2, 3]), task("t", "take", inputs={"xs": "@out.n"}, artifacts={"ds": "@out.d"})]
    )
    ids = iter(range(1, 100))
    world = World(
        pipeline(root, make, innermost, middle, take),
        lambda t, n: Values({"Output": t.inputs.parameters.get("x")}, {"data": [artifact(t.path, next(ids))]}),
    ).go()
    assert world["t"].inputs.parameters["xs"] == [[1, 2]] * 3
    assert [one["name"] for one in world["t"].inputs.artifacts["ds"]] == [
        f"root/out[{i}]/in[{j}]/m" for i in range(3) for j in range(2)
    ]


def test_iterations_whose_producer_was_skipped_are_left_out() -> None:
    branch = dag(
        "branch", [task("one", "use", inputs={"x": "<item"})], inputs={"item": "NUMBER_INTEGER"}, gives={"all": "one.Output"}
    )
    body = dag(
        "cond-body",
        [task("if", "branch", inputs={"item": "<item"}, when="int(inputs.parameter_values['item']) > 2")],
        inputs={"item": "NUMBER_INTEGER"},
        gives={"all": "if.all"},
    )
    root = dag("root", [task("each", "cond-body", over=[1, 2, 3, 4]), task("t", "take", inputs={"xs": "@each.all"})])
    world = World(pipeline(root, USE, TAKE, branch, body), double).go()
    assert world["t"].inputs.parameters == {"xs": [6, 8]} and world.run.state is State.SUCCEEDED
    assert world["each[0]/if"].reason == "Skipped because item > 2 is false (item is 1)."


def test_iterations_whose_producer_was_skipped_deeper_inside_are_left_out() -> None:
    item = {"item": "NUMBER_INTEGER"}
    branch = dag("branch", [task("one", "use", inputs={"x": "<item"})], inputs=item, gives={"all": "one.Output"})
    choice = task("if", "branch", inputs={"item": "<item"}, when="int(inputs.parameter_values['item']) > 2")
    nested = dag("nested", [choice], inputs=item, gives={"all": "if.all"})
    body = dag("body", [task("n", "nested", inputs={"item": "<item"})], inputs=item, gives={"all": "n.all"})
    root = dag("root", [task("each", "body", over=[1, 2, 3, 4]), task("t", "take", inputs={"xs": "@each.all"})])
    world = World(pipeline(root, USE, TAKE, branch, nested, body), double).go()
    assert world["t"].inputs.parameters == {"xs": [6, 8]}


def test_what_ran_and_gave_nothing_counts_as_null() -> None:
    root = dag("root", [task("each", "body", over=[1, 2]), task("t", "take", inputs={"xs": "@each.all"})])
    world = World(
        pipeline(root, USE, TAKE, BODY), lambda t, n: Values() if t.path.startswith("root/each[0]") else outputs(Output=5)
    ).go()
    assert world["t"].inputs.parameters == {"xs": [None, 5]}


@pytest.mark.parametrize("items", [[1, 2], "[1, 2]", [1.0, 2.0]])
def test_items_come_from_an_input_as_a_list_or_as_json(items: object) -> None:
    body = dag(
        "body",
        BODY.dag.tasks.values(),
        inputs={"items": parameter("STRING" if isinstance(items, str) else "LIST"), "item": "NUMBER_INTEGER"},
        gives={"all": "one.Output"},
    )
    root = dag(
        "root",
        [task("each", "body", inputs={"items": "<given"}, over="items")],
        inputs={"given": "STRING" if isinstance(items, str) else "LIST"},
    )
    world = World(pipeline(root, USE, body), double, arguments={"given": items}).go()
    assert world.run.state is State.SUCCEEDED and world["each"].children == 2
    assert world["each[1]"].inputs.parameters == {"item": 2}


@pytest.mark.parametrize(
    ("items", "word"), [({"a": 1}, "an object"), ("no json", "no JSON list"), ("5", "a number"), (5, "a number")]
)
def test_what_is_no_list_fails_the_loop_with_a_sentence(items: object, word: str) -> None:
    types = {dict: "STRUCT", str: "STRING", int: "NUMBER_INTEGER"}
    body = dag("body", [task("p", "plain")], inputs={"items": types[type(items)], "item": "STRING"})
    root = dag("root", [task("each", "body", inputs={"items": Constant(items)}, over="items")])
    world = World(pipeline(root, PLAIN, body)).go()
    assert world.state("each") == "FAILED" and word in world["each"].reason and "'items'" in world["each"].reason


def test_too_many_items_fail_the_loop_and_say_how_many_are_allowed() -> None:
    root = dag("root", [task("each", "body", over=list(range(20)))])
    world = World(pipeline(root, USE, BODY)).change_run(most_iterations=10).go()
    assert world["each"].reason == "The loop has 20 items, and at most 10 are allowed."
    assert "each[0]" not in world.states()


def test_items_that_are_objects_become_text_and_selectors_take_values_out() -> None:
    select = ParameterInput(FromInput("item"), 'parseJson(string_value)["a"]')
    body = dag("sub-body", [task("one", "use", inputs={"x": select})], inputs={"item": "STRING"}, gives={"all": "one.Output"})
    root = dag("root", [task("each", "sub-body", over=[{"a": 1}, {"a": 2}])], gives={"r": "each.all"})
    world = World(pipeline(root, USE, body), double).go()
    assert world["each[1]"].inputs.parameters == {"item": '{"a":2}'} and world[""].outputs.parameters == {"r": [2, 4]}


def test_a_selector_on_the_loop_itself_is_applied_once() -> None:
    inner = dag("inner", [task("one", "use", inputs={"x": "<item"})], inputs={"items": "LIST", "item": "NUMBER_INTEGER"})
    body = dag(
        "outer",
        [task("in", "inner", inputs={"items": ParameterInput(FromInput("pair"), 'parseJson(string_value)["list"]')}, over="items")],
        inputs={"pair": "STRUCT"},
    )
    root = dag("root", [task("out", "outer", over=[{"list": [1, 2]}, {"list": [3]}], item="pair")])
    world = World(pipeline(root, USE, inner, body), double).go()
    assert world.run.state is State.SUCCEEDED
    assert (world["out[0]/in"].children, world["out[1]/in"].children) == (2, 1)


def test_a_missing_key_fails_the_step_with_a_sentence_that_names_it() -> None:
    select = ParameterInput(FromInput("item"), 'parseJson(string_value)["b"]')
    body = dag("sub-body", [task("one", "use", inputs={"x": select})], inputs={"item": "STRING"})
    world = World(pipeline(dag("root", [task("each", "sub-body", over=[{"a": 1}])]), USE, body)).go()
    assert world.state("each[0]/one") == "FAILED"
    assert "The input 'x' cannot be taken out of" in world["each[0]/one"].reason and '"b"' in world["each[0]/one"].reason


def test_the_list_itself_can_be_used_inside_the_loop() -> None:
    body = dag("body", [task("t", "take", inputs={"xs": "<items"})], inputs={"items": "LIST", "item": "NUMBER_INTEGER"})
    root = dag("root", [task("each", "body", inputs={"items": [1, 2]}, over="items")])
    world = World(pipeline(root, TAKE, body)).go()
    assert world["each[0]/t"].inputs.parameters == {"xs": [1, 2]} and world["each[0]"].inputs.parameters == {"item": 1}


def test_a_loop_over_artifacts_gives_each_iteration_one() -> None:
    make = step("make", artifacts_out=("data",))
    taker = step("taker", artifacts_in={"d": None})
    body = dag(
        "art-body",
        [task("t", "taker", artifacts={"d": "<one"})],
        artifacts_in={"one": None, "many": ArtifactDefinition(is_list=True)},
    )
    root = dag(
        "root", [task("m", "make"), task("each", "art-body", artifacts={"many": "@m.data"}, over_artifacts="many", item="one")]
    )
    many = [artifact("a", 1), artifact("b", 2)]
    world = World(pipeline(root, make, taker, body), lambda t, n: Values({}, {"data": many})).go()
    assert world["each[1]/t"].inputs.artifacts == {"d": [artifact("b", 2)]}


def test_a_step_can_be_looped_directly() -> None:
    root = dag("root", [task("each", "use", over=[1, 2], item="x"), task("t", "take", inputs={"xs": "@each.Output"})])
    world = World(pipeline(root, USE, TAKE), double).go()
    assert world["t"].inputs.parameters == {"xs": [2, 4]}


def test_placeholders_in_items_are_replaced() -> None:
    text = step("text", inputs={"x": "STRING"})
    body = dag("text-body", [task("one", "text", inputs={"x": "<item"})], inputs={"item": "STRING", "p": "STRING"})
    root = dag(
        "root", [task("each", "text-body", inputs={"p": "v"}, over=["{{$.inputs.parameters['p']}}-1", "{{$.pipeline_job_name}}"])]
    )
    world = World(pipeline(root, text, body)).go()
    assert [world[f"each[{i}]/one"].inputs.parameters["x"] for i in range(2)] == ["v-1", "a run"]


def test_an_item_of_the_wrong_type_fails_its_iteration_alone() -> None:
    root = dag("root", [task("each", "body", over=[1, "two"])])
    world = World(pipeline(root, USE, BODY), double).go()
    assert (world.state("each[0]"), world.state("each[1]")) == ("SUCCEEDED", "FAILED")
    assert world["each[1]"].reason == "The input 'item' wants NUMBER_INTEGER, but got a string: \"two\"."


def test_an_item_that_came_as_text_since_its_list_has_no_type_says_what_to_declare() -> None:
    """As the SDK compiles a loop over the output of a component that is declared `-> list`."""
    body = dag("body", [task("one", "use", inputs={"x": "<list-loop-item"})], inputs={"list-loop-item": "STRING"})
    world = World(pipeline(dag("root", [task("each", "body", over=[1], item="list-loop-item")]), USE, body), double).go()
    reason = world["each[0]/one"].reason
    assert reason.startswith("The input 'x' wants NUMBER_INTEGER, but got a string: \"1\".") and "List[int]" in reason


def test_a_loop_whose_condition_is_false_goes_over_nothing() -> None:
    body = dag("body", BODY.dag.tasks.values(), inputs={"item": "NUMBER_INTEGER", "go": "BOOLEAN"}, gives={"all": "one.Output"})
    each = task("each", "body", over=[1, 2], inputs={"go": False}, when="inputs.parameter_values['go'] == true")
    world = World(pipeline(dag("root", [each, task("t", "take", inputs={"xs": FromTask("each", "all")})]), USE, TAKE, body)).go()
    assert world.states() == {"each": "SUCCEEDED", "t": "SUCCEEDED"}
    assert world["each"].reason.startswith("No iterations because go == true is false")
