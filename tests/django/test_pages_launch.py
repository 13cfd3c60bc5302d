"""The launch form: made from a pipeline's inputs, read strictly, kept when something has to change."""

from __future__ import annotations

import html as markup
import json
import re
import uuid
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client

from pipelines import services as pipelines
from pipelines.models import PipelineVersion
from pipelines.spec.model import PipelineSpec
from pipelines.spec.parse import parse_text
from runs import forms, services
from runs.models import Experiment, Run

pytestmark = pytest.mark.django_db


def _document(inputs: dict[str, dict[str, Any]]) -> str:
    return json.dumps(
        {
            "pipelineInfo": {"name": "inputs"},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.0",
            "root": {
                "inputDefinitions": {"parameters": inputs},
                "dag": {"tasks": {"say": {"taskInfo": {"name": "say"}, "componentRef": {"name": "comp-say"}}}},
            },
            "components": {"comp-say": {"executorLabel": "exec-say"}},
            "deploymentSpec": {"executors": {"exec-say": {"container": {"image": "alpine", "command": ["true"]}}}},
        }
    )


INPUTS: dict[str, dict[str, Any]] = {
    "rows": {"parameterType": "NUMBER_INTEGER", "defaultValue": 10, "isOptional": True, "description": "How many <rows> to read."},
    "rate": {"parameterType": "NUMBER_DOUBLE"},
    "label": {"parameterType": "STRING", "defaultValue": "fraud", "isOptional": True},
    "note": {"parameterType": "STRING", "isOptional": True},
    "release": {"parameterType": "BOOLEAN", "defaultValue": True, "isOptional": True},
    "models": {"parameterType": "LIST", "defaultValue": [{"depth": 4}], "isOptional": True},
    "limits": {"parameterType": "STRUCT", "isOptional": True},
}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are not sent anywhere."""
    monkeypatch.setattr("kfdash.outbox.enqueue", lambda *args: None)
    monkeypatch.setattr("kfdash.outbox.enqueue_drive", lambda *args: None)


@pytest.fixture
def client() -> Client:
    """A browser that has typed our address."""
    return Client(headers={"host": "127.0.0.1:8000"})


@pytest.fixture
def version() -> PipelineVersion:
    """A pipeline with an input of each type."""
    return pipelines.upload_pipeline(data=_document(INPUTS).encode(), file_name="inputs.yaml", name="inputs")[1]


def _address(version: PipelineVersion) -> str:
    return f"/pipelines/{version.pipeline_id}/versions/{version.pk}/launch/"


def _sent(**values: str) -> dict[str, str]:
    given = {"rows": "10", "rate": "0.5", "label": "fraud", "note": "", "release": "true", "models": "[]", "limits": ""}
    return {f"input.{name}": value for name, value in {**given, **values}.items()}


def _spec(**inputs: dict[str, Any]) -> PipelineSpec:
    return parse_text(_document(inputs)).spec


def _read(definition: dict[str, Any], text: str) -> tuple[Any, forms.Field]:
    query = QueryDict(mutable=True)
    query["input.x"] = text
    form = forms.read(_spec(x=definition), query)
    return form.arguments.get("x", "absent"), form.fields[0]


# --- reading values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("NUMBER_INTEGER", " 8400000 ", 8400000),
        ("NUMBER_INTEGER", "-3", -3),
        ("NUMBER_DOUBLE", "1e-3", 0.001),
        ("NUMBER_DOUBLE", "3", 3),
        ("STRING", " as it is \r\nsecond", " as it is \nsecond"),
        ("LIST", '[1, {"a": null}]', [1, {"a": None}]),
        ("STRUCT", '{"a": 1.0}', {"a": 1}),
    ],
)
def test_a_value_is_read_as_its_type(type_: str, text: str, value: Any) -> None:
    assert _read({"parameterType": type_}, text)[0] == value


@pytest.mark.parametrize(
    ("type_", "text", "error", "suggestion"),
    [
        ("NUMBER_INTEGER", "8,400,000", "Not a whole number: write it without separators.", "8400000"),
        ("NUMBER_INTEGER", "1.5", "Not a whole number: 1.5 has a fraction.", ""),
        ("NUMBER_INTEGER", "many", "Not a whole number: many.", ""),
        ("NUMBER_DOUBLE", "0,05", "Not a number: 0,05 has a comma.", "0.05"),
        ("NUMBER_DOUBLE", "nan", "Not a number: nan.", ""),
        ("NUMBER_DOUBLE", "1e999", "Not a number: 1e999.", ""),
        ("STRUCT", '{"a": 1,}', "Line 1, column", '{"a": 1}'),
        ("STRUCT", "[1]", "A struct is needed: JSON in { }.", ""),
        ("LIST", "[NaN]", "NaN is no JSON value.", ""),
        ("LIST", "[" * 100_000, "This is nested too deeply.", ""),
        ("STRING", "", "A value is needed here.", ""),
    ],
)
def test_a_value_that_does_not_fit_is_explained_with_a_way_out(type_: str, text: str, error: str, suggestion: str) -> None:
    value, field = _read({"parameterType": type_}, text)
    assert value == "absent"
    assert field.error.startswith(error)
    assert field.suggestion == suggestion
    assert field.text == text  # nothing that was typed is lost


def test_what_is_left_empty_is_left_out_unless_it_is_a_text_with_a_default() -> None:
    assert _read({"parameterType": "LIST", "isOptional": True}, "")[0] == "absent"
    assert _read({"parameterType": "STRING", "isOptional": True}, "")[0] == "absent"
    assert _read({"parameterType": "STRING", "defaultValue": "a", "isOptional": True}, "")[0] == ""
    assert _read({"parameterType": "NUMBER_INTEGER", "defaultValue": 3, "isOptional": True}, "")[1].suggestion == "3"


def test_literals_are_choices_and_keep_their_type() -> None:
    value, field = _read({"parameterType": "NUMBER_INTEGER", "literals": [1, 2, 3]}, "2")
    assert (value, field.control, field.choices) == (2, "choice", ("1", "2", "3"))


def test_long_lists_are_spread_over_lines_and_read_back_the_same() -> None:
    models = [{"depth": depth, "eta": 0.1} for depth in range(8)]
    spec = _spec(x={"parameterType": "LIST", "defaultValue": models, "isOptional": True})
    field = forms.blank(spec).fields[0]
    assert field.text.count("\n") == 7
    assert json.loads(field.text) == models
    assert not field.changed


@pytest.mark.parametrize(
    ("text", "tags"), [("team=risk, owner = lab", {"team": "risk", "owner": "lab"}), ("", {}), ("a=", {"a": ""})]
)
def test_tags_are_written_as_key_and_value(text: str, tags: dict[str, str]) -> None:
    form = forms.read(_spec(), QueryDict(f"tags={text}"))
    assert (form.tag_values, form.errors) == (tags, {})


def test_a_tag_without_a_value_is_explained() -> None:
    assert "A tag is key=value" in forms.read(_spec(), QueryDict("tags=urgent")).errors["tags"]


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_form_has_a_control_for_each_input(client: Client, version: PipelineVersion) -> None:
    page = client.get(_address(version)).content.decode()
    for control in (
        'name="input.rows" value="10" inputmode="numeric"',
        'name="input.rate" value="" inputmode="decimal"',
        'role="switch" id="input.release" name="input.release" value="true" checked',
        'name="input.models" rows="2" spellcheck="false" autocomplete="off" data-json="list"',
    ):
        assert control in page
    assert "How many &lt;rows&gt; to read." in page
    assert sorted(re.findall(r'data-field="(\w+)"', page)) == sorted(INPUTS)
    assert page.count(">needed<") == 1


def test_a_launch_makes_the_run_and_opens_it(client: Client, version: PipelineVersion) -> None:
    form = {**_sent(rows="7", models='[{"depth": 2}]'), "name": "seventh", "tags": "team=risk", "cache": "refresh"}
    response = client.post(_address(version), form)
    run = Run.objects.get()
    assert response.headers["Location"] == f"/runs/{run.pk}/"
    assert run.parameters == {"rows": 7, "rate": 0.5, "label": "fraud", "release": True, "models": [{"depth": 2}]}
    assert (run.name, run.tags, run.cache, run.version_id) == ("seventh", {"team": "risk"}, "refresh", version.pk)
    assert run.experiment is not None and run.experiment.name == "Default"


def test_a_launch_can_make_its_experiment(client: Client, version: PipelineVersion) -> None:
    client.post(_address(version), {**_sent(), "experiment": "new", "new_experiment": "iris"})
    assert Run.objects.get().experiment == Experiment.objects.get(name="iris")
    page = client.post(_address(version), {**_sent(), "experiment": "new", "new_experiment": "iris"}).content.decode()
    assert "There is an experiment called" in page and 'id="new_experiment-error"' in page
    assert Run.objects.count() == 1


def test_errors_stand_beside_their_fields_and_are_linked_from_the_summary(client: Client, version: PipelineVersion) -> None:
    page = client.post(_address(version), {**_sent(rate="0,05", limits="{"), "name": "kept"}).content.decode()
    assert Run.objects.count() == 0
    assert "2 inputs need a change" in page
    assert 'href="#input.rate"' in page and 'href="#input.limits"' in page
    assert re.search(r'id="input.rate"[^>]*aria-invalid="true" aria-describedby="input.rate-error"', page)
    assert "Not a number: 0,05 has a comma." in page and 'data-use="0.05"' in page
    assert 'value="0,05"' in page and 'value="kept"' in page


def test_a_switch_that_is_off_is_false(client: Client, version: PipelineVersion) -> None:
    form = _sent()
    del form["input.release"]
    client.post(_address(version), form)
    assert Run.objects.get().parameters["release"] is False


def test_values_of_an_earlier_run_are_carried_over_by_name(client: Client, version: PipelineVersion) -> None:
    iris = Experiment.objects.create(name="iris")
    arguments = {"rows": 99, "rate": 0.5, "sample_rate": 0.2}
    earlier = services.launch_run(specification=version.specification, version=version, arguments={"rows": 99, "rate": 0.5})
    Run.objects.filter(pk=earlier.pk).update(parameters=arguments, experiment=iris, tags={"team": "risk"}, cache="off")
    page = client.get(f"{_address(version)}?run={earlier.pk}").content.decode()
    assert 'name="input.rows" value="99"' in page
    assert f'<option value="{iris.pk}" selected>' in page
    assert 'value="team=risk"' in page and 'value="off" checked' in page
    assert "has no input" in page and "sample_rate" in page


def test_what_the_earlier_run_had_is_shown_where_it_differs(client: Client, version: PipelineVersion) -> None:
    earlier = services.launch_run(specification=version.specification, version=version, arguments={"rows": 99, "rate": 0.5})
    page = client.post(f"{_address(version)}?run={earlier.pk}", _sent(rows="100", rate="")).content.decode()
    assert f"#{earlier.number} had" in page and 'data-use="99"' in page


@pytest.mark.parametrize("run", ["nonsense", str(uuid.UUID(int=1))])
def test_an_earlier_run_that_is_gone_leaves_the_defaults(client: Client, version: PipelineVersion, run: str) -> None:
    assert 'name="input.rows" value="10"' in client.get(f"{_address(version)}?run={run}").content.decode()


def test_whatever_an_input_holds_stays_text(client: Client) -> None:
    nasty = '"><script>alert(1)</script>'
    inputs = {"x": {"parameterType": "STRING", "defaultValue": nasty, "isOptional": True, "description": nasty}}
    _, version = pipelines.upload_pipeline(data=_document(inputs).encode(), file_name="x.yaml", name=nasty)
    page = client.get(_address(version)).content.decode()
    assert nasty not in page and nasty in markup.unescape(page)


def test_a_pipeline_without_inputs_can_be_launched_as_it_is(client: Client) -> None:
    _, version = pipelines.upload_pipeline(data=_document({}).encode(), file_name="x.yaml", name="plain")
    assert "takes no inputs" in client.get(_address(version)).content.decode()
    assert client.post(_address(version), {}).status_code == 302
