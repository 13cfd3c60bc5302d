"""Chains, diamonds, conditions and nested pipelines, when all is well and when it is not."""

from dataclasses import replace

from pipelines.spec.model import CachingOptions, FinalStatus
from runs.engine.model import State, Values
from tests.engine.build import dag, parameter, pipeline, step, task
from tests.engine.world import World, artifact, outputs

NUMBER = step("number", outputs={"Output": "NUMBER_INTEGER"})
USE = step("use", inputs={"x": "NUMBER_INTEGER"}, outputs={"Output": "NUMBER_INTEGER"})
PLAIN = step("plain")
A_OUTPUT = "pipelinechannel--a-Output"
BIG = f"int(inputs.parameter_values['{A_OUTPUT}']) > 4"


def fails(*paths: str):
    """A script in which these steps fail."""
    return lambda task, number: "Exit code 1." if task.path.removeprefix("root/") in paths else outputs(Output=3)


def test_a_chain_runs_in_order_and_passes_values_on() -> None:
    root = dag("root", [task("a", "number"), task("b", "use", inputs={"x": "@a.Output"})], gives={"result": "b.Output"})
    world = World(
        pipeline(root, NUMBER, USE), lambda t, n: outputs(Output=3 if t.path == "root/a" else t.inputs.parameters["x"] + 1)
    ).go()
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


def test_independent_tasks_start_together() -> None:
    spec = pipeline(dag("root", [task("a", "plain"), task("b", "plain"), task("c", "plain", after=("a", "b"))]), PLAIN)
    world = World(spec)
    world.look()
    assert world.started == [("root/a", 1), ("root/b", 1)]
    world.carry_on()
    assert world.started[-1] == ("root/c", 1)


def test_a_failure_skips_what_depends_on_it_and_nothing_else() -> None:
    tasks = [task("a", "plain"), task("b", "plain", after=("a",)), task("c", "plain", after=("b",)), task("d", "plain")]
    world = World(pipeline(dag("root", tasks), PLAIN), fails("a")).go()
    assert world.states() == {"a": "FAILED", "b": "SKIPPED", "c": "SKIPPED", "d": "SUCCEEDED"}
    assert world["b"].reason == "Did not run because a failed." and world["c"].reason == "Did not run because b was skipped."
    assert world["c"].culprit == "root/a"
    assert world.run.state is State.FAILED and world.run.reason == "a failed: Exit code 1."


def test_several_failures_are_counted_and_the_first_is_told() -> None:
    tasks = [task("a", "plain"), task("b", "plain"), task("c", "plain")]
    world = World(pipeline(dag("root", tasks), PLAIN), fails("a", "b", "c")).go()
    assert world.run.reason == "3 steps failed. First: a failed: Exit code 1."


def test_a_failure_deep_inside_is_told_at_every_level() -> None:
    inner = dag("inner", [task("train", "plain")])
    middle = dag("middle", [task("each", "inner", over=[1, 2])])
    world = World(pipeline(dag("root", [task("outer", "middle")]), PLAIN, inner, middle), fails("outer/each[1]/train")).go()
    assert world["outer/each[1]"].reason == "train failed: Exit code 1."
    assert world["outer/each"].reason == "each[1]/train failed: Exit code 1."
    assert world.run.reason == "outer/each[1]/train failed: Exit code 1."
    assert world[""].culprit == "root/outer/each[1]/train"


def test_a_false_condition_skips_the_branch_and_says_with_what_values() -> None:
    branch = dag("branch", [task("inner", "plain")], inputs={A_OUTPUT: "NUMBER_INTEGER"})
    wire = {A_OUTPUT: "@a.Output"}
    tasks = [
        task("a", "number"),
        task("big", "branch", inputs=wire, when=BIG),
        task("small", "branch", inputs=wire, when=f"!({BIG})"),
        task("after", "plain", after=("big",)),
    ]
    world = World(pipeline(dag("root", tasks), NUMBER, PLAIN, branch), lambda t, n: outputs(Output=3)).go()
    assert world.states() == {
        "a": "SUCCEEDED",
        "big": "SKIPPED",
        "small": "SUCCEEDED",
        "after": "SKIPPED",
        "small/inner": "SUCCEEDED",
    }
    assert world["big"].reason == "Skipped because a-Output > 4 is false (a-Output is 3)."
    assert world["after"].reason == "Did not run because big was skipped."
    assert world.run.state is State.SUCCEEDED


def test_a_condition_without_an_answer_fails_the_task_and_the_run() -> None:
    branch = dag("branch", [task("inner", "plain")], inputs={A_OUTPUT: "STRING"})
    text = step("text", outputs={"Output": "STRING"})
    tasks = [task("a", "text"), task("big", "branch", inputs={A_OUTPUT: "@a.Output"}, when=BIG)]
    world = World(pipeline(dag("root", tasks), text, PLAIN, branch), lambda t, n: outputs(Output="many")).go()
    assert world.states() == {"a": "SUCCEEDED", "big": "FAILED"}
    assert "int() of the string 'many'" in world["big"].reason
    assert world.run.state is State.FAILED


def test_one_of_takes_the_branch_that_ran_through_two_levels() -> None:
    branch = dag("branch", [task("n", "number")], inputs={A_OUTPUT: "NUMBER_INTEGER"}, gives={"out": "n.Output"})
    wire = {A_OUTPUT: f"<{A_OUTPUT}"}
    branches = dag(
        "branches",
        [task("big", "branch", inputs=wire, when=BIG), task("small", "branch", inputs=wire, when=f"!({BIG})")],
        inputs={A_OUTPUT: "NUMBER_INTEGER"},
        gives={"oneof": ["big.out", "small.out"]},
    )
    tasks = [
        task("a", "number"),
        task("if", "branches", inputs={A_OUTPUT: "@a.Output"}),
        task("u", "use", inputs={"x": "@if.oneof"}),
    ]
    spec = pipeline(dag("root", tasks, gives={"result": "if.oneof"}), NUMBER, USE, branch, branches)
    world = World(spec, lambda t, n: outputs(Output=3 if t.path == "root/a" else 7)).go()
    assert world["u"].inputs.parameters == {"x": 7} and world[""].outputs.parameters == {"result": 7}

    def answers(path: str) -> Values:
        return outputs(Output=7 if path.endswith("n") else 3)

    cached = {path: answers(path) for path in ("root/a", "root/if/small/n", "root/u")}
    again = World(cached_spec(spec), cache=cached).go()
    assert again.run.state is State.SUCCEEDED and again.started == []
    assert again["u"].inputs.parameters == {"x": 7}


def cached_spec(spec):
    """The same pipeline with caching enabled on every task."""

    def with_cache(component):
        if component.dag is None:
            return component
        tasks = {key: replace(one, caching=CachingOptions(True)) for key, one in component.dag.tasks.items()}
        return replace(component, dag=replace(component.dag, tasks=tasks))

    return replace(spec, root=with_cache(spec.root), components={name: with_cache(one) for name, one in spec.components.items()})


def test_one_of_artifacts_takes_the_branch_that_ran() -> None:
    maker = step("maker", artifacts_out=("model",))
    branch = dag("branch", [task("m", "maker")], inputs={"x": "NUMBER_INTEGER"}, gives_artifacts={"out": "m.model"})
    taker = step("taker", artifacts_in={"model": None})
    tasks = [
        task("no", "branch", inputs={"x": 1}, when="inputs.parameter_values['x'] > 4"),
        task("yes", "branch", inputs={"x": 5}, when="inputs.parameter_values['x'] > 4"),
    ]
    both = dag("both", tasks, gives_artifacts={"one": ["no.out", "yes.out"]})
    root = dag("root", [task("both", "both"), task("t", "taker", artifacts={"model": "@both.one"})])
    world = World(pipeline(root, maker, branch, taker, both), lambda t, n: Values({}, {"model": [artifact("model", 8)]})).go()
    assert world["t"].inputs.artifacts == {"model": [artifact("model", 8)]}


def test_nothing_of_a_branch_that_was_skipped_reaches_who_needs_it() -> None:
    branch = dag("branch", [task("n", "number")], inputs={"x": "NUMBER_INTEGER"}, gives={"out": "n.Output"})
    group = dag("group", [task("no", "branch", inputs={"x": 1}, when="inputs.parameter_values['x'] > 4")], gives={"out": "no.out"})
    root = dag("root", [task("g", "group"), task("u", "use", inputs={"x": "@g.out"})])
    world = World(pipeline(root, NUMBER, USE, branch, group)).go()
    assert world.state("g") == "SUCCEEDED" and world.state("u") == "FAILED"
    assert world["u"].reason == "The input 'x' needs the output 'out' of 'g', which g did not produce."


def test_an_exit_task_runs_after_a_failure_and_learns_of_it() -> None:
    status = step("status", inputs={"status": parameter("TASK_FINAL_STATUS", optional=True)})
    body = dag("body", [task("work", "plain"), task("more", "plain", after=("work",))])
    tasks = [
        task("exit-handler-1", "body"),
        task("fin", "status", after=("exit-handler-1",), inputs={"status": FinalStatus("exit-handler-1")}, any_end=True),
    ]
    spec = pipeline(dag("root", tasks), PLAIN, status, body)
    world = World(spec, fails("exit-handler-1/work")).go()
    assert world.run.state is State.FAILED and world.state("fin") == "SUCCEEDED"
    assert world["fin"].inputs.parameters["status"] == {
        "state": "FAILED",
        "pipelineTaskName": "exit-handler-1",
        "pipelineJobResourceName": "example-x7k2p",
        "error": {"code": 1, "message": "work failed: Exit code 1."},
    }
    world = World(spec).go()
    assert world.run.state is State.SUCCEEDED
    assert (
        world["fin"].inputs.parameters["status"]["state"] == "COMPLETE" and world["fin"].inputs.parameters["status"]["error"] == {}
    )


def test_an_exit_task_that_fails_does_not_fail_the_run() -> None:
    root = dag("root", [task("work", "plain"), task("fin", "plain", after=("work",), any_end=True)])
    world = World(pipeline(root, PLAIN), fails("fin")).go()
    assert world.states() == {"work": "SUCCEEDED", "fin": "FAILED"} and world.run.state is State.SUCCEEDED


def test_an_exit_task_can_be_a_pipeline_with_a_condition_on_the_status() -> None:
    status = parameter("TASK_FINAL_STATUS", optional=True)
    notify = dag("notify", [task("send", "plain")], inputs={"s": "STRUCT"})
    exit_dag = dag(
        "exit",
        [
            task("bad", "notify", inputs={"s": "<status"}, when="inputs.parameter_values['s'].state == 'FAILED'"),
            task("good", "notify", inputs={"s": "<status"}, when="inputs.parameter_values['s'].state == 'COMPLETE'"),
        ],
        inputs={"status": status},
    )
    tasks = [task("work", "plain"), task("fin", "exit", after=("work",), inputs={"status": FinalStatus("work")}, any_end=True)]
    world = World(pipeline(dag("root", tasks), PLAIN, notify, exit_dag), fails("work")).go()
    assert world.states()["fin/bad/send"] == "SUCCEEDED" and world.state("fin/good") == "SKIPPED"
    assert world.run.state is State.FAILED and world.run.reason == "work failed: Exit code 1."


def test_ignoring_upstream_failure_runs_with_the_default_or_empty_text_and_the_run_still_fails() -> None:
    text = step("text", outputs={"Output": "STRING"})
    clean = step("clean", inputs={"with_default": parameter("STRING", "fallback"), "without": "STRING"})
    wire = {"with_default": "@work.Output", "without": "@work.Output"}
    root = dag("root", [task("work", "text"), task("clean", "clean", inputs=wire, any_end=True)])
    world = World(pipeline(root, text, clean), fails("work")).go()
    assert world.state("clean") == "SUCCEEDED" and world["clean"].inputs.parameters == {"without": ""}
    assert world.run.state is State.FAILED


def test_an_empty_group_succeeds() -> None:
    world = World(
        pipeline(dag("root", [task("nothing", "empty"), task("then", "plain", after=("nothing",))]), PLAIN, dag("empty", []))
    ).go()
    assert world.run.state is State.SUCCEEDED and world.state("then") == "SUCCEEDED"


def test_a_chain_of_a_thousand_failures_is_no_deep_recursion() -> None:
    tasks = [task("t0", "plain"), *(task(f"t{i}", "plain", after=(f"t{i - 1}",)) for i in range(1, 3000))]
    world = World(pipeline(dag("root", tasks), PLAIN), fails("t0")).go()
    assert world.states()["t2999"] == "SKIPPED" and world.run.state is State.FAILED


def test_a_pipeline_that_is_one_container_runs_as_its_own_root() -> None:
    alone = replace(step("alone", inputs={"x": "STRING"}, outputs={"Output": "STRING"}), name="root")
    world = World(pipeline(alone), lambda t, n: outputs(Output="done"), arguments={"x": "y"}).go()
    assert world.run.state is State.SUCCEEDED and world[""].outputs.parameters == {"Output": "done"}
    assert world.started == [("root", 1)] and world[""].inputs.parameters == {"x": "y"}
