"""Chains, diamonds, conditions, nested pipelines, loops and exit tasks, when all is well and when it is not."""

from runs.engine.model import State, Values
from tests.engine.build import dag, pipeline, step, task
from tests.engine.world import World, outputs

NUMBER = step("number", outputs={"Output": "NUMBER_INTEGER"})
USE = step("use", inputs={"x": "NUMBER_INTEGER"}, outputs={"Output": "NUMBER_INTEGER"})
PLAIN = step("plain")


def test_a_chain_runs_in_order_and_passes_values_on() -> None:
    spec = pipeline(
        dag("root", [task("a", "number"), task("b", "use", inputs={"x": "@a.Output"})], gives={"result": "b.Output"}), NUMBER, USE
    )
    world = World(spec, lambda t, n: outputs(Output=3) if t.path == "root/a" else outputs(Output=t.inputs.parameters["x"] + 1)).go()
    assert world.run.state is State.SUCCEEDED
    assert world["b"].inputs.parameters == {"x": 3}
    assert world[""].outputs == Values({"result": 4})
    assert world.kinds() == [
        "run.started root",
        "attempt.started root/a",
        "task.started root/a",
        "task.succeeded root/a",
        "attempt.started root/b",
        "task.started root/b",
        "task.succeeded root/b",
        "run.succeeded root",
    ]


def test_a_failure_skips_what_depends_on_it_and_nothing_else() -> None:
    spec = pipeline(
        dag("root", [task("a", "plain"), task("b", "plain", after=("a",)), task("c", "plain", after=("b",)), task("d", "plain")]),
        PLAIN,
    )
    world = World(spec, lambda t, n: "Exit code 1." if t.path == "root/a" else Values()).go()
    assert world.states() == {"a": "FAILED", "b": "SKIPPED", "c": "SKIPPED", "d": "SUCCEEDED"}
    assert world["b"].reason == "Did not run because a failed."
    assert world.run.state is State.FAILED and world.run.reason == "a failed: Exit code 1."


def test_a_false_condition_skips_the_branch_and_says_with_what_values() -> None:
    branch = dag("branch", [task("inner", "plain")], inputs={"pipelinechannel--a-Output": "NUMBER_INTEGER"})
    condition = "int(inputs.parameter_values['pipelinechannel--a-Output']) > 4"
    wire = {"pipelinechannel--a-Output": "@a.Output"}
    spec = pipeline(
        dag(
            "root",
            [
                task("a", "number"),
                task("big", "branch", inputs=wire, when=condition),
                task("small", "branch", inputs=wire, when=f"!({condition})"),
            ],
        ),
        NUMBER,
        PLAIN,
        branch,
    )
    world = World(spec, lambda t, n: outputs(Output=3)).go()
    assert world.states() == {"a": "SUCCEEDED", "big": "SKIPPED", "small": "SUCCEEDED", "small/inner": "SUCCEEDED"}
    assert world["big"].reason == "Skipped because a-Output > 4 is false (a-Output is 3)."
    assert world.run.state is State.SUCCEEDED


def test_a_loop_runs_its_iterations_and_collects_in_their_order() -> None:
    body = dag("body", [task("one", "use", inputs={"x": "<item"})], inputs={"item": "NUMBER_INTEGER"}, gives={"all": "one.Output"})
    total = step("total", inputs={"xs": "LIST"}, outputs={"Output": "NUMBER_INTEGER"})
    spec = pipeline(
        dag("root", [task("each", "body", over=[1, 2, 3], at_once=2), task("sum", "total", inputs={"xs": "@each.all"})]),
        USE,
        body,
        total,
    )
    world = World(
        spec, lambda t, n: outputs(Output=t.inputs.parameters["x"] * 10) if "x" in t.inputs.parameters else outputs(Output=0)
    ).go()
    assert world["sum"].inputs.parameters == {"xs": [10, 20, 30]}
    assert world.run.state is State.SUCCEEDED
