"""Time travel: back to the moment of a failure by slider, key and link, while what happens now leaves the page alone."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.test_run_page import GRAPH, PATIENCE, launch, pipeline


def node(page: Page, name: str):
    return page.locator(f'{GRAPH}[data-name="{name}"]')


def test_one_travels_to_the_moment_of_a_failure_and_sends_the_link(page: Page) -> None:
    steps = {"load": "true", "train": "echo about to break; sleep 1; exit 3", "report": "true"}
    run = launch(page, pipeline("breaks", steps, {"train": ["load"], "report": ["train"]}))
    page.goto(f"/runs/{run}/")
    expect(page).to_have_title(re.compile("^Failed"), timeout=PATIENCE)
    page.goto(f"/runs/{run}/?task=root&tab=events")
    event = page.locator(".events li", has_text="task.failed").filter(has_text="train failed")
    event.locator("[data-go=moment]").click()
    expect(page.locator("[data-travel] .told")).to_contain_text("train failed: Exit code 3")
    expect(page).to_have_url(re.compile(r"at=\d+"))
    expect(node(page, "train")).to_have_attribute("data-state", "FAILED")
    expect(node(page, "report")).to_have_attribute("data-state", "PENDING")
    expect(page.locator(".runhead .badge")).to_have_text("Running")
    page.keyboard.press(",")
    page.keyboard.press(",")
    expect(page.locator("[data-travel] .told")).to_contain_text("train began")
    expect(node(page, "train")).to_have_attribute("data-state", "RUNNING")
    expect(page).to_have_title(re.compile("^Running"))
    page.goto(page.url)
    expect(node(page, "train")).to_have_attribute("data-state", "RUNNING")
    expect(node(page, "report")).to_have_attribute("data-state", "PENDING")
    page.get_by_role("slider", name="Event").fill("1")
    expect(page.locator("[data-travel] .told")).to_contain_text("The run began")
    expect(node(page, "load")).to_have_attribute("data-state", "PENDING")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("[data-position]")).to_have_text(re.compile("^2 of"))
    page.get_by_role("link", name="Back to now").click()
    expect(page.locator("[data-travel]")).to_have_count(0)
    expect(node(page, "train")).to_have_attribute("data-state", "FAILED")
    expect(node(page, "report")).to_have_attribute("data-state", "SKIPPED")
    expect(page).to_have_title(re.compile("^Failed"))
    assert "at=" not in page.url


def test_what_happens_now_leaves_a_page_of_the_past_alone_and_is_there_on_the_way_back(page: Page) -> None:
    run = launch(page, pipeline("goes-on", {"first": "sleep 3", "second": "true"}, {"second": ["first"]}))
    page.goto(f"/runs/{run}/")
    expect(node(page, "first")).to_have_attribute("data-state", "RUNNING", timeout=PATIENCE)
    page.keyboard.press(",")
    expect(page.locator("[data-travel] .told")).to_contain_text("first began")
    page.keyboard.press(",")
    expect(node(page, "first")).to_have_attribute("data-state", "PENDING")
    page.wait_for_timeout(4000)
    expect(node(page, "first")).to_have_attribute("data-state", "PENDING")
    expect(page).to_have_title(re.compile("^Running"))
    page.get_by_role("link", name="Back to now").click()
    expect(node(page, "second")).to_have_attribute("data-state", "SUCCEEDED", timeout=PATIENCE)
    expect(page).to_have_title(re.compile("^Succeeded"))


def test_a_run_is_played_from_its_begin_in_every_view(page: Page) -> None:
    run = launch(page, pipeline("played", {"first": "true", "second": "true"}, {"second": ["first"]}))
    page.goto(f"/runs/{run}/?view=timeline")
    expect(page).to_have_title(re.compile("^Succeeded"), timeout=PATIENCE)
    page.goto(f"/runs/{run}/?view=timeline&at=1")
    row = page.locator('#left tr[data-path="root/second"]')
    expect(row).to_have_attribute("data-state", "PENDING")
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(row).to_have_attribute("data-state", "SUCCEEDED", timeout=PATIENCE)
    expect(page.get_by_role("button", name="Play")).to_be_visible(timeout=PATIENCE)
    page.keyboard.press("p")
    expect(row).to_have_attribute("data-critical", "")
    page.keyboard.press("g")
    expect(node(page, "second")).to_have_attribute("data-state", "SUCCEEDED")
    page.go_back()
    expect(row).to_have_attribute("data-critical", "")
