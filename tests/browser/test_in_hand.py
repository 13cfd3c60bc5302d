"""A run in one's hands: again from a step with other arguments and a newer version, retried, its cache explained, paused."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.test_pages import LAUNCH_PAGE, VERSION_PAGE, _drop
from tests.browser.test_run_page import GRAPH, PATIENCE, launch, pipeline
from tests.running import Installation, wait_for


def graded(name: str, version: int, **inputs: Any) -> str:
    """load → train (takes `threshold`) → report, all to be cached; `inputs` are the pipeline's with their defaults. JSON text."""
    steps = {key: f"echo {key}" for key in ("load", "train", "report")}
    document = json.loads(pipeline(name, steps, {"train": ["load"], "report": ["train"]}))
    kinds = {str: "STRING", float: "NUMBER_DOUBLE"}
    document["root"]["inputDefinitions"] = {
        "parameters": {key: {"parameterType": kinds[type(value)], "defaultValue": value} for key, value in inputs.items()}
    }
    tasks = document["root"]["dag"]["tasks"]
    for task in tasks.values():
        task["cachingOptions"] = {"enableCache": True}
    tasks["train"]["inputs"] = {"parameters": {"threshold": {"componentInputParameter": "threshold"}}}
    document["components"]["comp-train"]["inputDefinitions"] = {"parameters": {"threshold": {"parameterType": "NUMBER_DOUBLE"}}}
    document["pipelineInfo"]["description"] = f"version {version}"
    return json.dumps(document)


def upload(page: Page, text: str) -> None:
    page.goto("/pipelines/")
    _drop(page, "graded.json", text)
    page.wait_for_url(VERSION_PAGE)


def launched_from_form(page: Page, **values: str) -> str:
    """The address of a run that the form launched, once it has succeeded."""
    if not page.locator("form#launch").count():
        page.get_by_role("link", name="Launch", exact=True).click()
        page.wait_for_url(LAUNCH_PAGE)
    for key, value in values.items():
        page.locator(f"[id='input.{key}']").fill(value)
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url(re.compile(r"/runs/[\w-]{36}/(\?|$)"))
    expect(page).to_have_title(re.compile("^Succeeded"), timeout=PATIENCE)
    return page.url.partition("?")[0]


def node(page: Page, name: str) -> Any:
    return page.locator(f'{GRAPH}[data-name="{name}"]')


def test_a_run_goes_again_from_a_step_with_the_newest_version_and_another_argument(page: Page) -> None:
    upload(page, graded("again", 1, threshold=0.5, old="x"))
    first = launched_from_form(page)
    upload(page, graded("again", 2, threshold=0.5, fresh="y"))
    page.goto(f"{first}?task=root/train")
    page.get_by_role("link", name="Run from here…").first.click()
    expect(page.get_by_role("heading", name="Run again")).to_be_visible()
    page.get_by_role("link", name=re.compile("newest")).click()
    expect(page.locator("form.form")).to_contain_text("v2 has no input old")
    expect(page.locator("form.form")).to_contain_text(re.compile(r"New since #\d+: fresh"))
    page.locator("[id='input.threshold']").fill("0.7")
    plan = page.locator("#plan .node")
    expect(page.locator('#plan .node[data-name="load"]')).to_have_attribute("data-cached", "")
    for name in ("train", "report"):
        expect(page.locator(f'#plan .node[data-name="{name}"]')).to_have_attribute("data-do", "run")
    expect(plan).to_have_count(3)
    second = launched_from_form(page)
    assert second != first
    page.goto(f"{second}?task=root/load")
    expect(node(page, "load")).to_have_attribute("data-cached", "")
    expect(node(page, "train")).not_to_have_attribute("data-cached", "")
    page.locator(f'#panel a[href*="{first.split("/runs/")[1].strip("/")}"]').first.click()
    expect(page).to_have_url(re.compile(first.split("/runs/")[1]))
    expect(page.locator("#panel h2")).to_have_text("load")
    page.locator("#panel summary", has_text="Used by").click()
    page.locator("#panel .users a").click()
    expect(page).to_have_url(re.compile(second.split("/runs/")[1]))


def test_a_step_that_was_not_answered_from_the_cache_says_what_differs(page: Page) -> None:
    upload(page, graded("missed", 1, threshold=0.5))
    launched_from_form(page)
    upload(page, graded("missed", 1, threshold=0.5))
    second = launched_from_form(page, threshold="0.6")
    page.goto(f"{second}?task=root/train")
    expect(node(page, "load")).to_have_attribute("data-cached", "")
    expect(page.locator("#panel")).to_contain_text("threshold 0.5 → 0.6")
    page.locator("#panel summary", has_text="Compare with").click()
    expect(page.locator(".differs td code.was")).to_have_text("0.5")
    page.goto("/cache/?pipeline=missed")
    expect(page.locator("tr[data-row]")).to_have_count(4)


def test_a_run_that_failed_is_retried_in_place_and_what_succeeded_stays(page: Page, tmp_path: pathlib.Path) -> None:
    marker, mended = tmp_path / "marker", tmp_path / "mended"
    steps = {"once": f"echo x >> {marker}", "fragile": f"test -f {mended}", "later": "true"}
    run = launch(page, pipeline("mended", steps, {"fragile": ["once"], "later": ["fragile"]}))
    page.goto(f"/runs/{run}/")
    expect(page).to_have_title(re.compile("^Failed"), timeout=PATIENCE)
    mended.touch()
    page.get_by_role("button", name="Retry in place").first.click()
    expect(page.locator(".toast")).to_contain_text("goes on where it ended")
    expect(page).to_have_title(re.compile("^Succeeded"), timeout=PATIENCE)
    expect(node(page, "later")).to_have_attribute("data-state", "SUCCEEDED")
    assert marker.read_text() == "x\n"
    page.goto(f"/runs/{run}/?task=root/fragile")
    expect(page.locator("#panel summary", has_text="Attempt 2 of 2")).to_be_visible()


def test_a_paused_run_is_still_paused_after_everything_was_killed_and_goes_on_when_resumed(
    page: Page, installation: Installation, tmp_path: pathlib.Path
) -> None:
    go = tmp_path / "go"
    waits = f"while ! test -f {go}; do sleep 0.1; done"
    run = launch(page, pipeline("held", {"first": waits, "second": "true"}, {"second": ["first"]}))
    page.goto(f"/runs/{run}/")
    expect(node(page, "first")).to_have_attribute("data-state", "RUNNING", timeout=PATIENCE)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".paused-notice")).to_contain_text("Paused.")
    before = installation.parts()
    page.goto("about:blank")
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: len(set(installation.parts().values()) - set(before.values())) == len(before))
    page.goto(f"/runs/{run}/")
    expect(page.locator(".paused-notice")).to_be_visible()
    expect(node(page, "second")).to_have_attribute("data-state", "PENDING")
    go.touch()
    page.get_by_role("button", name="Resume").click()
    expect(node(page, "second")).to_have_attribute("data-state", "SUCCEEDED", timeout=PATIENCE)
    expect(page).to_have_title(re.compile("^Succeeded"))


def test_several_runs_are_tagged_and_stopped_from_the_list(page: Page) -> None:
    for number in range(2):
        launch(page, pipeline(f"bulk-{number}", {"sleep": "sleep 60"}))
    page.goto("/runs/?q=state:active")
    expect(page.locator("tr[data-run]")).to_have_count(2)
    page.locator("[data-select-all]").check()
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_label("Add key=value").fill("nonsense")
    page.get_by_role("button", name="Save tags").click()
    expect(page.get_by_role("alert")).to_contain_text("a tag is key=value")
    page.get_by_label("Add key=value").fill("batch=seven")
    page.get_by_role("button", name="Save tags").click()
    expect(page.locator(".toast")).to_contain_text("Tags of 2 runs changed")
    page.goto("/runs/?q=tag:batch=seven")
    page.locator("[data-select-all]").check()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop 2 runs").click()
    expect(page.locator('tr[data-state="CANCELED"]')).to_have_count(2, timeout=PATIENCE)
