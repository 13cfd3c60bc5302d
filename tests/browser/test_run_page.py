"""Watching a run: the graph turns by itself, the log streams, a failure is understood in one look, the page finds back."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from pipelines.samples import read_sample
from pipelines.spec.parse import parse_text
from tests.running import Installation

GRAPH = "#left .node"
PATIENCE = 60_000  # ms; an environment may have to be made


def shell(script: str) -> dict[str, Any]:
    """A container executor that runs a script."""
    return {"container": {"image": "alpine", "command": ["sh", "-c", script]}}


def pipeline(name: str, steps: dict[str, str], after: dict[str, list[str]] | None = None, **conditions: str) -> str:
    """A pipeline of scripts; `conditions` are CEL expressions that guard steps. JSON text."""
    tasks, components = {}, {}
    for key in steps:
        tasks[key] = {"taskInfo": {"name": key}, "componentRef": {"name": f"comp-{key}"}}
        components[f"comp-{key}"] = {"executorLabel": f"exec-{key}"}
        if after and key in after:
            tasks[key]["dependentTasks"] = after[key]
    for key, condition in conditions.items():
        inner = {**tasks[key], "dependentTasks": []}
        components[f"comp-if-{key}"] = {
            "dag": {"tasks": {key: inner}},
            "inputDefinitions": {"parameters": {"wanted": {"parameterType": "STRING"}}},
        }
        tasks[key] = {
            "taskInfo": {"name": "condition-1"},
            "componentRef": {"name": f"comp-if-{key}"},
            "dependentTasks": tasks[key].get("dependentTasks", []),
            "triggerPolicy": {"condition": condition},
            "inputs": {"parameters": {"wanted": {"runtimeValue": {"constant": "no"}}}},
        }
    return json.dumps(
        {
            "pipelineInfo": {"name": name},
            "schemaVersion": "2.1.0",
            "sdkVersion": "kfp-2.17.0",
            "root": {"dag": {"tasks": tasks}},
            "components": components,
            "deploymentSpec": {"executors": {f"exec-{key}": shell(script) for key, script in steps.items()}},
        }
    )


def launch(page: Page, text: str) -> str:
    """Creates a run from a document by the API; its id."""
    answer = page.request.post("/apis/v2beta1/runs", data={"display_name": "watched", "pipeline_spec": json.loads(text)})
    assert answer.ok, answer.text()
    return answer.json()["run_id"]


def numbers(page: Page) -> list[int]:
    return page.evaluate("[...document.querySelectorAll('[data-log-lines] .ln')].map((line) => Number(line.dataset.number))")


def test_a_run_turns_green_while_one_watches_and_says_so_in_the_title(page: Page) -> None:
    run = launch(page, pipeline("green", {"first": "sleep 1", "second": "sleep 1"}, {"second": ["first"]}))
    page.goto(f"/runs/{run}/")
    expect(page.locator("#live")).to_have_attribute("data-live", "live")
    expect(page.locator(f'{GRAPH}[data-name="first"]')).to_have_attribute("data-state", "RUNNING")
    expect(page.locator(f'{GRAPH}[data-name="second"]')).to_have_attribute("data-state", "SUCCEEDED", timeout=PATIENCE)
    expect(page).to_have_title(re.compile("^Succeeded: watched"))
    expect(page.locator(".runhead .badge")).to_have_text("Succeeded")
    expect(page.locator('.counts [data-look="SUCCEEDED"]')).to_have_text("2")


def test_a_loop_of_twelve_with_one_failure_is_understood_in_one_look(page: Page) -> None:
    run = launch(page, json.dumps(parse_text(read_sample("batches")[0].decode()).pipeline))
    page.goto(f"/runs/{run}/")
    expect(page).to_have_title(re.compile("^Failed"), timeout=PATIENCE)
    page.goto(f"/runs/{run}/")
    expect(page.locator(".banner")).to_contain_text("check-batch[7] failed: Exit code 1: ValueError: batch 8 has no rows")
    loop = page.locator(f'{GRAPH}[data-kind="loop"]')
    expect(loop.locator("use.mk")).to_have_count(12)
    expect(loop.locator('use.mk[data-state="FAILED"]')).to_have_count(1)
    expect(page.locator("[data-log-lines]")).to_contain_text("ValueError: batch 8 has no rows")
    expect(page.locator(".iter")).to_contain_text("8 of 12")
    page.keyboard.press("[")
    expect(page.locator(".iter")).to_contain_text("7 of 12")
    page.locator(".iter use.mk").nth(2).click()
    expect(page.locator(".iter")).to_contain_text("3 of 12")
    page.keyboard.press("n")
    expect(page.locator(".iter")).to_contain_text("8 of 12")
    loop.locator("use.mk").nth(4).click()
    expect(page.locator("#panel h2")).to_have_text("check-batch[4]")


def test_a_log_streams_and_survives_a_reload_without_a_gap_or_a_doubled_line(page: Page) -> None:
    script = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; sleep 0.01; done"
    run = launch(page, pipeline("talks", {"talk": script}))
    page.goto(f"/runs/{run}/?task=root/talk&tab=log")
    if not page.locator("[data-log]").count():
        page.wait_for_timeout(700)
        page.reload()
    expect(page.locator("[data-log-lines]")).to_contain_text("line 40")
    page.reload()
    expect(page.locator("[data-log-lines]")).to_contain_text("line 400", timeout=PATIENCE)
    found = numbers(page)
    assert found == list(range(found[0], found[-1] + 1))
    texts = page.evaluate("[...document.querySelectorAll('[data-log-lines] .ln')].map((line) => line.lastChild.textContent)")
    said = [int(text.split()[1]) for text in texts if re.fullmatch(r"line \d+", text)]
    assert said == list(range(said[0], 401))


def test_the_log_is_searched_linked_and_wrapped(page: Page) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; echo 'WARNING: the end is near'"
    run = launch(page, pipeline("long", {"talk": script}))
    page.goto(f"/runs/{run}/")
    expect(page).to_have_title(re.compile("^Succeeded"), timeout=PATIENCE)
    page.goto(f"/runs/{run}/?task=root/talk&tab=log")
    expect(page.locator("[data-log-lines]")).to_contain_text("the end is near")
    page.get_by_label("Search the log").fill("line 1234")
    expect(page.locator("[data-log-hits]")).to_have_text("1 of 1")
    row = page.locator(".ln", has_text=re.compile("line 1234$"))
    expect(row.locator("mark.cur")).to_be_in_viewport()
    row.locator("a").click()
    expect(page).to_have_url(re.compile(r"#L\d+$"))
    page.reload()
    expect(page.locator(".ln.at")).to_contain_text("line 1234")
    expect(page.locator(".ln.at")).to_be_in_viewport()
    page.locator('[data-level="warning"]').click()
    expect(page.locator(".ln")).to_have_count(1)
    page.locator('[data-level=""]').click()
    page.locator(".log").focus()
    page.keyboard.press("w")
    expect(page.locator(".log")).to_have_class(re.compile("wrap"))


def test_views_tabs_and_steps_are_in_the_address_and_back_works(page: Page) -> None:
    run = launch(page, pipeline("short", {"first": "echo hello", "second": "true"}, {"second": ["first"]}))
    page.goto(f"/runs/{run}/")
    expect(page).to_have_title(re.compile("^Succeeded"), timeout=PATIENCE)
    page.keyboard.press("t")
    expect(page.locator("#left tr[data-row]")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#panel h2")).to_have_text("first")
    page.keyboard.press("l")
    expect(page.locator("[data-log-lines]")).to_contain_text("hello")
    page.keyboard.press("i")
    expect(page.locator('#left [data-view="timeline"]')).to_be_visible()
    assert "view=timeline" in page.url and "task=root/first" in page.url.replace("%2F", "/") and "tab=log" in page.url
    page.go_back()
    expect(page.locator('#left [data-view="table"]')).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#panel h2")).to_have_text("watched")
    page.keyboard.press("g")
    page.locator(f'{GRAPH}[data-name="second"]').click()
    expect(page.locator("#panel h2")).to_have_text("second")
    expect(page.locator(f'{GRAPH}[data-name="second"]')).to_have_attribute("aria-current", "true")
    page.locator(f'{GRAPH}[data-name="second"]').focus()
    page.keyboard.press("ArrowUp")
    expect(page.locator(f'{GRAPH}[data-name="first"]')).to_be_focused()


def test_a_skipped_branch_says_why(page: Page) -> None:
    text = pipeline(
        "branch", {"first": "true", "deploy": "true"}, {"deploy": ["first"]}, deploy="inputs.parameter_values['wanted'] == 'yes'"
    )
    run = launch(page, text)
    page.goto(f"/runs/{run}/")
    node = page.locator(f'{GRAPH}[data-kind="condition"]')
    expect(node).to_have_attribute("data-state", "SKIPPED", timeout=PATIENCE)
    expect(node).to_contain_text("if wanted = 'yes'")
    expect(node).to_contain_text("not taken: wanted is")
    node.locator("[data-unfold]").click()
    expect(page.locator(f'{GRAPH}[data-path="root/deploy/deploy"]')).to_have_attribute("data-state", "SKIPPED")


def test_a_run_is_stopped_after_a_question(page: Page) -> None:
    run = launch(page, pipeline("slow", {"sleep": "sleep 60", "later": "true"}, {"later": ["sleep"]}))
    page.goto(f"/runs/{run}/")
    expect(page.locator(f'{GRAPH}[data-name="sleep"]')).to_have_attribute("data-state", "RUNNING", timeout=PATIENCE)
    page.get_by_role("button", name="Stop").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("1 step will not start")
    page.get_by_role("button", name="Stop the run").click()
    expect(page).to_have_title(re.compile("^Stopp"))
    expect(page).to_have_title(re.compile("^Stopped"), timeout=PATIENCE)


def test_the_page_finds_back_after_the_server_was_killed(chromium: Browser, installation: Installation) -> None:
    context = chromium.new_context(base_url=installation.address)
    page = context.new_page()
    run = launch(page, pipeline("long-lived", {"first": "sleep 4", "second": "true"}, {"second": ["first"]}))
    page.goto(f"/runs/{run}/")
    expect(page.locator("#live")).to_have_attribute("data-live", "live")
    os.kill(installation.parts()["web"], signal.SIGKILL)
    expect(page.locator(f'{GRAPH}[data-name="second"]')).to_have_attribute("data-state", "SUCCEEDED", timeout=PATIENCE)
    expect(page).to_have_title(re.compile("^Succeeded"))
    context.close()


@pytest.fixture(scope="module")
def module(chromium: Browser, installation: Installation) -> Any:
    """`run-state.js`, as a function that evaluates an expression with its exports as `it`."""
    page = chromium.new_page(base_url=installation.address)
    page.goto("/runs/")
    yield lambda body: page.evaluate(f"async () => {{ const it = await import('/static/js/run-state.js'); {body} }}")
    page.close()


SNAPSHOT = """const snapshot = { type: "snapshot", number: 5, run: { state: "RUNNING" }, tasks: [
  { path: "root", kind: "dag", state: "RUNNING", children: 1 }, { path: "root/a", kind: "container", state: "RUNNING" }] };
const change = (number, previous, state) => ({ type: "changed", number, previous, run: { state: "RUNNING" },
  tasks: [{ path: "root/a", kind: "container", state }] });
const start = it.reduce(it.NOTHING, snapshot).state;"""


def test_the_page_state_takes_messages_in_order_and_asks_again_where_one_is_missing(module: Any) -> None:
    assert module(f"{SNAPSHOT} return it.reduce(start, change(6, 5, 'SUCCEEDED')).changed;") == ["root/a"]
    assert module(f"{SNAPSHOT} return it.reduce(start, change(9, 8, 'SUCCEEDED')).resync;") is True
    assert module(f"{SNAPSHOT} return it.reduce(it.NOTHING, change(1, 0, 'RUNNING')).resync;") is True


def test_the_page_state_ignores_what_it_has_already(module: Any) -> None:
    assert module(f"{SNAPSHOT} return it.reduce(start, change(4, 3, 'PENDING')).changed;") == []
    assert module(f"{SNAPSHOT} return it.reduce(start, change(5, 4, 'PENDING')).changed;") == []
    assert module(f"{SNAPSHOT} return it.reduce(start, {{ ...snapshot, number: 3 }}).state.number;") == 5


def test_the_page_state_takes_a_merged_message_that_begins_before_its_snapshot(module: Any) -> None:
    assert module(f"{SNAPSHOT} return it.reduce(start, change(7, 3, 'SUCCEEDED')).state.tasks.get('root/a').state;") == "SUCCEEDED"


def test_counts_leave_groups_out_and_a_mark_shows_the_worst(module: Any) -> None:
    assert module(f"{SNAPSHOT} return [...it.counts(start)];") == [["RUNNING", 1]]
    tasks = "[0, 1, 2].map((i) => ({ path: `root/l[${i}]`, kind: 'dag', state: ['SUCCEEDED', 'FAILED', 'RUNNING'][i] }))"
    body = f"const {{ state }} = it.reduce(it.NOTHING, {{ type: 'snapshot', number: 1, run: {{}}, tasks: {tasks} }});"
    assert module(f"{body} return it.worst(state, 'root/l', 0, 4).state;") == "FAILED"
    assert module(f"{body} return it.worst(state, 'root/l', 2, 2).state;") == "RUNNING"
