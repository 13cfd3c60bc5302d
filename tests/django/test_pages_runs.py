"""The list of runs and its filters; archive, restore, delete; experiments."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from kfdash.tagged import tag_is
from pipelines import services as pipelines
from pipelines.models import PipelineVersion
from runs import filters, services
from runs.models import Artifact, Experiment, Run, StorageState, Task
from tests.django.documents import chain

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 18, 14, 0, tzinfo=UTC)


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
    """A pipeline of three steps in a row."""
    return pipelines.upload_pipeline(data=chain(3).encode(), file_name="chain.yaml", name="chain")[1]


@pytest.fixture
def make(version: PipelineVersion) -> Callable[..., Run]:
    """Makes runs, the first one the newest."""

    def run(state: str = "SUCCEEDED", *, steps: dict[str, dict[str, Any]] | None = None, **fields: Any) -> Run:
        number = Run.objects.count() + 1
        at = fields.pop("created_at", timezone.now() - timedelta(minutes=number))
        defaults = {"name": "chain", "experiment": services.default_experiment(), "started_at": at}
        defaults |= {"finished_at": None if state in ("PENDING", "RUNNING", "CANCELING") else at + timedelta(seconds=30)}
        found = Run.objects.create(
            number=number,
            resource_name="chain-x",
            specification=version.specification,
            version=version,
            pipeline_key=version.pipeline_id,
            version_key=version.pk,
            experiment_key=(fields.get("experiment") or defaults["experiment"]).pk,
            state=state,
            created_at=at,
            **{**defaults, **fields},
        )
        Task.objects.create(run=found, path="root", parent="", kind="dag", state=state, children=3)
        for key in ("s0", "s1", "s2"):
            step = {"state": "SUCCEEDED" if state == "SUCCEEDED" else "PENDING", **((steps or {}).get(key, {}))}
            Task.objects.create(run=found, path=f"root/{key}", parent="root", kind="container", **step)
        return found

    return run


def _numbers(html: str) -> list[int]:
    return [int(number) for number in re.findall(r'data-number="(\d+)"', html)]


def _get(client: Client, address: str, **headers: str) -> str:
    response = client.get(address, headers=headers)
    assert response.status_code == 200, response.content
    return response.content.decode()


# --- the list -------------------------------------------------------------------------------------------------------


def test_an_installation_without_runs_says_what_to_do(client: Client) -> None:
    html = _get(client, "/runs/")
    assert "No runs yet" in html
    assert 'kfp.Client(host="http://127.0.0.1:8000")' in html


def test_pages_lead_to_older_runs_and_back_without_gaps(client: Client, make: Callable[..., Run]) -> None:
    at = NOW
    for index in range(120):  # three at a time with the same time: the id decides
        make(created_at=at - timedelta(minutes=index // 3))
    first = _get(client, "/runs/")
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older and 'rel="prev"' not in first
    second = _get(client, "/runs/" + older[1])
    third = _get(client, "/runs/" + re.search(r'rel="next" href="([^"]+)"', second)[1])  # type: ignore[index]
    assert sorted(_numbers(first) + _numbers(second) + _numbers(third)) == list(range(1, 121))
    assert 'rel="next"' not in third
    back = _get(client, "/runs/" + re.search(r'rel="prev" href="([^"]+)"', third)[1])  # type: ignore[index]
    assert _numbers(back) == _numbers(second)


def test_a_page_address_that_is_none_shows_the_first_page(client: Client, make: Callable[..., Run]) -> None:
    make()
    assert _numbers(_get(client, "/runs/?after=nonsense")) == [1]
    assert _numbers(_get(client, f"/runs/?before={10**30}.{uuid.uuid4().hex}")) == [1]


@pytest.mark.parametrize("count", [1, 50])
def test_the_list_asks_the_database_the_same_few_things_however_long_it_is(
    client: Client, make: Callable[..., Run], django_assert_max_num_queries: Any, count: int
) -> None:
    for index in range(count):
        make("RUNNING" if index % 2 else "FAILED")
    with django_assert_max_num_queries(6):
        html = _get(client, "/runs/")
    assert len(_numbers(html)) == count


def test_htmx_gets_the_table_alone_but_going_back_gets_the_page(client: Client, make: Callable[..., Run]) -> None:
    make()
    assert "<html" not in _get(client, "/runs/", hx_request="true")
    assert "<html" in _get(client, "/runs/", hx_request="true", hx_history_restore_request="true")


def test_a_failed_run_says_which_step_and_why(client: Client, make: Callable[..., Run]) -> None:
    run = make("FAILED", reason="s1 failed: exit code 1: <KeyError>")
    Task.objects.filter(run=run, path="root").update(culprit="root/s1")
    html = _get(client, "/runs/")
    assert "<b>s1</b> exit code 1: &lt;KeyError&gt;" in html


def test_a_step_deep_inside_is_called_by_its_own_name(client: Client, make: Callable[..., Run]) -> None:
    run = make("FAILED", reason="exit-handler-1/for-loop-3[7]/check-batch failed: exit code 1")
    Task.objects.filter(run=run, path="root").update(culprit="root/exit-handler-1/for-loop-3[7]/check-batch")
    assert "<b>check-batch[7]</b> exit code 1" in _get(client, "/runs/")


def test_home_says_what_a_step_that_starts_is_doing(client: Client, make: Callable[..., Run]) -> None:
    make("RUNNING", steps={"s0": {"state": "PENDING", "reason": "Installing pandas: 4 s"}})
    assert '<span class="strong">s0</span> Installing pandas: 4 s' in _get(client, "/")


def test_home_says_what_runs_inside_a_group_whose_name_nobody_gave(client: Client, make: Callable[..., Run]) -> None:
    run = make("RUNNING", steps={"s0": {"state": "RUNNING"}})
    Task.objects.filter(run=run, path="root/s0").update(kind="dag")
    Task.objects.create(run=run, path="root/s0/train", parent="root/s0", kind="container", state="RUNNING")
    assert '<span class="strong">train</span>' in _get(client, "/")


def test_a_run_that_cannot_go_on_looks_waiting_and_says_for_what(client: Client, make: Callable[..., Run]) -> None:
    make("RUNNING", steps={"s0": {"attention": True, "reason": "waits for a GPU"}})
    html = _get(client, "/runs/")
    assert 'aria-label="Waiting"' in html and "<b>s0</b> waits for a GPU" in html


def test_steps_stand_in_the_strip_in_their_order(client: Client, make: Callable[..., Run]) -> None:
    make("RUNNING", steps={"s2": {"state": "PENDING"}, "s0": {"state": "SUCCEEDED"}, "s1": {"state": "RUNNING"}})
    titles = re.findall(r"<title>(s\d: \w+)</title>", _get(client, "/runs/"))
    assert titles == ["s0: succeeded", "s1: running", "s2: pending"]


def test_fresh_rows_are_given_by_id(client: Client, make: Callable[..., Run]) -> None:
    run, other = make(), make("RUNNING")
    html = _get(client, f"/runs/rows/?id={run.pk}&id={uuid.uuid4()}&id=x")
    assert _numbers(html) == [run.number]
    assert client.get("/runs/rows/").headers["X-Active-Runs"] == "1"
    assert other.state == "RUNNING"


# --- filters --------------------------------------------------------------------------------------------------------


def test_tokens_filter_and_exclude(client: Client, make: Callable[..., Run]) -> None:
    iris = Experiment.objects.create(name="Iris")
    make("FAILED", tags={"team": "risk"})
    make("SUCCEEDED", experiment=iris, name="nightly sweep")
    make("RUNNING", tags={"team": "lab"}, created_by="ada")
    for query, numbers in {
        "state:failed": [1],
        "-state:failed": [2, 3],
        "state:failed,running": [1, 3],
        "state:active": [3],
        "experiment:iris": [2],
        "tag:team": [1, 3],
        "tag:team=risk": [1],
        "-tag:team=risk state:running": [3],
        "-tag:team=risk": [2, 3],
        "NIGHTLY": [2],
        'name:"nightly sweep"': [2],
        "#3": [3],
        "by:ada": [3],
        "pipeline:chain version:v1": [1, 2, 3],
        "version:2": [],
        "started:today": [1, 2, 3] if timezone.now().hour or timezone.now().minute > 4 else None,
        "duration:>10s": [1, 2],
        "duration:<10s": [],
        "-duration:>10s": [3],
    }.items():
        if numbers is not None:
            assert sorted(_numbers(_get(client, "/runs/?q=" + query.replace("#", "%23").replace("+", "%2B")))) == numbers, query


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("colour:red", "no such filter: colour"),
        ("state:purple", "no such state: purple"),
        ("started:soon", "no such time: soon"),
        ("duration:long", "no such duration: long"),
        ("state:", "state: needs a value"),
    ],
)
def test_a_token_that_means_nothing_is_told_and_does_not_filter(
    client: Client, make: Callable[..., Run], text: str, problem: str
) -> None:
    make()
    (token,) = filters.parse(text, now=NOW)
    assert token.problem.startswith(problem) and token.condition is None
    html = _get(client, f"/runs/?q={text}")
    assert _numbers(html) == [1] and "data-bad" in html


@pytest.mark.parametrize("text", ["started:9999-12-31", "started:>9999-12-31T23:59:59-23:59", "started:<0001-01-01T00:00+23:59"])
def test_a_time_beyond_all_times_is_said_to_be_none(text):
    (token,) = filters.parse(text, now=NOW)
    assert token.problem.startswith("no such time") and token.condition is None


def test_a_filter_is_asked_without_what_no_database_can_be_asked_for(db):
    tokens = filters.parse("a\0b name:\ud800", now=NOW)
    assert [token.value for token in tokens] == ["a\ufffdb", "?"]
    assert not filters.apply(Run.objects.all(), tokens).exists()


def test_a_quotation_mark_that_is_not_closed_yet_is_no_error() -> None:
    assert [token.value for token in filters.parse('name:"night', now=NOW)] == ['"night']


def test_nothing_found_offers_to_clear_the_filters(client: Client, make: Callable[..., Run]) -> None:
    make()
    html = _get(client, "/runs/?q=name:%3Cb%3E")
    assert "No run matches" in html and "name:&lt;b&gt;" in html and "<b>&" not in html


# --- archive and deletion -------------------------------------------------------------------------------------------


def test_archived_runs_leave_the_list_and_can_come_back(client: Client, make: Callable[..., Run]) -> None:
    run = make()
    client.post(f"/runs/{run.pk}/archive/")
    assert "No run" in _get(client, "/runs/?q=state:succeeded")
    assert _numbers(_get(client, "/runs/?view=archive")) == [1]
    client.post(f"/runs/{run.pk}/restore/")
    assert _numbers(_get(client, "/runs/")) == [1]


def test_several_runs_are_archived_at_once_and_the_answer_says_how_to_undo(client: Client, make: Callable[..., Run]) -> None:
    runs = [make(), make()]
    response = client.post("/runs/bulk/", {"action": "archive", "id": [run.pk for run in runs]})
    assert response.status_code == 204
    assert '"2 runs archived"' in response.headers["HX-Trigger"] and '"restore"' in response.headers["HX-Trigger"]
    assert set(Run.objects.values_list("storage_state", flat=True)) == {StorageState.ARCHIVED}


def test_a_run_of_an_archived_experiment_says_why_it_stays_in_the_archive(client: Client, make: Callable[..., Run]) -> None:
    run = make(experiment=Experiment.objects.create(name="old", storage_state="ARCHIVED"), storage_state="ARCHIVED")
    response = client.post("/runs/bulk/", {"action": "restore", "id": run.pk})
    assert "restore it first" in response.headers["HX-Trigger"]


def test_before_a_deletion_it_is_said_how_much_goes(client: Client, make: Callable[..., Run]) -> None:
    run = make()
    Artifact.objects.create(run=run, path="root/s0", name="data", uri="minio://x", size=4_000_000)
    html = _get(client, f"/runs/{run.pk}/delete/")
    assert "Delete chain #1?" in html and "1 output (4.0 MB)" in html
    assert Run.objects.count() == 1
    response = client.post(f"/runs/{run.pk}/delete/", {"next": f"/runs/{run.pk}/"})
    assert response.headers["Location"] == "/runs/"
    assert Run.objects.count() == 0


def test_what_is_done_to_runs_leads_back_to_pages_of_ours_only(client: Client, make: Callable[..., Run]) -> None:
    run = make()
    assert client.post(f"/runs/{run.pk}/archive/", {"next": "/experiments/"}).headers["Location"] == "/experiments/"
    for foreign in ("https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example"):
        assert client.post(f"/runs/{run.pk}/archive/", {"next": foreign}).headers["Location"] == "/runs/"


def test_an_unknown_action_and_an_empty_selection_are_refused(client: Client, make: Callable[..., Run]) -> None:
    run = make()
    assert client.post("/runs/bulk/", {"action": "explode", "id": run.pk}).status_code == 400
    assert client.post("/runs/bulk/", {"action": "archive", "id": "x"}).status_code == 404


def test_the_question_before_a_deletion_speaks_of_what_there_is(client: Client, make: Callable[..., Run]) -> None:
    html = _get(client, f"/runs/{make().pk}/delete/")
    assert " with their logs will be deleted for good." in html


# --- experiments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 40])
def test_the_list_of_experiments_asks_the_same_few_things(
    client: Client, make: Callable[..., Run], django_assert_max_num_queries: Any, count: int
) -> None:
    for index in range(count):
        make(experiment=Experiment.objects.create(name=f"e{index}"))
    with django_assert_max_num_queries(4):
        html = _get(client, "/experiments/")
    assert html.count("data-row") == count + 1  # and the default one


def test_an_experiment_is_made_once(client: Client) -> None:
    response = client.post("/experiments/new/", {"name": "iris", "description": "Which flower?"}, follow=True)
    assert "Which flower?" in response.content.decode()
    response = client.post("/experiments/new/", {"name": "iris", "description": "kept"})
    html = response.content.decode()
    assert "There is an experiment called" in html
    assert "data-shown" in html and ">kept</textarea>" in html, "the form is there again, with what was typed"


def test_an_experiment_shows_its_runs_alone(client: Client, make: Callable[..., Run]) -> None:
    iris = Experiment.objects.create(name="iris")
    make()
    make(experiment=iris)
    assert _numbers(_get(client, f"/experiments/{iris.pk}/")) == [2]


def test_archiving_an_experiment_takes_its_runs_along(client: Client, make: Callable[..., Run]) -> None:
    iris = Experiment.objects.create(name="iris")
    make(experiment=iris)
    client.post(f"/experiments/{iris.pk}/archive/")
    assert "iris" not in _get(client, "/experiments/?q=iris").split("<tbody>")[-1].split('value="iris"')[-1].split("<code>")[0]
    assert _numbers(_get(client, f"/experiments/{iris.pk}/?view=archive")) == [1]
    client.post(f"/experiments/{iris.pk}/restore/")
    assert 'title="iris"' in _get(client, "/experiments/")


def test_runs_outlive_their_experiment_and_the_default_one_stays(client: Client, make: Callable[..., Run]) -> None:
    iris = Experiment.objects.create(name="iris")
    run = make(experiment=iris)
    assert "Its 1 run and what they made stay." in _get(client, f"/experiments/{iris.pk}/delete/")
    client.post(f"/experiments/{iris.pk}/delete/")
    assert Run.objects.get(pk=run.pk).experiment is None
    default = services.default_experiment()
    client.post(f"/experiments/{default.pk}/delete/")
    assert Experiment.objects.filter(pk=default.pk).exists()


# --- several at once ------------------------------------------------------------------------------------------------


def test_several_runs_are_stopped_after_a_question_that_leaves_out_those_that_have_ended(
    client: Client, version: PipelineVersion, make: Callable[..., Run]
) -> None:
    going = services.launch_run(specification=version.specification, arguments={}, name="going")
    make("SUCCEEDED")
    ids = [str(pk) for pk in Run.objects.values_list("pk", flat=True)]
    question = client.get("/runs/bulk/", {"action": "stop", "id": ids})
    assert b"Stop going #" in question.content and b"1 selected run has ended already" in question.content
    answer = client.post("/runs/bulk/", {"action": "stop", "id": ids})
    assert answer.status_code == 204 and "1 run will stop" in answer["HX-Trigger"]
    going.refresh_from_db()
    assert going.stop == "graceful"
    ended = [pk for pk in ids if pk != str(going.pk)]
    nothing = client.get("/runs/bulk/", {"action": "stop", "id": ended})
    assert nothing.status_code == 204 and "Nothing to stop: what is selected has ended." in nothing["HX-Trigger"]


def test_several_runs_are_tagged_at_once_and_a_wrong_tag_keeps_the_dialog(client: Client, make: Callable[..., Run]) -> None:
    runs = [make(tags={"team": "a"}), make(tags={"team": "b", "old": "x"})]
    ids = [str(run.pk) for run in runs]
    dialog = client.get("/runs/bulk/", {"action": "tag", "id": ids}).content.decode()
    assert "Tags of 2 runs" in dialog and 'value="old"' in dialog and "2 runs" in dialog
    wrong = client.post("/runs/bulk/", {"action": "tag", "id": ids, "tags": "nonsense", "remove": "old"})
    assert wrong["HX-Retarget"] == "#dialog" and b"a tag is key=value" in wrong.content and b'value="old" checked' in wrong.content
    done = client.post("/runs/bulk/", {"action": "tag", "id": ids, "tags": "team=c\nfor=paper", "remove": "old"})
    assert "Tags of 2 runs changed" in done["HX-Trigger"]
    assert list(Run.objects.values_list("tags", flat=True)) == [{"team": "c", "for": "paper"}] * 2


def test_a_tag_is_found_by_its_exact_key_even_where_that_is_a_number(client: Client, make: Callable[..., Run]) -> None:
    make(tags={"1": "one", "a": "x"})
    make(tags={"a": "one"})
    assert _numbers(_get(client, "/runs/?q=tag:1=one")) == [1]
    assert _numbers(_get(client, "/runs/?q=tag:a__x=one")) == []


def test_tags_with_odd_keys_are_found_and_told_from_others(make: Callable[..., Run]) -> None:
    tags = [{"größe": "x"}, {'a"b': "c"}, {"a\\b": "c"}, {"größe": "y"}, {}]
    runs = [make(tags=one) for one in tags]
    for run, one in zip(runs[:3], tags, strict=False):
        ((key, value),) = one.items()
        assert [*Run.objects.filter(tag_is(key, value))] == [run]
        assert Run.objects.exclude(tag_is(key, value)).count() == 4
