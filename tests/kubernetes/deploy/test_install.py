"""kfdash from deploy/ on a real cluster: installed, used through a browser, updated in the middle of a run, and gone."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kfp import compiler
from kfp.client import Client
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.conftest import FLAGS, NAMES
from tests.kubernetes.deploy.chain import chain
from tests.kubernetes.deploy.forwarding import forwarded
from tests.kubernetes.deploy.installed import DEPLOYMENTS, STAND_INS, Installed, objects
from tests.kubernetes.gallery.exhibits import Exhibit
from tests.running import wait_for

pytestmark = pytest.mark.kubernetes
Json = Any
_WITHIN = 300.0  # seconds for what takes some tens where nothing else runs
_MAKE_TOKEN = """
from django.contrib.auth import get_user_model
from access.services import make_token
from kfdash.rights import Right
admin = get_user_model().objects.get(username="admin")
print("TOKEN", make_token(admin, name="test", right=Right.RUN, expires_at=None, by="test"))
"""
_ATTEMPTS = """
import json
from runs.models import Attempt
print("ATTEMPTS", json.dumps(list(Attempt.objects.filter(run="{run}").values_list("path", "number"))))
"""


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """An installation of the whole of deploy/overlays/start."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("There is no KUBECONFIG.")
    one = Installed()
    if one.bare and not STAND_INS:
        pytest.skip("KFDASH_TEST_STAND_INS names no image that stands in for PostgreSQL and Redis.")
    before = cluster_wide()
    try:
        one.install(_WITHIN)
        yield one
    finally:
        one.uninstall()
    assert one.namespace not in {each["metadata"]["name"] for each in objects("namespaces")}
    assert cluster_wide() <= before


def cluster_wide() -> set[str]:
    """What of kfdash there is outside of namespaces."""
    kinds = ("clusterroles", "clusterrolebindings", "priorityclasses", "customresourcedefinitions")
    return {f"{kind}/{one['metadata']['name']}" for kind in kinds for one in objects(kind) if "kfdash" in one["metadata"]["name"]}


def asked(installed: Installed, program: str, word: str) -> str:
    """What a program in Django's shell prints after a word."""
    said = installed("exec", "deployment/kfdash-web", "-c", "web", "--", "kfdash", "manage", "shell", "-v0", "-c", program)
    return next(line.removeprefix(f"{word} ") for line in said.splitlines() if line.startswith(f"{word} "))


@pytest.fixture(scope="module")
def client(installed: Installed) -> Iterator[Client]:
    """kfp's own client, with a token, by a way that is taken up again where it breaks off."""
    with forwarded(installed.namespace) as address:
        yield Client(host=address, existing_token=asked(installed, _MAKE_TOKEN, "TOKEN"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The compiled chain."""
    file = tmp_path_factory.mktemp("package") / "chain.yaml"
    compiler.Compiler().compile(chain, str(file))
    return str(file)


def state(client: Client, run: str) -> str:
    """Of a run; empty while the way to the server is broken."""
    try:
        return str(client.get_run(run).state)
    except Exception:  # whatever a connection that broke off becomes on its way through the client
        return ""


def begun(client: Client, run: str) -> int:
    """How many of its steps have ended well."""
    try:
        tasks = client.get_run(run).run_details.task_details
    except Exception:
        return 0
    return sum(task.state == "SUCCEEDED" for task in tasks or ())


def test_a_pipeline_is_uploaded_launched_and_watched_in_the_browser(installed: Installed, package: str) -> None:
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("There is no Chromium here.")
    with forwarded(installed.namespace) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page: Page = browser.new_page()
        page.goto(f"{address}/")
        page.fill("input[name=username]", installed.secret("kfdash-admin", "KFDASH_ADMIN_USER"))
        page.fill("input[name=password]", installed.secret("kfdash-admin", "KFDASH_ADMIN_PASSWORD"))
        page.press("input[name=password]", "Enter")
        page.wait_for_url(f"{address}/")
        page.goto(f"{address}/pipelines/")
        page.set_input_files("input[type=file]", package)
        page.wait_for_url("**/pipelines/*/**")
        page.get_by_role("link", name="Launch").or_(page.get_by_role("button", name="Launch")).first.click()
        page.get_by_role("button", name="Launch").last.click()
        page.wait_for_url("**/runs/*/")
        expect(page).to_have_title(re.compile("^Succeeded"), timeout=_WITHIN * 1000)
        browser.close()


def test_pods_come_in_by_their_service_account(installed: Installed) -> None:
    said = installed.asked_by_pods(["runner", "watcher", "stranger"])
    for one in said.values():
        assert one["with the cluster's token"][0] == one["with a token that was changed"][0] == one["without a token"][0] == 401
        assert "another audience (pipelines.kubeflow.org)" in one["with the cluster's token"][1]
    statuses = {account: (one["reads"][0], one["makes"][0]) for account, one in said.items()}
    assert statuses == {"runner": (200, 200), "watcher": (200, 403), "stranger": (401, 401)}
    assert f"{installed.namespace}/stranger has no right" in said["stranger"]["reads"][1]


def test_a_step_that_would_be_root_is_refused_by_a_restricted_namespace(client: Client, tmp_path: pathlib.Path) -> None:
    root = Exhibit("", command=("id", "-u"), platform={"securityContext": {"runAsUser": "0"}}).package("root")
    (tmp_path / "root.yaml").write_text(yaml.safe_dump_all([root["pipeline_spec"], root["platform_spec"]]))
    run = client.create_run_from_pipeline_package(str(tmp_path / "root.yaml")).run_id
    assert wait_for(lambda: state(client, run) == "FAILED", _WITHIN)
    details = client.get_run(run).run_details.task_details
    said = " ".join(str(task.error.message) for task in details if task.error)
    assert "Refused by the namespace: the pod breaks its security standard 'restricted' (runAsUser=0)." in said
    assert "Set the step's security context" in said


def test_a_rolling_restart_in_the_middle_of_a_run_loses_nothing(installed: Installed, client: Client, package: str) -> None:
    run = client.create_run_from_pipeline_package(package, enable_caching=False).run_id
    assert wait_for(lambda: begun(client, run) >= 2, _WITHIN)
    for name in DEPLOYMENTS:
        installed("rollout", "restart", f"deployment/{name}")
    assert wait_for(lambda: state(client, run) in ("SUCCEEDED", "FAILED"), _WITHIN)
    assert state(client, run) == "SUCCEEDED"
    installed.wait(_WITHIN)
    attempts: Json = json.loads(asked(installed, _ATTEMPTS.format(run=run), "ATTEMPTS"))
    assert len(attempts) == 12
    assert {number for _, number in attempts} == {1}, "no step was done twice"
