"""An installation that people log in to: from the first administrator to a token that runs a sample, and closed to others."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from kfp.client import Client
from kfp_server_api import ApiException
from playwright.sync_api import Page, expect

from tests.conftest import REPOSITORY
from tests.running import Installation

NAME, PASSWORD = "root", "a long password 17"
HELLO = REPOSITORY / "pipelines" / "samples" / "hello.yaml"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`kfdash up` with accounts; nobody has one yet."""
    with Installation(tmp_path_factory.mktemp("people") / "data", KFDASH_AUTH="accounts") as running:
        yield running


@pytest.fixture(scope="module")
def administrator(installation: Installation) -> None:
    """The first account, made as the manual says."""
    own = {"KFDASH_DATA_DIR": str(installation.folder), "KFDASH_ADMIN_USER": NAME, "KFDASH_ADMIN_PASSWORD": PASSWORD}
    command = [sys.executable, "-P", "-m", "kfdash.cli", "createadmin"]
    done = subprocess.run(command, capture_output=True, text=True, env={**installation.environment, **own}, timeout=60)
    assert done.returncode == 0 and "may administer" in done.stdout, done.stdout + done.stderr


def log_in(page: Page) -> None:
    """Fills in the page that strangers are led to."""
    page.get_by_label("Name").fill(NAME)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def make_token(page: Page, name: str) -> str:
    """Makes a token on the page of the account; its text, which is shown this once."""
    page.goto("/account/")
    page.get_by_role("button", name="New token").click()
    page.get_by_label("What it is for").fill(name)
    page.get_by_role("button", name="Make it").click()
    shown = page.locator("#shown-once")
    expect(shown).to_have_text(re.compile(r"^kfdash_[\w-]{43}$"))
    return shown.inner_text()


def test_one_logs_in_makes_a_token_logs_out_and_finds_the_pages_closed(open_page: Callable[..., Page], administrator: None) -> None:
    page = open_page()
    page.goto("/runs/?q=one")
    expect(page).to_have_url(re.compile(r"/login/\?next="))
    log_in(page)
    expect(page).to_have_url(re.compile(r"/runs/\?q=one$"))
    text = make_token(page, "nightly")
    page.goto("/account/")
    expect(page.get_by_role("row").filter(has_text="nightly")).to_contain_text("run")
    assert text not in page.content()
    page.get_by_role("button", name="Log out", exact=True).first.click()
    expect(page).to_have_url(re.compile("/login/"))
    for address in ("/", "/account/", "/runs/", "/system/access/"):
        page.goto(address)
        expect(page).to_have_url(re.compile(r"/login/\?next="))
    page.go_back()
    expect(page.get_by_label("Password", exact=True)).to_be_visible()


def test_a_program_runs_a_sample_with_a_token_and_is_told_what_to_do_without_one(
    open_page: Callable[..., Page],
    installation: Installation,
    administrator: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    page = open_page()
    page.goto("/login/")
    log_in(page)
    expect(page).not_to_have_url(re.compile("/login/"))
    text = make_token(page, "training")
    with pytest.raises(ApiException) as refused:
        Client(host=installation.address).list_pipelines()
    assert refused.value.status == 401 and "made on the page Account" in refused.value.body
    client = Client(host=installation.address, existing_token=text)
    pipeline = client.upload_pipeline(str(HELLO), pipeline_name="hello")
    version = client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions[0]
    experiment = client.create_experiment("of a program")
    run = client.run_pipeline(
        experiment.experiment_id, "from a program", pipeline_id=pipeline.pipeline_id, version_id=version.pipeline_version_id
    )
    page.goto(f"/runs/{run.run_id}/")
    done = client.wait_for_run_completion(run.run_id, timeout=120, sleep_duration=1)
    assert done.state == "SUCCEEDED"
    expect(page).to_have_title(re.compile("^Succeeded"))  # the socket of the browser that is logged in told it
    page.goto("/system/access/?view=activity")
    expect(page.locator("main")).to_contain_text("launched")
    page.goto("/account/")
    page.get_by_role("button", name="Revoke training").click()
    expect(page.get_by_role("row").filter(has_text="training")).to_have_count(0)
    with pytest.raises(ApiException) as refused:
        client.list_pipelines()
    assert refused.value.status == 401 and "revoked" in refused.value.body
