"""What a newcomer meets: text that keeps to its box, the keyboard alone, outputs that are found, forms that say what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.test_run_page import GRAPH, PATIENCE, launch, pipeline

LONG = "a-step-with-a-very-long-name-that-no-box-can-hold"
# How far each text of a drawing reaches beyond the box that it stands in, in points.
BEYOND = """nodes => nodes.flatMap(node => [...node.querySelectorAll('.nm, .sub')]
    .map(text => text.getBBox().x + text.getBBox().width - node.querySelector('.box').getBBox().width))"""


def outputs(name: str) -> str:
    """A pipeline whose step writes a table, a text and metrics. JSON text."""
    document: dict[str, Any] = json.loads(pipeline(name, {"make": "true"}))
    kinds = {"numbers": "system.Dataset", "notes": "system.Artifact", "report": "system.Markdown"}
    document["components"]["comp-make"]["outputDefinitions"] = {
        "artifacts": {key: {"artifactType": {"schemaTitle": kind, "schemaVersion": "0.0.1"}} for key, kind in kinds.items()}
    }
    place = "{{$.outputs.artifacts['%s'].path}}"
    script = 'printf "a,b\\n1,0.30000000000000004\\n2,x\\n" > "$0"; echo hello > "$1"; printf "# Title\\n\\n- one\\n" > "$2"'
    document["deploymentSpec"]["executors"]["exec-make"]["container"] |= {
        "command": ["sh", "-c", script],
        "args": [place % key for key in kinds],
    }
    return json.dumps(document)


def test_text_keeps_to_its_box_while_states_change(page: Page) -> None:
    run = launch(page, pipeline("long", {LONG: "sleep 1; exit 3"}))
    page.goto(f"/runs/{run}/")
    node = page.locator(f'{GRAPH}[data-name="{LONG}"]')
    expect(node.locator(".nm")).to_have_text(re.compile("^a-step-.*…$"))
    expect(node).to_have_attribute("data-state", "FAILED", timeout=PATIENCE)
    page.wait_for_timeout(200)
    assert max(page.eval_on_selector_all(GRAPH, BEYOND)) <= 0


def test_the_keyboard_alone_walks_a_graph_and_keeps_its_place_when_a_group_opens(page: Page) -> None:
    run = launch(
        page, pipeline("walked", {"one": "true", "two": "true"}, {"two": ["one"]}, two="inputs.parameter_values['wanted'] == 'yes'")
    )
    page.goto(f"/runs/{run}/")
    expect(page).to_have_title(re.compile("^Succeeded"), timeout=PATIENCE)
    assert page.eval_on_selector_all(".graph [tabindex='0']", "nodes => nodes.map(node => node.dataset.name)") == ["one"]
    page.locator(".graph [tabindex='0']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#panel h2")).to_have_text("two")
    page.keyboard.press("Enter")
    expect(page.locator(".graph .node.group")).to_have_count(1)
    expect(page.locator(".graph .node.group")).to_be_focused()


def test_a_step_is_found_among_those_that_are_folded_away(page: Page) -> None:
    run = launch(page, pipeline("sought", {"one": "true", "two": "true"}, None, two="inputs.parameter_values['wanted'] == 'no'"))
    page.goto(f"/runs/{run}/")
    expect(page).to_have_title(re.compile("^Succeeded"), timeout=PATIENCE)
    page.keyboard.press("/")
    page.keyboard.type("two")
    expect(page.locator("[data-find-count]")).to_have_text("1")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("task=root%2Ftwo%2Ftwo"))


def test_outputs_are_found_walked_through_and_downloaded_by_keys(page: Page) -> None:
    run = launch(page, outputs("made"))
    page.goto(f"/runs/{run}/?task=root/make&tab=io")
    expect(page).to_have_title(re.compile("^Succeeded"), timeout=PATIENCE)
    page.reload()
    page.locator(".io a", has_text="numbers").click()
    expect(page.locator("td.num", has_text="0.3")).to_have_count(0)  # a column with a word in it holds no numbers
    expect(page.locator("td.num")).to_have_text(["1", "2"])
    page.keyboard.press("/")
    page.keyboard.type("rep")
    expect(page.locator(".oitem:visible")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("article.md h1")).to_have_text("Title")
    page.keyboard.press("k")
    expect(page.locator(".oitem.cursor")).to_have_count(1)
    with page.expect_download() as download:
        page.keyboard.press("d")
    assert download.value.suggested_filename


def test_each_field_of_the_launch_form_says_what_is_wrong_with_it_however_fast_one_goes_on(page: Page, tmp_path: Any) -> None:
    document = json.loads(pipeline("fields", {"one": "true"}))
    document["root"]["inputDefinitions"] = {
        "parameters": {"count": {"parameterType": "NUMBER_INTEGER"}, "names": {"parameterType": "LIST"}}
    }
    file = tmp_path / "fields.json"
    file.write_text(json.dumps(document))
    page.goto("/pipelines/")
    page.set_input_files("form[data-upload] input[type=file]", file)
    page.get_by_role("link", name="Launch", exact=True).click()
    page.locator("[name='input.count']").fill("3.5")
    page.locator("[name='input.names']").fill("[1,")
    expect(page.locator("[data-summary]")).to_contain_text("2 inputs need a change: count, names")


def test_an_experiment_that_there_is_already_is_refused_beside_its_name(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto("/experiments/")
    for _ in range(2):
        page.get_by_role("button", name="New experiment").first.click()
        page.get_by_label("Name", exact=True).fill("twice")
        page.keyboard.press("Enter")
        if _ == 0:
            expect(page).to_have_url(re.compile(r"/experiments/[\w-]{36}/"))
            page.goto("/experiments/")
    expect(page.locator("dialog[open] #new-name-error")).to_contain_text("There is an experiment called 'twice' already")
    expect(page.get_by_label("Name", exact=True)).to_have_value("twice")
