"""From a file to a run, and through the lists, as a person does it."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pipelines.samples import SAMPLES, read_sample
from tests.django.documents import chain
from tests.running import Installation

RUN_PAGE = re.compile(r"/runs/[\w-]{36}/")
VERSION_PAGE = re.compile(r"/versions/[\w-]{36}/")
LAUNCH_PAGE = re.compile(r"/launch/")


@pytest.fixture
def hello(tmp_path: pathlib.Path) -> pathlib.Path:
    """The smallest sample, as a file."""
    data, name = read_sample("hello")
    path = tmp_path / name
    path.write_bytes(data)
    return path


def _choose(page: Page, path: pathlib.Path) -> None:
    page.set_input_files("form[data-upload] input[type=file]", path)


def _drop(page: Page, name: str, text: str) -> None:
    """What the browser does when a file is let go over the page."""
    transfer = page.evaluate_handle(
        "([name, text]) => { const files = new DataTransfer(); files.items.add(new File([text], name)); return files; }",
        [name, text],
    )
    page.dispatch_event("body", "dragenter", {"dataTransfer": transfer})
    expect(page.locator("#drop-veil")).to_be_visible()
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})


def _launch(page: Page, hello: pathlib.Path, name: str) -> None:
    page.goto("/pipelines/")
    _choose(page, hello)
    page.wait_for_url(VERSION_PAGE)
    page.get_by_role("link", name="Launch").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.wait_for_load_state()  # keys are heard from then on
    page.keyboard.press("Control+Enter")
    page.wait_for_url(RUN_PAGE)


def test_a_file_becomes_a_pipeline_a_form_and_a_run_that_turns_green_by_itself(page: Page, hello: pathlib.Path) -> None:
    page.goto("/")
    _choose(page, hello)
    page.wait_for_url(VERSION_PAGE)
    expect(page.locator(".graph .node")).to_have_count(1)
    expect(page.locator("#panel")).to_contain_text("def greet")
    page.get_by_role("link", name="Launch").click()
    page.locator("[id='input.name']").fill("browser")
    page.get_by_label("Experiment", exact=True).select_option("new")
    page.get_by_label("Name of the new experiment").fill("journeys")
    page.get_by_label("Tags").fill("from=browser")
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url(RUN_PAGE)
    page.goto("/runs/?q=tag:from=browser")
    row = page.locator("tr[data-run]")
    expect(row).to_have_attribute("data-state", "SUCCEEDED", timeout=60_000)  # an environment may have to be made
    expect(row).to_contain_text("journeys")
    expect(page.locator("#live")).to_have_attribute("data-live", "live")


def test_a_file_dropped_anywhere_is_uploaded_and_a_bad_one_is_explained(page: Page) -> None:
    document = json.loads(chain(2))
    document["root"]["dag"]["tasks"]["s1"]["componentRef"]["name"] = "comp-gone"
    page.goto("/pipelines/")
    _drop(page, "broken.json", json.dumps(document, indent=1))
    expect(page.get_by_role("alert")).to_contain_text("broken.json was not taken")
    expect(page.locator("tr[data-row]").first).to_contain_text("comp-gone")
    _drop(page, "chain.json", chain(2))
    page.wait_for_url(VERSION_PAGE)
    expect(page.locator(".toast")).to_contain_text("chain is uploaded")


def test_a_step_opens_beside_the_graph_and_going_back_closes_it(page: Page) -> None:
    page.goto("/pipelines/")
    _drop(page, "steps.json", chain(3).replace('"name": "chain"', '"name": "steps"'))
    page.wait_for_url(VERSION_PAGE)
    expect(page.locator("#panel h2")).to_have_text("s0")
    page.locator('.graph .node[data-path="root/s2"]').click()
    expect(page.locator("#panel h2")).to_have_text("s2")
    expect(page).to_have_url(re.compile("task=root%2Fs2"))
    page.go_back()
    expect(page.locator("#panel h2")).to_have_text("s0")


def test_the_form_keeps_what_was_typed_and_says_what_has_to_change(page: Page) -> None:
    page.goto("/pipelines/")
    sample = next(sample for sample in SAMPLES if sample.key == "training")
    _drop(page, "training.yaml", read_sample(sample.key)[0].decode())
    page.wait_for_url(VERSION_PAGE)
    page.get_by_role("link", name="Launch").click()
    page.wait_for_url(LAUNCH_PAGE)
    accuracy, candidates = page.locator("[id='input.required_accuracy']"), page.locator("[id='input.candidates']")
    accuracy.fill("0,9")
    candidates.fill('[{"kind": "logistic",}]')
    expect(page.locator("[id='input.candidates-error']")).to_contain_text("Not JSON yet")
    page.reload()
    expect(accuracy).to_have_value("0,9")
    page.get_by_role("button", name="Launch").click()
    expect(page.locator("[data-summary]")).to_contain_text("2 inputs need a change: candidates, required_accuracy")
    expect(candidates).to_be_focused()
    page.get_by_role("button", name="Use 0.9").click()
    expect(accuracy).to_have_value("0.9")
    expect(page.locator("[data-summary]")).to_contain_text("1 input needs a change: candidates")


def test_runs_are_filtered_selected_archived_and_brought_back_from_the_keyboard(page: Page, hello: pathlib.Path) -> None:
    _launch(page, hello, "keyboard")
    page.goto("/runs/")
    page.keyboard.press("/")
    page.keyboard.type("name:keyboard ")
    expect(page.locator(".token")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"q=name%3Akeyboard"))
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#bulk")).to_contain_text("1 selected")
    page.get_by_role("button", name="Archive").click()
    expect(page.locator(".toast")).to_contain_text("1 run archived")
    expect(page.locator("#runs")).to_contain_text("No run matches")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("tr[data-run]")).to_have_count(1)
    page.go_back()
    expect(page.locator(".token")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()


def test_a_deletion_asks_and_says_how_much_goes(page: Page, hello: pathlib.Path) -> None:
    _launch(page, hello, "gone-soon")
    page.goto("/runs/?q=name:gone-soon")
    page.locator("tbody input[type=checkbox]").check()
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete gone-soon")
    dialog.get_by_role("button", name="Keep").click()
    expect(page.locator("tr[data-run]")).to_have_count(1)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete gone-soon").click()
    expect(page.locator("#runs")).to_contain_text("No run matches")


def test_new_runs_wait_behind_a_count(page: Page, open_page: Callable[..., Page], hello: pathlib.Path) -> None:
    _launch(page, hello, "earlier")
    page.goto("/runs/")
    expect(page.locator("#live")).to_have_attribute("data-live", "live")
    before = page.locator("tr[data-run]").count()
    _launch(open_page(), hello, "later")
    expect(page.locator("#new-runs")).to_contain_text("show")
    assert page.locator("tr[data-run]").count() == before
    page.locator("#new-runs a").click()
    expect(page.locator("tr[data-run]").first).to_contain_text("later")


def test_links_that_the_sdk_prints_open_our_pages(page: Page, hello: pathlib.Path) -> None:
    _launch(page, hello, "linked")
    address = page.url
    run = address.rstrip("/").rpartition("/")[2].partition("?")[0]
    page.goto("about:blank")
    page.goto(f"/#/runs/details/{run}")
    page.wait_for_url(re.compile(f"/runs/{run}/"))


def test_the_theme_is_chosen_once(page: Page) -> None:
    page.goto("/")
    page.locator(".side [data-theme-toggle]").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto("/runs/")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 15, 18)"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "phone"])
def test_every_page_fits_its_width_in_both_themes(
    open_page: Callable[..., Page], installation: Installation, hello: pathlib.Path, size: str, theme: str, tmp_path: Any
) -> None:
    page = open_page(size, theme)
    page.goto("/pipelines/")
    _choose(page, hello)
    page.wait_for_url(VERSION_PAGE)
    version = page.url.removeprefix(installation.address).partition("?")[0]
    for address in ("/", "/runs/", "/pipelines/", "/experiments/", version, f"{version}?view=spec", f"{version}launch/"):
        page.goto(address)
        width = page.viewport_size["width"] if page.viewport_size else 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        small = page.evaluate(
            """() => [...document.querySelectorAll("a, button, select, input:not([type=file], [type=hidden])")]
              .filter((one) => one.checkVisibility() && one.closest("main, .tabbar"))
              .filter((one) => !one.closest(".sr, p, dd, svg"))
              .filter((one) => !one.matches(".sr, .name, .act, .copy, .check, .switch, [type=radio]"))
              .map((one) => [one.outerHTML.slice(0, 80), one.getBoundingClientRect().height])
              .filter(([, height]) => height < 18)"""
        )
        assert not small, (address, small)


def test_a_few_letters_lead_anywhere(page: Page, hello: pathlib.Path) -> None:
    _launch(page, hello, "far-away")
    page.goto("/experiments/")
    page.keyboard.press("Control+k")
    page.keyboard.type("far-aw")
    expect(page.locator(".goal").first).to_contain_text("far-away #")
    page.keyboard.press("Enter")
    page.wait_for_url(RUN_PAGE)
