"""A graph of hundreds of steps: boxes are filled when they are in sight, in the state that they have then."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.test_run_page import GRAPH, PATIENCE, launch, pipeline

STEPS = 320  # more than are drawn in full
BARE = "nodes => nodes.filter(node => !node.querySelector('text')).length"


def test_boxes_of_a_large_graph_have_their_text_and_state_once_they_are_in_sight(page: Page) -> None:
    names = [f"step-{number:03}" for number in range(STEPS)]
    after = {name: [names[number // 2 * 2 - 2]] for number, name in enumerate(names) if number > 1 and number % 40 > 1}
    run = launch(page, pipeline("wide", dict.fromkeys(names, "true") | {names[-1]: "exit 3"}, after))
    page.goto(f"/runs/{run}/")
    nodes = page.locator(GRAPH)
    expect(nodes).to_have_count(STEPS)
    assert 0 < nodes.evaluate_all(BARE) < STEPS
    last = page.locator(f'{GRAPH}[data-name="{names[-1]}"]')
    expect(page).to_have_title(re.compile("^Failed"), timeout=PATIENCE)
    expect(last).to_have_attribute("data-state", "FAILED")
    page.keyboard.press("/")
    page.keyboard.type(names[-1])
    page.keyboard.press("Enter")
    expect(last.locator(".nm")).to_have_text(names[-1])
    expect(last).to_contain_text("Exit code 3")
    assert last.locator(".si use").get_attribute("href") == "#st-FAILED"
    assert page.locator(f"{GRAPH}.dimmed").count() == STEPS - 1
    page.keyboard.press("Escape")
    far = nodes.evaluate_all("nodes => nodes.find(node => !node.querySelector('text')).id")
    page.locator(f"[id='{far}']").focus()
    expect(page.locator(f"[id='{far}'] .halo")).to_have_count(1)
    assert page.locator(f"[id='{far}'] .si use").get_attribute("href") == "#st-SUCCEEDED"
    expect(page.locator("[data-minimap] path.m[data-state=FAILED]")).to_have_count(1)
