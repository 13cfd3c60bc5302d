"""Pages about pipelines: the list, uploads, a version with its steps; home; and what holds for every page."""

from __future__ import annotations

import io
import json
import re
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from pipelines import component, services
from pipelines.models import Pipeline, PipelineVersion
from pipelines.samples import SAMPLES, read_sample
from pipelines.spec.parse import parse_text
from pipelines.specifications import count_steps, load
from runs import services as runs
from runs.models import Run
from tests.django.documents import chain

pytestmark = pytest.mark.django_db


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
def training() -> PipelineVersion:
    """The sample that trains models."""
    return services.upload_pipeline(data=read_sample("training")[0], file_name="training.yaml", name="train")[1]


def _send(client: Client, data: bytes, name: str = "chain.yaml", **fields: Any) -> Any:
    return client.post("/pipelines/upload/", {"file": SimpleUploadedFile(name, data), **fields}, follow=True)


def _page(version: PipelineVersion, query: str = "") -> str:
    return f"/pipelines/{version.pipeline_id}/versions/{version.pk}/{query}"


# --- list -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 30])
def test_the_list_of_pipelines_asks_the_same_few_things(client: Client, django_assert_max_num_queries: Any, count: int) -> None:
    for index in range(count):
        _, version = services.upload_pipeline(data=chain(2).encode(), file_name="c.yaml", name=f"chain {index}")
        runs.launch_run(specification=version.specification, version=version, arguments={})
    with django_assert_max_num_queries(4):
        page = client.get("/pipelines/").content.decode()
    assert page.count("<tr data-row") == count
    assert page.count('class="strip"') == count


def test_pipelines_are_found_by_name_and_lead_to_the_launch_form(client: Client) -> None:
    for name in ("Iris sweep", "fraud"):
        services.upload_pipeline(data=chain(1).encode(), file_name="c.yaml", name=name)
    page = client.get("/pipelines/?q=iris&for=launch").content.decode()
    assert page.count("<tr data-row") == 1
    assert re.search(r'class="name cut" title="Iris sweep" href="[^"]+/launch/"', page)
    assert "No pipeline matches" in client.get("/pipelines/?q=nothing").content.decode()


def test_a_pipeline_without_versions_asks_for_one(client: Client) -> None:
    pipeline = services.create_pipeline(name="bare")
    assert "No version yet" in client.get(f"/pipelines/{pipeline.pk}/", follow=True).content.decode()
    assert "bare" in client.get("/pipelines/").content.decode()


# --- upload ---------------------------------------------------------------------------------------------------------


def test_an_upload_opens_what_became_of_it(client: Client) -> None:
    response = _send(client, chain(2).encode())
    version = PipelineVersion.objects.get()
    assert response.redirect_chain == [(_page(version), 302)]
    assert "chain is uploaded." in response.content.decode()


def test_a_package_with_the_name_of_a_pipeline_is_its_next_version(client: Client) -> None:
    _send(client, chain(1).encode(), "first.json")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("pipeline.yaml", chain(2))
    response = _send(client, archive.getvalue(), "second.zip")
    assert "Uploaded as v2 of chain." in response.content.decode()
    assert [version.number for version in Pipeline.objects.get().versions.order_by("number")] == [1, 2]


def test_an_upload_can_say_which_pipeline_it_belongs_to(client: Client) -> None:
    pipeline, _ = services.upload_pipeline(data=chain(1).encode(), file_name="c.yaml", name="mine")
    assert "Uploaded as v2 of mine." in _send(client, chain(2).encode(), pipeline=pipeline.pk).content.decode()


def test_a_refused_package_is_told_with_every_problem_and_its_line(client: Client) -> None:
    document = json.loads(chain(2))
    document["root"]["dag"]["tasks"]["s0"]["componentRef"]["name"] = "comp-gone"
    document["root"]["dag"]["tasks"]["s1"]["dependentTasks"] = ["<b>nowhere</b>"]
    page = _send(client, json.dumps(document, indent=1).encode(), "broken.json").content.decode()
    assert "<code>broken.json</code> was not taken: " in page
    assert page.count("<tr data-row>") >= 2
    assert "comp-gone" in page and "<b>nowhere" not in page
    assert re.search(r'<td class="num dim">\d+</td>', page)
    assert not Pipeline.objects.exists()


def test_no_file_a_file_too_large_and_a_pipeline_that_is_gone_are_told(client: Client, settings: Any) -> None:
    assert "No file was sent" in client.post("/pipelines/upload/").content.decode()
    settings.UPLOAD_LIMIT = 2 * 1024**2
    assert "a package may have 2 MiB at most" in _send(client, b"x" * (2 * 1024**2 + 1)).content.decode()
    gone = "00000000-0000-0000-0000-000000000000"
    assert "does not exist any more" in _send(client, chain(1).encode(), pipeline=gone).content.decode()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.key)
def test_a_sample_is_uploaded_once_and_is_what_it_says(client: Client, sample: Any) -> None:
    for _ in range(2):
        response = client.post(f"/pipelines/samples/{sample.key}/", follow=True)
        assert response.status_code == 200 and "/versions/" in response.redirect_chain[-1][0]
    assert PipelineVersion.objects.count() == 1
    assert count_steps(load(PipelineVersion.objects.get().specification_id)) == sample.steps
    assert client.post("/pipelines/samples/none/").status_code == 404


# --- a version ------------------------------------------------------------------------------------------------------


def test_a_version_shows_its_graph_and_its_first_step(client: Client, training: PipelineVersion) -> None:
    page = client.get(_page(training)).content.decode()
    assert 'data-path="root/load-data"' in page
    assert '<h2 class="cut" title="load-data">' in page
    assert "scikit-learn" in page
    assert 'class="tok-nf">load_data</span>' in page
    assert "executor_main" not in page  # what the compiler added is left out


def test_a_step_is_a_click_away_and_comes_alone_for_the_panel(client: Client, training: PipelineVersion) -> None:
    address = _page(training, "?task=root/for-loop-1")
    whole = client.get(address).content.decode()
    panel = client.get(address, headers={"hx-request": "true", "hx-target": "panel"}).content.decode()
    assert "<html" in whole and "<html" not in panel
    assert '<span class="chip">loop</span>' in panel and "each item of candidates" in panel


def test_inside_a_loop_and_a_condition_steps_can_be_looked_at_too(client: Client, training: PipelineVersion) -> None:
    spec = load(training.specification_id)
    inner = component.describe(spec, "root/for-loop-1/train-model") or component.describe(spec, "root/for-loop-1/train")
    assert inner is not None and inner.word == "python"
    publish = component.describe(spec, "root/condition-branches-2/condition-3")
    assert publish is not None and ("Runs", "if accuracy ≥ required_accuracy") in publish.facts


def test_a_step_that_is_none_is_not_found(client: Client, training: PipelineVersion) -> None:
    for task in ("root/nowhere", "elsewhere", "root/load-data/deeper", "root[", "%00"):
        assert client.get(_page(training, f"?task={task}")).status_code == 404, task
    other = services.create_pipeline(name="other")
    assert client.get(f"/pipelines/{other.pk}/versions/{training.pk}/").status_code == 404


def test_groups_that_do_not_exist_are_not_opened(client: Client, training: PipelineVersion) -> None:
    assert client.get(_page(training, "?open=root/nowhere,,x&art=1")).status_code == 200


def test_a_container_shows_its_command_as_it_is(client: Client) -> None:
    _, version = services.upload_pipeline(data=chain(1).encode(), file_name="c.yaml", name="chain")
    found = component.describe(load(version.specification_id), "root/s0")
    assert found is not None
    assert (found.image, found.command, found.source) == ("alpine", ("true",), "")
    assert [(port.name, port.type, port.source) for port in found.inputs] == [("x", "integer", "from start")]


def test_what_the_local_executor_will_not_honour_is_said_before_the_launch(client: Client) -> None:
    wish = {"nodeSelector": {"labels": {"gpu": "a100"}}}
    text = chain(1) + "\n---\n" + json.dumps({"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-s0": wish}}}}})
    _, version = services.upload_pipeline(data=text.encode(), file_name="c.yaml", name="chain")
    page = client.get(_page(version)).content.decode()
    assert "On Kubernetes" in page and "a100" in page
    assert 'class="notice notices"' in page and "On this machine" in page


def test_the_document_can_be_read_and_the_package_fetched_unchanged(client: Client, training: PipelineVersion) -> None:
    assert 'class="tok-nt">pipelineInfo</span>' in client.get(_page(training, "?view=spec")).content.decode()
    response = client.get(_page(training, "package/"))
    assert response.content == read_sample("training")[0]
    assert response.headers["Content-Disposition"] == 'attachment; filename="training.yaml"'


def test_a_version_lists_its_own_runs(client: Client, training: PipelineVersion) -> None:
    runs.launch_run(specification=training.specification, version=training, arguments={})
    runs.launch_run(specification=training.specification, arguments={})
    assert client.get(_page(training, "?view=runs")).content.decode().count("<tr data-row") == 1


def test_versions_and_pipelines_are_deleted_after_a_question_and_their_runs_stay(client: Client, training: PipelineVersion) -> None:
    run = runs.launch_run(specification=training.specification, version=training, arguments={})
    assert "Its 1 run and what they made stay." in client.get(_page(training, "delete/")).content.decode()
    client.post(_page(training, "delete/"))
    assert not PipelineVersion.objects.exists()
    assert "1 run" in client.get(f"/pipelines/{training.pipeline_id}/delete/").content.decode()
    client.post(f"/pipelines/{training.pipeline_id}/delete/")
    assert not Pipeline.objects.exists()
    assert Run.objects.get().pk == run.pk
    assert client.get("/runs/").status_code == 200


def test_packages_are_named_without_what_every_component_installs() -> None:
    spec = parse_text(read_sample("training")[0].decode()).spec
    assert (component.describe(spec, "root/choose-best") or component.Component("", "", "")).packages == ()


# --- home -----------------------------------------------------------------------------------------------------------


def test_home_shows_what_runs_what_failed_and_what_is_used(
    client: Client, training: PipelineVersion, django_assert_max_num_queries: Any
) -> None:
    def launch(state: str, minutes: int, version: PipelineVersion | None = training) -> Run:
        run = runs.launch_run(specification=training.specification, version=version, arguments={})
        at = timezone.now() - timedelta(minutes=minutes)
        Run.objects.filter(pk=run.pk).update(
            state=state, created_at=at, started_at=at, finished_at=at if state == "FAILED" else None
        )
        return run

    launch("FAILED", 60)  # was run again since
    unseen = launch("FAILED", 50, None)
    launch("RUNNING", 5)
    with django_assert_max_num_queries(14):
        page = client.get("/").content.decode()
    assert "1 that nobody ran again" in page and f"/runs/{unseen.pk}/" in page
    assert "2 failed" in page
    assert page.count('class="prow"') == 1


def test_home_of_a_new_installation_says_how_to_begin(client: Client) -> None:
    page = client.get("/").content.decode()
    assert "Drop a compiled pipeline here" in page and "Train and publish" in page


# --- every page -----------------------------------------------------------------------------------------------------


def test_no_page_has_inline_styles_or_scripts(client: Client, training: PipelineVersion) -> None:
    run = runs.launch_run(specification=training.specification, version=training, arguments={})
    pages = ["/", "/runs/", "/runs/?q=state:failed+x:y", "/pipelines/", "/experiments/", f"/experiments/{run.experiment_id}/"]
    pages += [_page(training), _page(training, "?view=spec"), _page(training, "launch/"), f"/runs/{run.pk}/delete/"]
    for address in pages:
        response = client.get(address)
        page = response.content.decode()
        assert response.status_code == 200, address
        assert not re.search(r"\sstyle=|<style|\son\w+=", page), address
        assert not re.search(r"<script(?![^>]*\ssrc=)", page), address
        assert "unsafe" not in response.headers["Content-Security-Policy"]


def test_no_control_of_a_page_leads_nowhere(client: Client, training: PipelineVersion) -> None:
    runs.launch_run(specification=training.specification, version=training, arguments={})
    for address in ("/", "/runs/", "/pipelines/", "/experiments/", _page(training), _page(training, "launch/")):
        page = client.get(address).content.decode()
        assert not re.search(r'href="#?"', page), address
        for target in set(re.findall(r'href="(/[^"#?]*)', page)):
            if not target.startswith("/static/"):
                assert client.get(target).status_code in (200, 302), (address, target)
        ids = set(re.findall(r'\sid="([^"]+)"', page))
        assert set(re.findall(r'data-open="([^"]+)"', page)) <= ids


# --- jump -----------------------------------------------------------------------------------------------------------


def test_a_few_letters_or_a_number_lead_to_runs_pipelines_and_experiments(client: Client, training: PipelineVersion) -> None:
    run = runs.launch_run(specification=training.specification, version=training, arguments={}, name="Nightly training")
    runs.create_experiment(name="train of thought")
    page = client.get("/jump/?q=TRAIN").content.decode()
    assert re.findall(r'<span class="dim">(\w+)</span>', page) == ["run", "pipeline", "experiment"]
    assert f'href="/runs/{run.pk}/"' in client.get(f"/jump/?q=%23{run.number}").content.decode()
    assert "Nothing is called “&lt;b&gt;”." in client.get("/jump/?q=<b>").content.decode()


def test_tags_of_a_pipeline_are_edited_on_its_page_and_lead_to_all_that_have_them(
    client: Client, training: PipelineVersion
) -> None:
    services.upload_pipeline(data=chain(1).encode(), file_name="chain.yaml", name="other")
    address = f"/pipelines/{training.pipeline_id}/tags/"
    assert address in client.get(_page(training)).content.decode()
    assert b"Tags of train" in client.get(address).content
    assert b"a tag is key=value" in client.post(address, {"tags": "nonsense"}).content
    saved = client.post(address, {"tags": "team=risk\nnote=two words"}).content.decode()
    assert "q=tag%3Ateam%3Drisk" in saved and "/pipelines/?q=tag%3A%22note%3Dtwo%20words%22" in saved
    for query in ("tag:team=risk", "tag:team", 'tag:"note=two words" tra'):
        found = client.get("/pipelines/", {"q": query}).content.decode()
        assert ">train<" in found and ">other<" not in found, query
    assert "No name or tag fits" in client.get("/pipelines/", {"q": "tag:team=risk other"}).content.decode()
