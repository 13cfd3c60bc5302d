"""A run in time: as it was at a moment, what usually takes how long, and what it waited for."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from kfdash import moment
from pipelines.services import upload_pipeline
from pipelines.spec.model import PipelineSpec
from pipelines.spec.parse import parse_text
from runs import driver, models, services
from runs.critical import critical_path
from runs.engine.model import AttemptFailed, AttemptProgressed, AttemptSucceeded, Phase, Values
from runs.engine.record import recorded
from runs.replay import attempts_seen, read_moment, replay
from runs.rows import task_values
from runs.timeline import Span, bars
from runs.tree import Step, make_tree
from runs.usual import usual_times
from runs.views.overview import usual_time
from tests.bench.pipelines import layered
from tests.django.documents import chain
from tests.django.driving import driven, fail, launched, now, stopped, succeed

pytestmark = pytest.mark.django_db
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def quiet(sent, settings, tmp_path):
    """Nothing leaves for Celery, Redis or sockets."""
    settings.LOGS_DIR = tmp_path


@pytest.fixture
def site(client):
    client.defaults["HTTP_HOST"] = "localhost"
    return client


def page(site, run, query=""):
    answer = site.get(reverse("run-detail", args=[run.pk]) + query)
    assert answer.status_code == 200
    return answer.content.decode()


def running(run, path):
    driver.drive(str(run.pk), AttemptProgressed(path, 1, Phase.RUNNING, now()))


@pytest.fixture
def failed():
    """A chain of three whose second step failed."""
    run = launched(chain(3), name="sample")
    running(run, "root/s0")
    succeed(run, "root/s0")
    running(run, "root/s1")
    fail(run, "root/s1", reason="Exit code 3.")
    assert run.state == "FAILED"
    return run


def number_of(run, kind, path):
    return models.RunEvent.objects.get(run=run, kind=kind, path=path).number


# --- replay ---------------------------------------------------------------------------------------------------------


def rows_are_replayed(run) -> None:
    replayed = replay(models.RunEvent.objects.filter(run=run).order_by("number"))
    rows = {task.path: recorded(task) for task in task_values(models.Task.objects.filter(run=run))}
    assert {path: recorded(task) for path, task in replayed.items()} == rows


def test_the_events_of_a_run_give_its_rows_through_failure_retry_pause_and_stop(failed):
    rows_are_replayed(failed)
    driver.retry(str(failed.pk), by="ann")
    rows_are_replayed(failed)
    driver.set_paused(str(failed.pk), True)
    succeed(failed, "root/s1", 2)
    rows_are_replayed(failed)
    driver.set_paused(str(failed.pk), False)
    rows_are_replayed(failed)
    services.stop_run(failed)
    stopped(driven(failed), "root/s2")
    rows_are_replayed(failed)
    failed.refresh_from_db()
    assert failed.state == "CANCELED"


def test_a_moment_gives_the_run_the_state_it_had(failed):
    spec = parse_text(chain(3)).spec
    before = number_of(failed, "attempt.failed", "root/s1")
    seen = read_moment(failed, spec, before - 1)
    assert (failed.state, failed.finished_at) == ("RUNNING", None)
    assert {path: step.state for path, step in seen.tree.steps.items()} == {
        "root": "RUNNING",
        "root/s0": "SUCCEEDED",
        "root/s1": "RUNNING",
        "root/s2": "PENDING",
    }
    assert seen.number == before - 1 and seen.of > before


def test_attempts_are_seen_as_far_as_they_had_come(failed):
    spec = parse_text(chain(3)).spec
    seen = read_moment(failed, spec, number_of(failed, "task.started", "root/s1"))
    attempts = list(models.Attempt.objects.filter(run=failed, path="root/s1"))
    with moment.seen_at(seen.at):
        (attempt,) = attempts_seen(attempts, seen.tree.steps["root/s1"])
        assert (attempt.state, attempt.exit_code, attempt.finished_at) == ("RUNNING", None, None)
        assert attempts_seen(attempts, None) == []


def test_a_moment_beyond_the_last_event_is_the_last(failed):
    assert read_moment(failed, parse_text(chain(3)).spec, 10**6).number == failed.event_number
    assert failed.state == "FAILED"


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_page_shows_a_run_as_it_was(site, failed):
    html = page(site, failed, f"?at={number_of(failed, 'task.started', 'root/s1')}&view=table")
    assert '<span class="badge" data-state="RUNNING"' in html or "Running" in html
    assert re.search(r'data-path="root/s1"[^>]*data-state="RUNNING"', html)
    assert re.search(r'data-path="root/s2"[^>]*data-state="PENDING"', html)
    assert "Back to now" in html and "as it was" in html
    assert "data-since" not in html, "a clock ticks in the past"
    assert "why-banner" not in html


def test_every_link_of_a_moment_stays_in_it(site, failed):
    html = page(site, failed, "?at=4&view=table")
    for link in re.findall(r'data-go="(?:left|panel)" href="([^"]+)"', html):
        assert "at=4" in link, link


def test_a_page_as_it_was_before_an_output_does_not_show_it(site, failed):
    started = number_of(failed, "task.started", "root/s0")

    def outputs(query):
        return site.get(reverse("run-detail", args=[failed.pk]) + f"?task=root/s0&tab=io{query}").context["panel"]["outputs"]

    assert outputs("") and not outputs(f"&at={started}")


def test_a_moment_is_fetched_as_states_where_the_graph_is_there(site, failed):
    url = reverse("run-detail", args=[failed.pk])
    number = number_of(failed, "task.started", "root/s1")
    told = site.get(f"{url}?at={number}&part=moment&drawn=1").json()
    assert "left" not in told and told["title"].startswith("Running: ")
    states = {task["path"]: task.get("state") for task in told["snapshot"]["tasks"]}
    assert states["root/s1"] == "RUNNING"
    assert "s1</a> began." in told["travel"]
    assert site.get(f"{url}?at={number}&part=moment&drawn=1&view=table").json()["snapshot"] is None
    assert site.get(f"{url}?part=moment").json()["travel"].strip() == ""


def test_events_are_told_in_words_each_with_its_moment(site, failed):
    html = page(site, failed, "?task=root&tab=events")
    number = number_of(failed, "task.failed", "root/s1")
    assert ">s1</a> failed: Exit code 3." in html
    assert re.search(rf'data-go="moment" href="\?[^"]*at={number}"', html)
    assert f"#{number} task.failed" in html and "&quot;cause&quot;: &quot;exit-code&quot;" in html
    alone = page(site, failed, "?task=root/s0&tab=events")
    assert "Exit code 3." not in alone.split('class="events"')[1] and "Events of the whole run" in alone


def test_a_moment_costs_few_queries(site, failed, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        page(site, failed, "?at=4&view=table&task=root")


def test_a_jump_in_a_run_of_a_thousand_steps_takes_less_than_half_a_second(site):
    run = launched(json.dumps(layered(10, 100)))
    facts = [AttemptSucceeded(f"root/t0-{n}", 1, now(), Values({"Output": 1})) for n in range(100)]
    driver.drive(str(run.pk), *facts)
    run.refresh_from_db()
    url = reverse("run-detail", args=[run.pk]) + f"?part=moment&drawn=1&at={run.event_number - 10}"
    site.get(url)
    began = datetime.now(UTC)
    assert site.get(url).status_code == 200
    assert (datetime.now(UTC) - began).total_seconds() < 2.5  # half a second on a machine that has nothing else to do


# --- what is usual --------------------------------------------------------------------------------------------------


@pytest.fixture
def version():
    return upload_pipeline(data=chain(2).encode(), file_name="chain.json")[1]


def earlier(version, count, *, seconds=60.0, state="SUCCEEDED", cached_from=""):
    """Runs of before whose first step took so long."""
    for at in range(count):
        run = services.launch_run(specification=version.specification, arguments={}, version=version)
        began = BEGIN + timedelta(hours=at)
        models.Run.objects.filter(pk=run.pk).update(created_at=began, state=state)
        for path in ("root", "root/s0"):
            models.Task.objects.create(
                run=run, path=path, parent="", kind="container", state=state, cached_from=cached_from, started_at=began
            )
        models.Task.objects.filter(run=run).update(finished_at=began + timedelta(seconds=seconds + at))


def this_run(version):
    return driven(services.launch_run(specification=version.specification, arguments={}, version=version))


def test_three_successes_make_a_usual_time_and_two_do_not(version):
    earlier(version, 2)
    assert usual_times(this_run(version), ["root/s0"]) == {}
    earlier(version, 3)
    assert usual_time(this_run(version), "root/s0") == pytest.approx(61)


def test_what_failed_or_was_reused_says_nothing_of_the_usual_time(version):
    earlier(version, 3, state="FAILED")
    earlier(version, 3, cached_from="run:root/s0")
    assert usual_times(this_run(version), ["root/s0"]) == {}


def test_the_usual_times_of_all_rows_are_two_queries(version, django_assert_num_queries):
    earlier(version, 5)
    run = this_run(version)
    with django_assert_num_queries(2):
        assert set(usual_times(run, ["root", "root/s0", "root/s1"])) == {"root", "root/s0"}


def test_a_running_step_and_its_run_are_shown_against_what_is_usual(site, version):
    earlier(version, 3, seconds=1860)
    run = this_run(version)
    running(run, "root/s0")
    html = page(site, run, "?task=root/s0&view=timeline")
    assert "of about 31 min" in html
    assert "usually 31 m 01 s" in html
    assert "Usually it takes 31 m 01 s." in html


# --- the critical path ----------------------------------------------------------------------------------------------


def step(path: str, begin: int | None, end: int | None, *, kind="container", state="SUCCEEDED") -> Step:
    def at(seconds):
        return BEGIN + timedelta(seconds=seconds) if seconds is not None else None

    parent = "" if path == "root" else re.sub(r"(\[\d+\]|/[^/\[]+)$", "", path)
    fixed = {"reason": "", "cause": "", "attention": False, "cached_from": "", "attempt": 1, "waiting_on": 0, "retry_at": None}
    counts = {"children": 0, "ended": 0, "succeeded": 0, "failed": 0, "running": 0}
    times = {"created_at": at(0), "ready_at": at(begin), "started_at": at(begin), "finished_at": at(end)}
    return Step(path=path, parent=parent, kind=kind, state=state, **fixed, **counts, **times)


def graph(after: dict[str, list[str]]) -> PipelineSpec:
    document = json.loads(chain(len(after)))
    for key, before in after.items():
        document["root"]["dag"]["tasks"][key]["dependentTasks"] = before
        document["root"]["dag"]["tasks"][key]["inputs"] = {"parameters": {"x": {"componentInputParameter": "start"}}}
    return parse_text(json.dumps(document)).spec


def test_the_critical_path_is_the_chain_that_ended_last():
    spec = graph({"s0": [], "s1": [], "s2": ["s0", "s1"], "s3": ["s0"]})
    steps = [
        step("root", 0, 9, kind="dag"),
        step("root/s0", 0, 2),
        step("root/s1", 0, 5),
        step("root/s2", 5, 9),
        step("root/s3", 2, 4),
    ]
    assert critical_path(make_tree(spec, steps)) == {"root/s1", "root/s2"}


def test_while_a_run_goes_on_the_critical_path_leads_to_what_runs():
    spec = graph({"s0": [], "s1": ["s0"], "s2": []})
    steps = [
        step("root", 0, None, kind="dag", state="RUNNING"),
        step("root/s0", 0, 2),
        step("root/s1", 2, None, state="RUNNING"),
        step("root/s2", 0, 7),
    ]
    assert critical_path(make_tree(spec, steps)) == {"root/s0", "root/s1"}


def test_what_was_skipped_took_no_time_and_lets_the_path_through():
    spec = graph({"s0": [], "s1": ["s0"], "s2": ["s1"]})
    steps = [
        step("root", 0, 9, kind="dag", state="FAILED"),
        step("root/s0", 0, 4, state="FAILED"),
        step("root/s1", None, 4, state="SKIPPED"),
        step("root/s2", 4, 9),
    ]
    assert critical_path(make_tree(spec, steps)) == {"root/s0", "root/s2"}


def test_the_timeline_marks_the_critical_path_when_asked(site, failed):
    assert "data-critical" not in page(site, failed, "?view=timeline")
    html = page(site, failed, "?view=timeline&critical=1")
    assert re.findall(r'data-path="([^"]+)"[^>]*data-critical', html) == ["root/s0", "root/s1"]


def test_a_failed_attempt_before_a_retry_is_a_bar_before_the_others(site, failed):
    driver.retry(str(failed.pk))
    driver.drive(str(failed.pk), AttemptProgressed("root/s1", 2, Phase.RUNNING, now()))
    html = page(site, failed, "?view=timeline&task=root")
    row = re.search(r'data-path="root/s1".*?</tr>', html, re.DOTALL)[0]
    assert row.count('class="bar-prev') == 1 and 'class="bar-run on"' in row
    driver.drive(str(failed.pk), AttemptFailed("root/s1", 2, now(), "Again."))


def test_a_group_that_was_begun_again_spans_its_children_from_their_first_attempt():
    span = Span.over(BEGIN, BEGIN + timedelta(seconds=98), running=False)
    loop = step("root/s0", 50, 98, kind="loop")
    first = BEGIN + timedelta(seconds=10)
    (bar,) = bars(loop, [], span, BEGIN + timedelta(seconds=98), since=first).pieces
    assert bar.x == span.percent(first) and bar.end == span.percent(BEGIN + timedelta(seconds=98))


def test_the_progress_of_a_running_step_has_a_mark_where_it_usually_ends(site, version):
    earlier(version, 3, seconds=1860)
    run = this_run(version)
    running(run, "root/s0")
    html = page(site, run, "?task=root/s0")
    assert re.search(r'class="seg-usual" x="99\.\d*%"', html)
    assert "seg-usual" not in page(site, run, "?task=root")


def test_counts_of_a_group_follow_its_steps_between_events_that_were_told_at_once(site):
    run = launched(json.dumps(layered(1, 3)))
    driver.drive(str(run.pk), *(AttemptSucceeded(f"root/t0-{n}", 1, now(), Values({"Output": 1})) for n in range(3)))
    run.refresh_from_db()
    html = page(site, run, f"?at={number_of(run, 'task.succeeded', 'root/t0-1')}")
    assert "2 of 3 steps" in html
