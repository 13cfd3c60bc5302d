"""Every rule that a document can break: the sentence, and where it points."""

from __future__ import annotations

import re
from typing import Any

import pytest
from small_pipelines import (
    artifact,
    commanded,
    constant,
    kubernetes,
    loop,
    output,
    pipeline,
    problems_of,
    step,
    task,
    two,
    use,
)

from pipelines.spec.check.cycles import MAX_NESTING

Json = Any

ANY_END = {"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}}
IMPORTER = {"importer": {"artifactUri": {"constant": "gs://b/k"}, "typeSchema": {"schemaTitle": "system.Dataset"}}}
IMPORTING = step("imp", artifacts_out={"artifact": "system.Dataset"})


def defined(definition: Json) -> Json:
    return {"use": {"executorLabel": "use", "inputDefinitions": {"parameters": {"n": definition}}}}


def with_condition(expression: str) -> Json:
    return pipeline({"make": task("make"), "use": use(output("make", "count"), triggerPolicy={"condition": expression})})


def nested(tasks: Json, **component: Json) -> Json:
    """A pipeline with a task `inner` that is a DAG."""
    return pipeline({"make": task("make"), "inner": task("group")}, {"group": {"dag": {"tasks": tasks}, **component}})


def header(**fields: Json) -> Json:
    return pipeline() | fields


def outputs(dag_outputs: Json, declared: Json) -> Json:
    document = pipeline()
    document["root"]["dag"]["outputs"] = dag_outputs
    document["root"]["outputDefinitions"] = declared
    return document


def chained(count: int, times: int = 1) -> Json:
    """DAGs in each other, `count` deep, each used `times`."""
    inner = {f"c{i}": {"dag": {"tasks": {f"t{k}": task(f"c{i + 1}") for k in range(times)}}} for i in range(count)}
    return pipeline({"t": task("c0")}, inner | {f"c{count}": step("make")})


NUMBER_OUT = {"parameters": {"o": {"parameterType": "NUMBER_INTEGER"}}}
FROM_MAKE = {"producerSubtask": "make", "outputParameterKey": "out"}
DATA_FROM_MAKE = {"artifactSelectors": [{"producerSubtask": "make", "outputArtifactKey": "data"}]}
RETRY = {"retryPolicy": {"maxRetryCount": -1}}

RULES: list[tuple[str, Json, str, str]] = [
    # --- header
    ("no name", header(pipelineInfo={}), "The pipeline has no name", "pipelineInfo.name"),
    ("a name with capitals", header(pipelineInfo={"name": "Big_Name"}), "`Big_Name` cannot be used", "pipelineInfo.name"),
    ("a name that ends in a newline", header(pipelineInfo={"name": "name\n"}), "cannot be used", "pipelineInfo.name"),
    ("a name too long", header(pipelineInfo={"name": "a" * 129}), "at most 128", "pipelineInfo.name"),
    ("another schema version", header(schemaVersion="2.0.0"), "schemaVersion is `2.0.0`; only 2.1.0", "schemaVersion"),
    ("no schema version", header(schemaVersion=None), "schemaVersion is missing", "schemaVersion"),
    ("no root", header(root=None), "There is no root with a DAG", "root"),
    # --- strict reading
    ("an unknown field", header(extra=1), "There is no field `extra` here", "extra"),
    ("a misspelled field", header(sdkversion="x"), "did you mean `sdkVersion`?", "sdkversion"),
    ("a number for a text", header(pipelineInfo={"name": 5}), "This must be text (in quotes), not a number", "pipelineInfo.name"),
    ("a list for an object", header(components=[]), "This must be an object, not a list", "components"),
    (
        "an unknown parameter type",
        pipeline({"use": use(constant(1))}, defined({"parameterType": "FLOAT"})),
        "This must be one of NUMBER_DOUBLE",
        "components.use.inputDefinitions.parameters.n.parameterType",
    ),
    ("no parameter type", pipeline({"use": use(constant(1))}, defined({})), "`n` has no parameterType", "parameters.n"),
    ("two implementations", pipeline(components={"x": {"dag": {}, "executorLabel": "make"}}), "exclude each other", "components.x"),
    (
        "two sources",
        pipeline(two({"componentInputParameter": "a", "runtimeValue": {"constant": 1}})),
        "exclude each other",
        "root.dag.tasks.use.inputs.parameters.n",
    ),
    (
        "a duration without a unit",
        pipeline({"make": task("make", retryPolicy={"backoffDuration": "10"})}),
        'This must be a time like "10s"',
        "root.dag.tasks.make.retryPolicy.backoffDuration",
    ),
    # --- components and executors
    ("no implementation", pipeline(components={"x": {}}), "`x` has neither a DAG nor an executor", "components.x"),
    ("a missing executor", pipeline(components={"x": step("mak")}), "There is no executor `mak`", "components.x.executorLabel"),
    ("an empty DAG", pipeline(components={"x": {"dag": {}}}), "This DAG has no tasks", "components.x.dag"),
    ("only exit tasks", pipeline({"make": task("make", **ANY_END)}), "only exit tasks", "root.dag"),
    ("a resolver", pipeline(executors={"x": {"resolver": {}}}), "is a resolver", "deploymentSpec.executors.x"),
    ("a custom job", pipeline(executors={"x": {"customJob": {}}}), "only Vertex AI can run", "deploymentSpec.executors.x"),
    ("an executor of nothing", pipeline(executors={"x": {}}), "says nothing to run", "deploymentSpec.executors.x"),
    ("no image", pipeline(executors={"x": {"container": {}}}), "has no image", "deploymentSpec.executors.x.container"),
    (
        "an image that is a number",
        pipeline(executors={"x": {"container": {"image": 1}}}),
        "must be text",
        "executors.x.container.image",
    ),
    (
        "an importer's outputs",
        pipeline({"i": task("i")}, {"i": step("imp", artifacts_out={"data": "system.Dataset"})}, {"imp": IMPORTER}),
        "exactly one output, an artifact called `artifact`",
        "components.i.outputDefinitions",
    ),
    (
        "an importer of nothing",
        pipeline({"i": task("i")}, {"i": IMPORTING}, {"imp": {"importer": {"artifactUri": {}}}}),
        "does not say what to import",
        "deploymentSpec.executors.imp.importer.artifactUri",
    ),
    (
        "an importer's missing input",
        pipeline({"i": task("i")}, {"i": IMPORTING}, {"imp": {"importer": {"artifactUri": {"runtimeParameter": "uri"}}}}),
        "takes its URI from `uri`",
        "deploymentSpec.executors.imp.importer.artifactUri",
    ),
    (
        "an importer with a condition",
        pipeline({"i": task("i", triggerPolicy={"condition": "true"})}, {"i": IMPORTING}, {"imp": IMPORTER}),
        "An importer cannot have a condition",
        "root.dag.tasks.i.triggerPolicy.condition",
    ),
    (
        "a default that does not fit",
        pipeline({"use": use(constant(1))}, defined({"parameterType": "NUMBER_INTEGER", "defaultValue": "3"})),
        "The default of `n` is a string, not of the type NUMBER_INTEGER",
        "components.use.inputDefinitions.parameters.n.defaultValue",
    ),
    (
        "a default that is no literal",
        pipeline({"use": use(constant("a"))}, defined({"parameterType": "STRING", "defaultValue": "c", "literals": ["a"]})),
        "none of its literals",
        "n.defaultValue",
    ),
    (
        "a literal that does not fit",
        pipeline({"use": use(constant(1))}, defined({"parameterType": "NUMBER_INTEGER", "literals": [1, "b"]})),
        "A literal of `n` is a string",
        "n.literals[1]",
    ),
    # --- tasks
    (
        "a missing component",
        pipeline({"a": task("mak")}),
        "There is no component `mak`; did you mean `make`?",
        "a.componentRef.name",
    ),
    ("no component", pipeline({"a": {}}), "does not say which component", "root.dag.tasks.a"),
    ("a missing task", pipeline({"a": task("make", after=["b"])}), "There is no task `b` in the pipeline", "a.dependentTasks"),
    (
        "a task of another DAG",
        nested({"a": task("make", after=["make"])}),
        "The task `make` is in another DAG, the pipeline itself",
        "components.group.dag.tasks.a.dependentTasks",
    ),
    (
        "an output of another DAG",
        nested({"a": use(output("make", "count"))}),
        "is in another DAG",
        "components.group.dag.tasks.a.inputs.parameters.n",
    ),
    (
        "waiting for an exit task",
        pipeline({"a": task("make"), "b": task("make", after=["a"], **ANY_END), "c": task("make", after=["b"])}),
        "`c` depends on `b`, which runs however",
        "root.dag.tasks.c.dependentTasks",
    ),
    (
        "a cycle",
        pipeline({"a": task("make", after=["c"]), "b": task("make", after=["a"]), "c": task("make", after=["b"])}),
        "These tasks wait for each other, so none can start: `a` → `c` → `b` → `a`",
        "root.dag.tasks.a",
    ),
    (
        "a cycle through an input",
        pipeline({"a": task("pass", parameters={"n": output("b")}), "b": task("pass", parameters={"n": output("a")})})
        | {"components": {"pass": step("use", inputs={"n": "STRING"}, outputs={"out": "STRING"})}},
        "wait for each other",
        "root.dag.tasks.a",
    ),
    ("waiting for itself", pipeline({"a": task("make", after=["a"])}), "The task `a` waits for itself", "root.dag.tasks.a"),
    (
        "a pipeline in itself",
        nested({"a": task("group")}),
        "A pipeline cannot contain itself: `group` → `group`",
        "components.group",
    ),
    ("too many tasks", chained(20, times=2), "With all its nested DAGs the pipeline has", "root.dag"),
    ("DAGs too deep", chained(MAX_NESTING), "levels deep in each other", "root.dag"),
    (
        "both iterators",
        pipeline({"a": task("use", parameterIterator={}, artifactIterator={})}),
        "exclude each other",
        "a.artifactIterator",
    ),
    ("a negative limit", pipeline({"a": task("make", iteratorPolicy={"parallelismLimit": -1})}), "below zero", "parallelismLimit"),
    ("negative retries", pipeline({"a": task("make", **RETRY)}), "maxRetryCount is below zero", "retryPolicy.maxRetryCount"),
    (
        "endless factor",
        pipeline({"a": task("make", retryPolicy={"backoffFactor": "Infinity"})}),
        "finite",
        "retryPolicy.backoffFactor",
    ),
    # --- conditions and selectors
    ("a condition that is no CEL", with_condition("1 =="), "does not compile", "root.dag.tasks.use.triggerPolicy.condition"),
    ("an unknown variable", with_condition("foo == 1"), "does not compile", "triggerPolicy.condition"),
    ("a camelCase field", with_condition("inputs.parameterValues['n'] == 1"), "does not compile", "triggerPolicy.condition"),
    ("an input it lacks", with_condition("inputs.parameter_values['m'] == 1"), "reads the input `m`", "triggerPolicy.condition"),
    (
        "a selector that is no CEL",
        pipeline(two(output("make", "count") | {"parameterExpressionSelector": "parseJson("})),
        "does not compile",
        "n.parameterExpressionSelector",
    ),
    # --- inputs
    (
        "an unknown input",
        pipeline({"a": task("make", parameters={"x": constant(1)})}),
        "`make` has no input `x`",
        "inputs.parameters.x",
    ),
    ("a missing parameter", pipeline({"a": task("use")}), "Nothing gives the parameter `n` that `use` needs", "root.dag.tasks.a"),
    (
        "a missing artifact",
        pipeline({"a": task("read")}),
        "Nothing gives the artifact `data` that `read` needs",
        "root.dag.tasks.a",
    ),
    ("no source", pipeline(two({})), "Nothing says where the value of the input `n` comes from", "use.inputs.parameters.n"),
    (
        "a runtime parameter",
        pipeline(two({"runtimeValue": {"runtimeParameter": "x"}})),
        "gives no value to a task",
        "n.runtimeValue",
    ),
    (
        "an input of nobody",
        pipeline(two({"componentInputParameter": "x"})),
        "no input parameter `x` in the pipeline",
        "parameters.n",
    ),
    ("an output of nobody", pipeline(two(output("make", "cuont"))), "no output parameter `cuont`; did you mean", "parameters.n"),
    ("an artifact as parameter", pipeline(two(output("make", "data"))), "`data` is an output artifact of `make`", "parameters.n"),
    (
        "a parameter as artifact",
        pipeline({"make": task("make"), "read": task("read", artifacts={"data": artifact("make", "out")})}),
        "`out` is an output parameter of `make`",
        "inputs.artifacts.data",
    ),
    (
        "a parameter for an artifact input",
        pipeline({"read": task("read", parameters={"data": constant(1)})}),
        "declares the input `data` as an artifact",
        "inputs.parameters.data",
    ),
    (
        "an artifact of nobody",
        pipeline({"read": task("read", artifacts={"data": {"componentInputArtifact": "x"}})}),
        "no input artifact `x`",
        "inputs.artifacts.data",
    ),
    (
        "text for a number",
        pipeline(two(output("make"))),
        "`n` is of the type NUMBER_INTEGER, but `out` of the task",
        "parameters.n",
    ),
    ("a text constant for a number", pipeline(two(constant("1"))), "the constant given is a string", "parameters.n.runtimeValue"),
    ("a null for a required number", pipeline(two(constant(None))), "the constant given is null", "parameters.n.runtimeValue"),
    (
        "a constant that is no literal",
        pipeline({"use": use(constant("b"))}, defined({"parameterType": "STRING", "literals": ["a"]})),
        "none of its literals",
        "n.runtimeValue",
    ),
    (
        "a status of nobody",
        pipeline({"a": task("s", parameters={"s": {"taskFinalStatus": {"producerTask": "b"}}})})
        | {"components": {"s": step("use", inputs={"s": "TASK_FINAL_STATUS"})}},
        "There is no task `b`",
        "inputs.parameters.s",
    ),
    (
        "another type of artifact",
        pipeline(
            {"make": task("make"), "m": task("m", artifacts={"data": artifact("make")})},
            {"m": step("read", artifacts_in={"data": "system.Model"})},
        ),
        "of the type system.Model, but is given system.Dataset",
        "inputs.artifacts.data",
    ),
    # --- loops
    ("items that are no list", loop({"raw": '{"a": 1}'}), "must be the text of a JSON list", "each.parameterIterator.items.raw"),
    ("items that are no JSON", loop({"raw": "[1,"}), "must be the text of a JSON list", "each.parameterIterator.items.raw"),
    ("an item that does not fit", loop({"raw": '[1, "b"]'}), "Item 2 of the loop is a string", "each.parameterIterator.items.raw"),
    ("no items", loop({}), "Nothing says over which items", "each.parameterIterator"),
    ("items of nobody", loop({"inputParameter": "l"}), "the input `l`, which the task does not have", "parameterIterator.items"),
    (
        "an item for nobody",
        loop({"raw": "[1]"}, item="m"),
        "no parameter `m` to take the loop's item",
        "parameterIterator.itemInput",
    ),
    (
        "a loop over a number",
        loop({"inputParameter": "l"}, l=output("make", "count")),
        "of the type NUMBER_INTEGER, not a list",
        "items",
    ),
    ("a loop over an object", loop({"inputParameter": "l"}, l=constant({})), "goes over an object; it needs a list", "items"),
    # --- outputs
    (
        "an output that nothing gives",
        outputs({}, NUMBER_OUT),
        "declares the output parameter `o`, but nothing",
        "root.outputDefinitions",
    ),
    ("an undeclared output", outputs({"parameters": {"o": {"valueFromParameter": FROM_MAKE}}}, {}), "is not declared", "outputs"),
    (
        "an undeclared artifact",
        outputs({"artifacts": {"o": DATA_FROM_MAKE}}, {}),
        "is not declared",
        "root.dag.outputs.artifacts.o",
    ),
    (
        "an output of another type",
        outputs({"parameters": {"o": {"valueFromParameter": FROM_MAKE}}}, NUMBER_OUT),
        "The output `o` is of the type NUMBER_INTEGER, but `out` of the task `make` gives STRING",
        "root.dag.outputs.parameters.o",
    ),
    (
        "an output of a missing task",
        outputs({"parameters": {"o": {"valueFromParameter": FROM_MAKE | {"producerSubtask": "x"}}}}, NUMBER_OUT),
        "There is no task `x`",
        "root.dag.outputs.parameters.o",
    ),
    ("an empty choice", outputs({"parameters": {"o": {"valueFromOneof": {}}}}, NUMBER_OUT), "which task gives this output", "o"),
    # --- placeholders
    (
        "an unknown placeholder",
        commanded("{{$.nonsense}}"),
        "`{{$.nonsense}}` is not known here",
        "executors.use.container.args[0]",
    ),
    ("a missing parameter in a text", commanded("{{$.inputs.parameters['m']}}"), "refers to the input parameter `m`", "args[0]"),
    ("a missing artifact in a text", commanded("{{$.inputs.artifacts['m'].uri}}"), "refers to the input artifact `m`", "args[0]"),
    ("a missing output in a text", commanded("{{$.outputs.parameters['m'].output_file}}"), "output parameter `m`", "args[0]"),
    ("a field that artifacts lack", commanded("{{$.outputs.artifacts['m'].size}}"), "is not known here", "args[0]"),
    ("an image from nowhere", commanded(image="{{$.inputs.parameters['i']}}"), "input parameter `i`", "container.image"),
    ("a placeholder in a constant", pipeline(two(constant("{{$.what}}"))), "is not known here", "n.runtimeValue"),
    (
        "IfPresent without an input",
        commanded('{"IfPresent": {"InputName": "m", "Then": "a"}}'),
        "asks for the input `m`",
        "args[0]",
    ),
    ("IfPresent without Then", commanded('{"IfPresent": {"InputName": "n"}}'), "does not say what to give", "args[0]"),
    ("a list in Concat", commanded('{"Concat": ["a", ["b"]]}'), "A list cannot stand inside a Concat", "args[0]"),
    ("Concat that is no JSON", commanded('{"Concat": ["a"'), "but is no JSON", "args[0]"),
]


@pytest.mark.parametrize(("document", "sentence", "place"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_a_document_that_breaks_a_rule_is_refused_with_a_sentence_and_a_place(document: Json, sentence: str, place: str) -> None:
    problems = problems_of(document)
    assert any(sentence in problem.message and place in problem.place for problem in problems), [str(item) for item in problems]
    assert all(problem.line for problem in problems)
    assert all(re.search(r"[.?]$", problem.message) for problem in problems)


def test_all_problems_come_at_once_in_the_order_of_their_lines() -> None:
    document = pipeline(two(constant("1")) | {"lost": task("nowhere", after=["nobody"])}, executors={"x": {"resolver": {}}})
    document["pipelineInfo"]["name"] = "Bad Name"
    problems = problems_of(document, kubernetes({"make": {"imagePullPolicy": 3}}))
    assert len(problems) == 6
    lines = [problem.line or 0 for problem in problems]
    assert lines == sorted(lines)
