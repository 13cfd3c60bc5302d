"""Drawings: what is seen of a pipeline, where it lies, how lines run, and that a layout is made once."""

from __future__ import annotations

import re

import pytest
from django.template.loader import render_to_string

from pipelines import drawing
from pipelines.drawing import dot, routes, stored, words
from pipelines.drawing.picture import Look, picture, strip_marks
from pipelines.drawing.visible import Graph, Node, see
from pipelines.models import Drawing, Specification
from pipelines.spec.model import (
    ArtifactDefinition,
    ArtifactInput,
    ArtifactSelector,
    ComponentSpec,
    ContainerSpec,
    DagSpec,
    FromInput,
    FromTask,
    Iterator,
    ParameterInput,
    PipelineSpec,
    TaskSpec,
    TriggerPolicy,
    TriggerStrategy,
)

STEP = ComponentSpec("comp-step", output_artifacts={"data": ArtifactDefinition()}, executor="exec-step")
COMPLETED = TriggerStrategy.ALL_UPSTREAM_TASKS_COMPLETED


def task(key, component="comp-step", after=(), **more):
    return TaskSpec(key, key, component, tuple(after), **more)


def group(name, *tasks, **more):
    return ComponentSpec(name, dag=DagSpec({one.key: one for one in tasks}), **more)


def pipeline(*tasks, components=()):
    return PipelineSpec(
        "sample",
        group("root", *tasks),
        {one.name: one for one in (STEP, *components)},
        {"exec-step": ContainerSpec("exec-step", "python:3.11", ("python3", "-m", "kfp.dsl.executor_main"))},
    )


def edges(graph):
    return {(edge.tail, edge.head) for edge in graph.edges}


CHAIN = pipeline(task("load"), task("train", after=["load"]), task("report", after=["train", "load"]))
NESTED = pipeline(
    task("load"),
    task("features", "comp-features", after=["load"]),
    task("train", after=["features"]),
    components=[group("comp-features", task("a"), task("b"), task("c", after=["a", "b"]))],
)


def test_each_task_is_a_box_and_each_dependency_a_line():
    graph = see(CHAIN)
    assert [(node.path, node.kind, node.type) for node in graph.nodes] == [
        ("root/load", "task", "python"),
        ("root/train", "task", "python"),
        ("root/report", "task", "python"),
    ]
    assert edges(graph) == {("n-root/load", "n-root/train"), ("n-root/train", "n-root/report"), ("n-root/load", "n-root/report")}


def test_a_nested_pipeline_is_one_box_until_it_is_opened():
    folded = see(NESTED)
    assert [(node.kind, node.steps, node.opens) for node in folded.nodes][1] == ("pipeline", 3, True)
    opened = see(NESTED, {"root/features"})
    assert [one.path for one in opened.groups] == ["root/features"]
    assert [node.path[-1] for node in opened.nodes if node.group == "root/features"] == ["a", "b", "c"]
    assert ("n-root/load", "n-root/features/a") in edges(opened)
    assert ("n-root/features/c", "n-root/train") in edges(opened)


def test_an_exit_handler_shows_what_it_holds_and_its_exit_task_comes_by_dashed_lines():
    spec = pipeline(
        task("exit-handler-1", "comp-body"),
        task("notify", after=["exit-handler-1"], trigger=TriggerPolicy(strategy=COMPLETED)),
        components=[group("comp-body", task("work"))],
    )
    graph = see(spec)
    assert [(node.path, node.kind) for node in graph.nodes] == [("root/exit-handler-1/work", "task"), ("root/notify", "exit")]
    assert [(edge.tail, edge.head, edge.exit) for edge in graph.edges] == [("n-root/exit-handler-1/work", "n-root/notify", True)]


def test_a_condition_is_named_after_what_it_guards_and_shows_its_expression_as_a_person_writes_it():
    channel = "pipelinechannel--check-drift-Output"
    asks = {channel: ParameterInput(FromTask("check-drift", "Output"))}
    test = f"inputs.parameter_values['{channel}'] > 0.2"
    spec = pipeline(
        task("check-drift"),
        task("condition-1", "comp-c", after=["check-drift"], parameters=asks, trigger=TriggerPolicy(test)),
        components=[group("comp-c", task("rebuild-vocabulary"))],
    )
    node = see(spec).nodes[1]
    assert (node.kind, node.name, node.expression) == ("condition", "rebuild-vocabulary", "if check-drift > 0.2")


def test_branches_say_if_else_if_and_else():
    one = "int(inputs.parameter_values['pipelinechannel--n']) == 1"
    two = "inputs.parameter_values['pipelinechannel--s'] == 'x && y'"
    branches = DagSpec(
        {
            "condition-2": task("condition-2", "comp-c", trigger=TriggerPolicy(one)),
            "condition-3": task("condition-3", "comp-c", trigger=TriggerPolicy(f"!({one}) && {two}")),
            "condition-4": task("condition-4", "comp-c", trigger=TriggerPolicy(f"!({one}) && !({two})")),
        }
    )
    spec = pipeline(task("condition-branches-1", "comp-b"), components=[ComponentSpec("comp-b", dag=branches)])
    said = [words.expression_text(spec, "root/condition-branches-1", branches, one) for one in branches.tasks.values()]
    assert said == ["if n = 1", "else if s = 'x && y'", "else"]


def test_a_loop_over_a_literal_list_says_how_often():
    loop = task("for-loop-1", "comp-loop", iterator=Iterator("item", raw=(1, 2, 3)))
    node = see(pipeline(loop, components=[group("comp-loop", task("score"))])).nodes[0]
    assert (node.kind, node.name, node.iterations, node.sheets) == ("loop", "score", 3, True)


def test_artifacts_stand_between_their_maker_and_their_users_also_through_a_group():
    body = ComponentSpec(
        "comp-body",
        output_artifacts={"out": ArtifactDefinition()},
        dag=DagSpec({"make": task("make")}, output_artifacts={"out": ArtifactSelector((FromTask("make", "data"),))}),
    )
    inner = group("comp-inner", task("use", artifacts={"x": ArtifactInput(FromInput("given"))}))
    spec = pipeline(
        task("body", "comp-body"),
        task("inner", "comp-inner", after=["body"], artifacts={"given": ArtifactInput(FromTask("body", "out"))}),
        components=[body, inner],
    )
    graph = see(spec, {"root/body", "root/inner"}, artifacts=True)
    assert ("n-root/body/make", "a-root/body/make:data") in edges(graph)
    assert ("a-root/body/make:data", "n-root/inner/use") in edges(graph)
    assert ("n-root/body/make", "n-root/inner/use") not in edges(graph)


def test_dot_places_nodes_below_what_they_wait_for_and_groups_around_theirs():
    layout = stored.lay_out(NESTED, {"root/features"})
    at = {node["path"]: node for node in layout["nodes"]}
    frame = layout["groups"][0]
    assert at["root/load"]["y"] + 48 < at["root/features/a"]["y"] < at["root/features/c"]["y"] < at["root/train"]["y"]
    for path in ("root/features/a", "root/features/b", "root/features/c"):
        assert frame["x"] < at[path]["x"] and at[path]["x"] + 196 < frame["x"] + frame["w"]
        assert frame["y"] + 26 < at[path]["y"], "the head of the group needs its room"


def test_a_line_begins_below_its_tail_ends_above_its_head_and_passes_no_other_box():
    graph = see(CHAIN)
    placed = dot.place(graph)
    lines = dict(zip(((edge.tail, edge.head) for edge in graph.edges), routes.route(graph, placed), strict=True))
    x, y, width, height = placed.nodes["n-root/load"]
    assert lines["n-root/load", "n-root/train"].startswith(f"M{x + width / 2:.1f},{y + height:.1f}C")
    field = routes._Field(placed.nodes)
    numbers = [tuple(map(float, pair.split(","))) for pair in lines["n-root/load", "n-root/report"][1:].replace("C", " ").split()]
    for at in range(0, len(numbers) - 3, 3):
        assert not field.touches(numbers[at : at + 4], skip={"n-root/load", "n-root/report"})


def test_names_never_reach_dot():
    hostile = '"];} digraph { evil [label=<<b>x</b>>'
    graph = Graph(nodes=[Node("n-root/x", "root/x", "task", hostile, 196, 48)])
    assert hostile not in dot._source(graph, {"n-root/x": "v0"}, tight=False)


def test_without_graphviz_there_is_a_sentence(monkeypatch):
    dot.program.cache_clear()
    monkeypatch.setattr(dot.shutil, "which", lambda *args, **kwargs: None)
    try:
        with pytest.raises(drawing.GraphvizMissing, match="Install the Python package graphviz-pure"):
            dot.place(see(CHAIN))
    finally:
        dot.program.cache_clear()


@pytest.mark.django_db
def test_a_layout_is_made_once_for_each_set_of_opened_groups(monkeypatch):
    Specification.objects.create(id="s", pipeline={}, name="sample", step_count=5)
    monkeypatch.setattr(stored, "load", lambda specification_id: NESTED)
    first = drawing.draw("s")
    assert drawing.draw("s") == first
    drawing.draw("s", ["root/features"])
    drawing.draw("s", artifacts=True)
    assert Drawing.objects.count() == 3
    monkeypatch.setattr(stored.dot, "place", lambda *args, **kwargs: pytest.fail("drawn again"))
    assert drawing.find("s", ["root/features"])["groups"][0]["path"] == "root/features"


def test_the_template_draws_a_plan_and_shows_names_as_text():
    spec = pipeline(
        task("load"), TaskSpec("x", "<script>alert(1)</script>", "comp-features"), components=[group("comp-features", task("a"))]
    )
    drawn = picture(stored.lay_out(spec))
    page = render_to_string("pipelines/_graph.html", {"graph": drawn})
    assert "<script" not in page and "&lt;script&gt;" in page
    assert 'id="n-root/load"' in page and "data-plan" in page and "data-state" not in page
    assert 'href="#i-code"' in page and 'data-unfold="n-root/x"' in page


def test_the_template_draws_states_and_lines_follow_them():
    looks = {
        "root/load": Look("root/load", "RUNNING", line="3.1 s"),
        "root/train": Look("root/train", "SKIPPED", said="because load failed"),
    }
    drawn = picture(stored.lay_out(CHAIN), look=lambda path: looks.get(path, Look(path)), selected="root/load")
    page = render_to_string("pipelines/_graph.html", {"graph": drawn})
    assert [edge["how"] for edge in drawn.edges] == ["off", "off", ""]
    assert "train: skipped – because load failed" in page
    assert page.count('aria-current="true"') == 1


def test_a_strip_gathers_more_than_120_iterations_and_shows_the_worst():
    states = [Look("x", "SUCCEEDED")] * 1000
    states[500] = Look("x", "FAILED")
    marks = strip_marks(states)
    assert len(marks) == 120
    assert [mark.state for mark in marks if mark.first <= 500 < mark.first + mark.count] == ["FAILED"]
    assert marks[-1].x + marks[-1].width < 165


def test_names_from_a_package_are_text_in_the_drawing():
    layout = stored.lay_out(pipeline(task('"><script>alert(1)</script>')))
    drawn = picture(layout)
    assert "<script" not in drawn.node_markup and "&lt;script&gt;" in drawn.node_markup
    assert "<script" not in drawn.edge_markup


def test_boxes_of_a_large_graph_come_bare_with_their_content_in_a_comment_that_no_name_can_end():
    nasty = "a--><script>alert(1)</script>--!>"
    layout = stored.lay_out(pipeline(task(nasty), *(task(f"t{number}") for number in range(300))))
    drawn = picture(layout, selected="root/t7")
    nodes = drawn.node_markup
    bare = re.sub(r"<!--.*?-->", "", nodes)
    assert bare.count("<a ") == 301 and bare.count("<text") == 3 and "alert(1)" in bare and "<script" not in nodes
    assert nodes.count("<!--") == nodes.count("-->") == 300
    assert 'aria-label="t8"' in bare
    assert "marker-end" not in drawn.edge_markup
