"""The page of a run as the server renders it: whole, in parts, in every state; and what is done from it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from pipelines.samples import read_sample
from pipelines.services import upload_pipeline
from runs import driver, logs, logstore, models, services
from runs.engine.model import AttemptFailed, AttemptProgressed, AttemptSucceeded, Phase, Values
from tests.django.documents import chain, stored

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet(monkeypatch, settings, tmp_path):
    """Nothing leaves for Celery, Redis or sockets."""
    monkeypatch.setattr("kfdash.outbox._send", lambda job, args: None)
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, facts: None)
    monkeypatch.setattr("kfdash.live.publish_run", lambda run_id, message: None)
    settings.LOGS_DIR = tmp_path


@pytest.fixture
def site(client):
    client.defaults["HTTP_HOST"] = "localhost"
    return client


def now():
    return datetime.now(UTC)


def launched(text=None, **options):
    run = services.launch_run(specification=stored(text or chain(3)), arguments={}, name="sample", **options)
    driver.drive(str(run.pk))
    return models.Run.objects.get(pk=run.pk)


def tell(run, *facts):
    driver.drive(str(run.pk), *facts)
    run.refresh_from_db()


def page(site, run, query=""):
    answer = site.get(reverse("run-detail", args=[run.pk]) + query)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def batches():
    """A loop of twelve of which number 8 failed, and an exit task."""
    _, version = upload_pipeline(data=read_sample("batches")[0], file_name="batches.yaml")
    run = services.launch_run(specification=version.specification, arguments={"broken": 8}, version=version, name="batches")
    driver.drive(str(run.pk))
    for _ in range(2):
        for attempt in models.Attempt.objects.filter(run=run).exclude(phase="ended"):
            tell(run, AttemptProgressed(attempt.path, 1, Phase.RUNNING, now()))
            if "[7]" in attempt.path:
                tell(run, AttemptFailed(attempt.path, 1, now(), "Exit code 1: ValueError: batch 8 has no rows", exit_code=1))
            else:
                tell(run, AttemptSucceeded(attempt.path, 1, now(), Values({"Output": 100})))
    assert run.state == "FAILED"
    return run


def node(html, name):
    """The element of a graph's node."""
    found = re.search(rf'<a class="node"[^>]*data-name="{re.escape(name)}".*?</a>', html, re.DOTALL)
    assert found, f"{name} is not in the graph"
    return found[0]


def test_a_run_that_has_not_begun_is_drawn_as_it_will_be(site):
    run = services.launch_run(specification=stored(chain(2)), arguments={}, name="sample")
    html = page(site, run)
    assert "<title>Pending: sample #1" in html
    assert 'data-state="PENDING"' in node(html, "s0") and "It waits for a worker." in html
    assert "It has not begun: it waits for a worker." in page(site, run, "?view=table")


def test_a_page_opened_before_the_first_event_leads_into_time_too(site):
    # What comes later is painted into this page: the button has to be there by then.
    run = services.launch_run(specification=stored(chain(2)), arguments={}, name="sample")
    assert run.event_number == 0
    assert 'class="btn s icon travelbtn" href="?at=1"' in page(site, run)


def test_states_times_and_reasons_stand_on_nodes(site):
    run = launched()
    tell(run, AttemptProgressed("root/s0", 1, Phase.QUEUED, now(), "Waiting for a GPU: none of 4 nodes has one free", True))
    html = page(site, run)
    assert "data-attention" in node(html, "s0") and "waiting for a GPU" in node(html, "s0").lower().replace("gpu", "GPU")
    assert "after 1 step" in node(html, "s1")
    assert "s0</b> is waiting for a GPU: none of 4 nodes has one free" in html, "the first trouble stands above the graph"
    tell(run, AttemptProgressed("root/s0", 1, Phase.RUNNING, now()))
    assert 'data-state="RUNNING"' in node(page(site, run), "s0") and "data-since" in node(page(site, run), "s0")


def test_a_failed_run_opens_at_the_log_of_the_step_that_explains_it(site, batches):
    html = page(site, batches)
    assert "<code>check-batch[7]</code> failed:" in html and "batch 8 has no rows" in html
    assert 'data-panel-path="root/exit-handler-1/for-loop-3[7]/check-batch"' in html
    assert "data-log " in html
    assert '<b class="strong">8</b> of 12' in html


def test_a_loop_is_one_node_with_a_mark_for_each_iteration(site, batches):
    loop = node(page(site, batches), "batches")
    marks = re.findall(r'<use class="mk" data-state="(\w+)"', loop)
    assert marks == ["SUCCEEDED"] * 7 + ["FAILED"] + ["SUCCEEDED"] * 4
    assert "11 done, 1 failed" in loop and "×12" in loop


def test_an_opened_loop_shows_the_iteration_that_is_looked_at(site, batches):
    loop = "root/exit-handler-1/for-loop-3"
    html = page(site, batches, f"?open={loop}")
    assert f'data-path="{loop}[7]/check-batch"' in html, "without a choice: the first that failed"
    html = page(site, batches, f"?open={loop}&task={loop}[2]/check-batch")
    assert f'data-path="{loop}[2]/check-batch"' in html and f'data-path="{loop}[7]/check-batch"' not in html


def test_the_table_nests_steps_folds_groups_and_leaves_out_the_compilers_wrappers(site, batches):
    html = page(site, batches, "?view=table&part=left")
    assert re.findall(r'<tr data-row[^>]*data-name="([^"]+)"', html) == [
        "batches",
        *(f"[{i}] check-batch" for i in range(12)),
        "clean-up",
    ]
    folded = page(site, batches, "?view=table&part=left&fold=root/exit-handler-1/for-loop-3")
    assert re.findall(r'<tr data-row[^>]*data-name="([^"]+)"', folded) == ["batches", "clean-up"]


def test_counts_filter_the_table(site, batches):
    html = page(site, batches, "?view=table&part=left&state=FAILED")
    assert re.findall(r'<tr data-row[^>]*data-name="([^"]+)"', html) == ["[7] check-batch"]


def test_a_branch_that_was_not_taken_counts_as_one_skipped_step(site):
    _, version = upload_pipeline(data=read_sample("training")[0], file_name="training.yaml")
    run = services.launch_run(specification=version.specification, arguments={"candidates": []}, version=version)
    driver.drive(str(run.pk))
    models.Task.objects.filter(run=run, path="root/condition-branches-2").update(state="SKIPPED", reason="Did not run.")
    assert 'data-look="SKIPPED"' in page(site, run, "?part=left")


def test_the_timeline_has_a_bar_for_what_ran(site, batches):
    html = page(site, batches, "?view=timeline&part=left")
    assert html.count('class="bar-run') >= 13


def test_a_long_table_comes_in_blocks(site):
    run = launched(chain(450))
    first = page(site, run, "?view=table&part=left")
    assert first.count("<tr data-row") == 200 and 'data-next="200"' in first
    last = page(site, run, "?view=table&part=rows&from=400")
    assert last.count("<tr data-row") == 50 and "data-next" not in last


def test_a_page_costs_few_queries_however_many_steps_there_are(site, django_assert_max_num_queries):
    run = launched(chain(300))
    page(site, run)
    for view in ("graph", "table", "timeline"):
        with django_assert_max_num_queries(12):
            page(site, run, f"?view={view}")


def test_inputs_outputs_facts_and_events_of_a_step(site):
    run = launched()
    tell(run, AttemptProgressed("root/s0", 1, Phase.RUNNING, now()), AttemptSucceeded("root/s0", 1, now(), Values({"Output": 7})))
    io = page(site, run, "?task=root/s0&tab=io&part=panel")
    assert "Output" in io and ">7<" in io and "integer" in io
    overview = page(site, run, "?task=root/s0&part=panel")
    assert "Succeeded in" in overview and "alpine" in overview and "not pulled" in overview
    events = page(site, run, "?task=root/s0&tab=events&part=panel")
    assert "Attempt 1 was ordered" in events and "Succeeded" in events


def test_what_users_named_is_text(site):
    text = chain(1).replace('"name": "s0"', '"name": "<img src=x onerror=alert(1)>"')
    run = launched(text)
    tell(run, AttemptFailed("root/s0", 1, now(), "<script>alert(1)</script>", exit_code=1))
    for query in ("", "?view=table", "?view=timeline", "?tab=events&task=root/s0"):
        html = page(site, run, query)
        assert "<img src=x" not in html and "<script>alert" not in html


def test_an_unknown_step_shows_the_run(site):
    run = launched()
    for task in ("root/nothing", "root/s0/deeper", "x", "root/s0[3]"):
        assert "data-panel-path" in page(site, run, f"?task={task}")


def test_stop_says_what_happens_and_a_second_press_ends_at_once(site):
    run = launched()
    tell(run, AttemptProgressed("root/s0", 1, Phase.RUNNING, now()))
    question = reverse("run-stop", args=[run.pk])
    assert "1 running step gets 30 s to end, 2 steps will not start." in site.get(question).content.decode()
    site.post(reverse("run-stop", args=[run.pk]))
    run.refresh_from_db()
    assert (run.state, run.stop) == ("CANCELING", "graceful")
    assert "Stop at once" in page(site, run) and "1 running step will be ended at once." in site.get(question).content.decode()
    site.post(reverse("run-stop", args=[run.pk]), {"force": "1"})
    run.refresh_from_db()
    assert run.stop == "force"


def test_the_stop_dialog_says_that_exit_tasks_still_run(site):
    _, version = upload_pipeline(data=read_sample("batches")[0], file_name="batches.yaml")
    run = services.launch_run(specification=version.specification, arguments={}, version=version)
    driver.drive(str(run.pk))
    html = site.get(reverse("run-stop", args=[run.pk])).content.decode()
    assert "clean-up still runs." in html
    assert ">12 steps will not start" in html, "the exit task is none of them"


def test_run_again_launches_the_same_inputs(site):
    run = launched(tags={"team": "risk"})
    answer = site.post(reverse("run-again", args=[run.pk]), {"cache": "off"})
    again = models.Run.objects.exclude(pk=run.pk).get()
    assert answer.url == reverse("run-detail", args=[again.pk])
    assert (again.specification_id, again.tags, again.cache, again.number) == (run.specification_id, {"team": "risk"}, "off", 2)


def test_a_log_is_read_in_blocks_searched_and_downloaded(site):
    run = launched()
    attempt = models.Attempt.objects.get(run=run, path="root/s0")
    writer = logstore.LogWriter(logs.folder(f"{run.pk}/{attempt.name}"))
    for number in range(1, 501):
        writer.append(number, "e" if number == 77 else "o", "WARNING: look here" if number == 77 else f"line {number} <b>")
    query = {"attempt": attempt.name}
    block = site.get(reverse("run-log", args=[run.pk]), {**query, "first": 201}).json()
    assert [line[0] for line in block["lines"]] == list(range(201, 401)) and block["count"] == 500
    found = site.get(reverse("run-log-search", args=[run.pk]), {**query, "q": "LOOK here"}).json()["found"]
    assert [(line[0], line[3]) for line in found] == [(77, "warning")]
    assert [
        line[0] for line in site.get(reverse("run-log-search", args=[run.pk]), {**query, "level": "warning"}).json()["found"]
    ] == [77]
    assert site.get(reverse("run-log", args=[run.pk]), {"attempt": "another"}).status_code == 404
    html = page(site, run, "?task=root/s0&tab=log")
    assert "line 500 &lt;b&gt;" in html and 'id="L301"' in html and 'id="L300"' not in html


def test_earlier_successes_say_how_long_it_usually_takes(site):
    _, version = upload_pipeline(data=chain(1).encode(), file_name="chain.json")
    for _ in range(3):
        run = services.launch_run(specification=version.specification, arguments={}, version=version)
        driver.drive(str(run.pk))
        begin = now() - timedelta(minutes=2)
        tell(
            run, AttemptProgressed("root/s0", 1, Phase.RUNNING, begin), AttemptSucceeded("root/s0", 1, now(), Values({"Output": 1}))
        )
    run = services.launch_run(specification=version.specification, arguments={}, version=version)
    driver.drive(str(run.pk))
    tell(run, AttemptProgressed("root/s0", 1, Phase.RUNNING, now()))
    assert "Usually it takes 2 m 00 s." in page(site, run, "?task=root/s0")
