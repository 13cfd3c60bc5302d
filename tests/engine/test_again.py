"""Running again from chosen steps: what runs, what is taken over from the earlier run, what is skipped, and the plan of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.spec import paths
from pipelines.spec.model import Constant, ContainerSpec, FinalStatus, PipelineSpec
from runs.engine.model import CacheUse, State, Values
from tests.engine.build import dag, parameter, pipeline, step, task
from tests.engine.test_properties import pipelines
from tests.engine.world import World, artifact, outputs

NUMBER = step("number", inputs={"x": "NUMBER_INTEGER"}, outputs={"Output": "NUMBER_INTEGER"})
PLAIN = step("plain")


def diamond() -> PipelineSpec:
    """`a`, then `b` and `c` beside each other, then `d`; and `e` apart."""
    tasks = [
        task("a", "number", inputs={"x": "<n"}),
        task("b", "number", inputs={"x": "@a.Output"}),
        task("c", "number", inputs={"x": "@a.Output"}),
        task("d", "number", inputs={"x": "@b.Output"}, after=("c",)),
        task("e", "number", inputs={"x": "<m"}),
    ]
    inputs = {"n": parameter("NUMBER_INTEGER", 1), "m": parameter("NUMBER_INTEGER", 5)}
    return pipeline(dag("root", tasks, inputs=inputs), NUMBER)


def ran(world: World) -> set[str]:
    """The steps that ran, below the root."""
    return {path.removeprefix("root/") for path, _ in world.started}


def planned(world: World) -> dict[str, str]:
    """The plan: path below the root → what becomes of it, with `?` where that is not sure."""
    return {one.path.removeprefix("root/"): one.do.value + ("" if one.sure else "?") for one in world.plan().steps}


def one_more(task: Any, number: int) -> Values:
    """A step that adds one."""
    return outputs(Output=task.inputs.parameters.get("x", 0) + 1)


@pytest.mark.parametrize(
    ("chosen", "again"),
    [
        (["a"], {"a", "b", "c", "d"}),
        (["b"], {"b", "d"}),
        (["d"], {"d"}),
        (["e"], {"e"}),
        (["c", "e"], {"c", "d", "e"}),
        ([], set()),
    ],
)
def test_the_chosen_steps_and_what_depends_on_them_run_again_and_nothing_else(chosen: list[str], again: set[str]) -> None:
    first = World(diamond(), one_more).go()
    world = first.run_again(*chosen)
    assert planned(world) == {key: "run" if key in again else "reuse" for key in "abcde"}
    world.go()
    assert ran(world) == again and world.run.state is State.SUCCEEDED
    for key in set("abcde") - again:
        assert world[key].cached_from == f"run-1:root/{key}" and world[key].outputs == first[key].outputs


def test_a_failed_run_is_gone_on_with_from_where_it_failed() -> None:
    first = World(diamond(), lambda t, n: "It broke." if t.path == "root/b" else one_more(t, n)).go()
    world = first.run_again("b", script=one_more)
    assert planned(world) == {"a": "reuse", "b": "run", "c": "reuse", "d": "run", "e": "reuse"}
    world.go()
    assert ran(world) == {"b", "d"} and world.run.state is State.SUCCEEDED


def test_what_had_not_succeeded_runs_though_it_was_not_chosen() -> None:
    first = World(diamond(), lambda t, n: "It broke." if t.path == "root/b" else one_more(t, n)).go()
    world = first.run_again("e", script=one_more)
    why = {one.path: one.why for one in world.plan().steps}
    assert why["root/b"] == "It failed in the earlier run." and why["root/e"] == "Chosen to run again."
    assert ran(world.go()) == {"b", "d", "e"}


def test_an_argument_that_changed_is_followed_to_the_steps_that_take_it() -> None:
    first = World(diamond(), one_more, arguments={"n": 1, "m": 5}).go()
    world = first.run_again("b", arguments={"n": 1, "m": 6})
    plan = world.plan()
    assert planned(world) == {"a": "reuse", "b": "run", "c": "reuse", "d": "run", "e": "run"}
    assert plan.counts == {"run": 3, "reuse": 2, "skip": 0}
    assert next(one.why for one in plan.steps if one.path == "root/e") == "Its input 'x' differs: 5 → 6."
    assert ran(world.go()) == {"b", "d", "e"}


def test_what_depends_on_a_step_that_runs_again_runs_again_whatever_comes_out() -> None:
    first = World(diamond(), lambda t, n: outputs(Output=7), arguments={"n": 1}).go()
    world = first.run_again(arguments={"n": 2})
    assert planned(world) == {"a": "run", "b": "run", "c": "run", "d": "run", "e": "reuse"}
    assert {one.path: one.why for one in world.plan().steps}["root/d"] == "Depends on c, which runs again."
    assert ran(world.go()) == {"a", "b", "c", "d"}


def test_what_waits_may_be_in_the_cache_and_the_plan_says_so() -> None:
    tasks = [task("a", "number", inputs={"x": "<n"}), task("b", "number", inputs={"x": "@a.Output"}, cached=True)]
    spec = pipeline(dag("root", tasks, inputs={"n": "NUMBER_INTEGER"}), NUMBER)
    first = World(spec, lambda t, n: outputs(Output=7), arguments={"n": 1}).go()
    world = first.run_again(arguments={"n": 2}, cache={"root/b": outputs(Output=7)})
    assert planned(world) == {"a": "run", "b": "run?"}
    assert ran(world.go()) == {"a"}


def test_chosen_steps_run_even_where_the_cache_knows_them_and_the_rest_may_use_it() -> None:
    spec = pipeline(dag("root", [task("a", "plain", cached=True), task("b", "plain", cached=True)]), PLAIN)
    first = World(spec, lambda t, n: "It broke." if t.path == "root/b" else Values()).go()
    cache = {"root/a": Values(), "root/b": Values()}
    world = first.run_again("a", cache=cache)
    world._answer = lambda order: World._answer(world, order)  # type: ignore[method-assign]
    assert planned(world) == {"a": "run", "b": "reuse"}
    assert ran(world.go()) == {"a"} and world["b"].cached_from == "old:root/b"


def test_taking_over_does_not_need_the_cache() -> None:
    first = World(diamond(), one_more).go()
    world = first.run_again("d")
    world.change_run(cache=CacheUse.OFF)
    assert ran(world.go()) == {"d"}


# --- groups, conditions, loops ----------------------------------------------------------------------------------------


def test_conditions_are_asked_anew() -> None:
    tasks = [
        task("yes", "number", inputs={"x": "<n"}, when="inputs.parameter_values['x'] > 2"),
        task("no", "number", inputs={"x": "<n"}, when="inputs.parameter_values['x'] < 3"),
        task("after", "plain", after=("no",)),
    ]
    spec = pipeline(dag("root", tasks, inputs={"n": "NUMBER_INTEGER"}), NUMBER, PLAIN)
    first = World(spec, lambda t, n: outputs(Output=1), arguments={"n": 5}).go()
    world = first.run_again(arguments={"n": 1})
    assert planned(world) == {"yes": "skip", "no": "run", "after": "run"}
    world.go()
    assert world.states() == {"yes": "SKIPPED", "no": "SUCCEEDED", "after": "SUCCEEDED"} and ran(world) == {"no", "after"}


def test_what_follows_an_empty_group_that_waits_for_a_step_runs_again_with_that_step() -> None:
    tasks = [task("a", "number", inputs={"x": "<n"}), task("b", "empty", after=("a",)), task("c", "plain", after=("b",))]
    spec = pipeline(dag("root", tasks, inputs={"n": "NUMBER_INTEGER"}), NUMBER, PLAIN, dag("empty", []))
    first = World(spec, one_more, arguments={"n": 1}).go()
    assert ran(first.run_again().go()) == set()
    world = first.run_again(arguments={"n": 2})
    assert planned(world) == {"a": "run", "b": "run", "c": "run"}
    assert ran(world.go()) == {"a", "c"}


def test_what_follows_a_loop_that_had_no_iterations_either_time_is_taken_over() -> None:
    tasks = [
        task(
            "each", "number", inputs={"n": "<n", "list": "<items"}, over="list", item="x", when="inputs.parameter_values['n'] > 2"
        ),
        task("end", "plain", after=("each",)),
    ]
    spec = pipeline(dag("root", tasks, inputs={"n": "NUMBER_INTEGER", "items": "LIST"}), NUMBER, PLAIN)
    first = World(spec, one_more, arguments={"n": 1, "items": [1]}).go()
    world = first.run_again()
    assert planned(world) == {"each": "skip", "end": "reuse"} and ran(world.go()) == set()


def test_a_condition_on_what_runs_again_leaves_what_follows_open() -> None:
    tasks = [
        task("a", "number", inputs={"x": 1}),
        task("b", "number", inputs={"x": "@a.Output"}, when="inputs.parameter_values['x'] > 2"),
        task("c", "plain", after=("b",)),
    ]
    first = World(pipeline(dag("root", tasks), NUMBER, PLAIN), lambda t, n: outputs(Output=9)).go()
    world = first.run_again("a", script=lambda t, n: outputs(Output=0))
    assert planned(world) == {"a": "run", "b": "run?", "c": "run?"}
    assert world.go().states() == {"a": "SUCCEEDED", "b": "SKIPPED", "c": "SKIPPED"}


def loop(**options: Any) -> PipelineSpec:
    """A loop over the argument `items` with two steps in each iteration, and a step after it."""
    body = dag(
        "body",
        [task("one", "number", inputs={"x": "<item"}), task("two", "number", inputs={"x": "@one.Output"})],
        inputs={"item": "NUMBER_INTEGER"},
    )
    tasks = [task("each", "body", inputs={"list": "<items"}, over="list", **options), task("end", "plain", after=("each",))]
    return pipeline(dag("root", tasks, inputs={"items": "LIST"}), NUMBER, PLAIN, body)


def test_iterations_whose_items_stay_are_reused_and_the_others_run() -> None:
    first = World(loop(), one_more, arguments={"items": [1, 2, 3]}).go()
    world = first.run_again(arguments={"items": [1, 5, 3, 4]})
    assert planned(world) == {
        "each": "run",
        "each[0]": "reuse", "each[0]/one": "reuse", "each[0]/two": "reuse",
        "each[1]": "run", "each[1]/one": "run", "each[1]/two": "run",
        "each[2]": "reuse", "each[2]/one": "reuse", "each[2]/two": "reuse",
        "each[3]": "run", "each[3]/one": "run", "each[3]/two": "run",
        "end": "run",
    }  # fmt: skip
    assert ran(world.go()) == {"each[1]/one", "each[1]/two", "each[3]/one", "each[3]/two", "end"}
    assert world["each[0]"].cached_from == "run-1:root/each[0]" and not world["each"].cached_from


def test_a_loop_that_got_shorter_says_which_iterations_are_gone() -> None:
    first = World(loop(), one_more, arguments={"items": [1, 2]}).go()
    plan = first.run_again("end", arguments={"items": [1]}).plan()
    assert plan.gone == ("root/each[1]", "root/each[1]/one", "root/each[1]/two")


def test_a_step_of_one_iteration_can_be_chosen() -> None:
    first = World(loop(at_once=1), one_more, arguments={"items": [1, 2, 3]}).go()
    world = first.run_again("each[1]/two")
    does = planned(world)
    assert [path for path, do in does.items() if do == "run"] == ["each", "each[1]", "each[1]/two", "end"]
    assert "?" not in "".join(does.values())
    assert ran(world.go()) == {"each[1]/two", "end"}


def test_a_path_without_indices_chooses_the_step_in_every_iteration() -> None:
    first = World(loop(), one_more, arguments={"items": [1, 2]}).go()
    world = first.run_again("each/two")
    assert [path for path, do in planned(world).items() if do == "reuse"] == ["each[0]/one", "each[1]/one"]
    assert ran(world.go()) == {"each[0]/two", "each[1]/two", "end"}
    assert ran(first.run_again("each").go()) == {"each[0]/one", "each[0]/two", "each[1]/one", "each[1]/two", "end"}


def test_choosing_a_group_chooses_all_that_is_in_it() -> None:
    first = World(loop(), one_more, arguments={"items": [1, 2]}).go()
    world = first.run_again("each[0]")
    assert ran(world.go()) == {"each[0]/one", "each[0]/two", "end"}
    why = {one.path: one.why for one in first.run_again("each[0]").plan().steps}
    assert why["root/each[0]/one"] == "It is in each, which runs again."


def test_a_loop_over_what_runs_again_is_planned_by_the_earlier_iterations_and_is_not_sure() -> None:
    tasks = [task("make", "lister"), task("each", "number", inputs={"list": "@make.Output"}, over="list", item="x")]
    lister = step("lister", outputs={"Output": "LIST"})
    script = lambda t, n: outputs(Output=[1, 2] if t.path == "root/make" else 1)  # noqa: E731
    first = World(pipeline(dag("root", tasks), lister, NUMBER), script).go()
    world = first.run_again("make")
    assert planned(world) == {"make": "run", "each": "run", "each[0]": "run?", "each[1]": "run?"}
    assert ran(world.go()) == {"make", "each[0]", "each[1]"}


def test_exit_tasks_run_again_with_what_they_wait_for_and_else_do_not() -> None:
    tasks = [
        task("a", "plain"),
        task("b", "plain"),
        task("fin", "status", inputs={"s": FinalStatus("a")}, after=("a",), any_end=True),
    ]
    spec = pipeline(dag("root", tasks), PLAIN, step("status", inputs={"s": "TASK_FINAL_STATUS"}))
    first = World(spec).go()
    assert ran(first.run_again("b").go()) == {"b"}, "the status differs by the run's name and by being reused alone"
    assert ran(first.run_again("a").go()) == {"a", "fin"}


# --- what counts as the same ------------------------------------------------------------------------------------------


def test_values_that_differ_by_the_runs_own_id_count_as_the_same() -> None:
    text = step("text", inputs={"x": "STRING", "y": "STRING"}, outputs={"Output": "STRING"})
    nested = dag("nested", [task("in", "text", inputs={"x": "<a", "y": "z"})], inputs={"a": "STRING"})
    tasks = [
        task("direct", "text", inputs={"x": "{{$.pipeline_job_uuid}}", "y": "at {{$.pipeline_job_create_time_utc}}"}),
        task("group", "nested", inputs={"a": "run {{$.pipeline_job_resource_name}}"}),
        task("each", "text", over=["{{$.pipeline_job_uuid}}"], item="x", inputs={"y": "<n"}),
        task("last", "plain"),
    ]
    spec = pipeline(dag("root", tasks, inputs={"n": "STRING"}), text, PLAIN, nested)
    first = World(spec, lambda t, n: outputs(Output="o"), arguments={"n": "n"}).go()
    world = first.run_again("last")
    assert ran(world.go()) == {"last"}
    assert world["direct"].inputs.parameters["x"] == "run-2"


def test_a_constant_is_another_one_when_an_input_that_it_mentions_is() -> None:
    text = step("text", inputs={"x": "STRING"}, outputs={"Output": "STRING"})
    nested = dag("nested", [task("in", "text", inputs={"x": "<both"})], inputs={"both": "STRING", "n": "STRING"})
    mention = Constant("{{$.pipeline_job_uuid}} {{$.inputs.parameters['n']}}")
    spec = pipeline(dag("root", [task("g", "nested", inputs={"both": mention, "n": "<n"})], inputs={"n": "STRING"}), text, nested)
    first = World(spec, lambda t, n: outputs(Output="o"), arguments={"n": "1"}).go()
    assert ran(first.run_again(arguments={"n": "1"}).go()) == set()
    assert ran(first.run_again(arguments={"n": "2"}).go()) == {"g/in"}


def test_macros_in_an_argument_that_was_given_alike_count_as_the_same() -> None:
    text = step("text", inputs={"x": "STRING"})
    spec = pipeline(dag("root", [task("t", "text", inputs={"x": "<n"})], inputs={"n": "STRING"}), text)
    first = World(spec, arguments={"n": "run-1"}).go()
    world = first.run_again()
    world.change_run(arguments={"n": "run-2"})
    assert ran(world.go()) == set()


def test_artifacts_are_the_same_by_their_ids() -> None:
    made = step("made", artifacts_out=("data",))
    used = step("used", artifacts_in={"data": "Dataset"})
    spec = pipeline(
        dag("root", [task("a", "made"), task("b", "used", artifacts={"data": "@a.data"}), task("c", "plain")]), made, used, PLAIN
    )
    script = lambda t, n: Values(artifacts={"data": [artifact("data", 7)]}) if t.path == "root/a" else Values()  # noqa: E731
    first = World(spec, script).go()
    world = first.run_again("c")
    assert ran(world.go()) == {"c"} and world["a"].outputs.artifacts["data"][0]["id"] == 7


def test_steps_that_work_in_the_workspace_run_again_with_those_that_follow_them() -> None:
    first = World(diamond(), one_more).go()
    world = first.run_again()
    world.again = replace(world.again, bound=lambda component, inputs: inputs.parameters["x"] == 5)  # `e`
    assert planned(world) == {"a": "reuse", "b": "reuse", "c": "reuse", "d": "reuse", "e": "run"}
    assert ran(world.go()) == {"e"}


def changed(**fields: Any) -> PipelineSpec:
    """The diamond, with one executor for all steps that differs."""
    spec = diamond()
    executor = ContainerSpec("exec-number", **{"image": "image/number", **fields})
    return PipelineSpec(spec.name, spec.root, spec.components, {"exec-number": executor})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"image": "image/number:2"}, "Its image changed: image/number → image/number:2."),
        ({"command": ("sh",)}, "Its code or command changed."),
        ({"env": (("A", "1"),)}, "Its environment variables changed."),
    ],
)
def test_a_step_that_another_version_changed_runs_again(fields: dict[str, Any], why: str) -> None:
    first = World(diamond(), one_more).go()
    world = first.run_again(spec=changed(**fields))
    assert {one.why for one in world.plan().steps if one.path in ("root/a", "root/e")} == {why}
    assert first.run_again(spec=changed()).plan().counts["reuse"] == 5, "an equal step of another version is the same"


def test_steps_of_another_version_are_found_by_their_path() -> None:
    first = World(diamond(), one_more).go()
    tasks = [task("a", "number", inputs={"x": "<n"}), task("new", "number", inputs={"x": "@a.Output"})]
    world = first.run_again(spec=pipeline(dag("root", tasks, inputs={"n": parameter("NUMBER_INTEGER", 1)}), NUMBER))
    assert planned(world) == {"a": "reuse", "new": "run"}
    assert world.plan().gone == ("root/b", "root/c", "root/d", "root/e")


def test_what_the_earlier_run_does_after_the_launch_of_this_one_does_not_count() -> None:
    first = World(diamond(), lambda t, n: "It broke." if n == 1 and t.path == "root/b" else one_more(t, n)).go()
    world = first.run_again("e", script=one_more)
    before = planned(world)
    first.now = world.now
    first.retry()
    assert first.run.state is State.SUCCEEDED and planned(world) == before
    assert ran(world.go()) == {"b", "d", "e"}


def test_a_run_again_that_failed_is_retried_like_any_other() -> None:
    first = World(diamond(), one_more).go()
    world = first.run_again("b", script=lambda t, n: "It broke." if n == 1 else one_more(t, n)).go()
    assert world.run.state is State.FAILED
    world.retry()
    assert world.run.state is State.FAILED and world["b"].attempt == 2, "`d` fails in its first attempt too"
    assert world.retry().run.state is State.SUCCEEDED and world["a"].cached_from


def test_steps_wait_in_a_run_again_that_is_paused() -> None:
    world = World(diamond(), one_more).go().run_again("b")
    world.change_run(paused=True)
    world.go()
    assert ran(world) == set()
    world.change_run(paused=False)
    assert ran(world.go()) == {"b", "d"}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_what_the_plan_says_is_what_happens(data: st.DataObject) -> None:
    spec = data.draw(pipelines())
    fails = data.draw(st.integers(0, 6))
    first = World(spec, lambda t, n: "It broke." if len(t.path) % 7 == fails else outputs(Output=len(t.path) % 4)).go()
    leaves = [path.removeprefix("root/") for path, one in first.tasks.tasks.items() if path != "root"]
    chosen = data.draw(st.lists(st.sampled_from(leaves), max_size=2)) if leaves else []
    world = first.run_again(*chosen, script=lambda t, n: outputs(Output=len(t.path) % 4))
    plan = world.plan()
    world.go()
    world.check()
    assert [one.path for one in plan.steps if not one.path.startswith("root/")] == []
    for one in plan.steps:
        task = world.tasks.get(one.path)
        if one.kind.is_group or not one.sure:
            continue
        assert task is not None, f"{one} was sure, and is not there"
        if one.do.value == "reuse":
            assert task.state is State.SUCCEEDED and task.cached_from == one.cached_from and not task.attempt, one
        elif one.do.value == "skip":
            assert task.state is State.SKIPPED, one
        else:
            assert task.attempt or task.state in (State.FAILED, State.SKIPPED), (one, task)
            assert task.state is not State.SKIPPED or task.blocker, (one, task)
    promised = {one.path for one in plan.steps}
    for path, task in world.tasks.tasks.items():
        assert path == "root" or path in promised or any(above in promised for above in paths.ancestors(path))
        if task.cached_from.startswith("run-1:"):
            assert not any(path == f"root/{key}" or path.startswith((f"root/{key}/", f"root/{key}[")) for key in chosen)
