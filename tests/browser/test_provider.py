"""A browser goes to an OpenID Connect provider of another origin and comes back logged in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.access.provider import Provider
from tests.running import Installation


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`kfdash up` whose people a provider knows."""
    with Provider() as provider:
        provider.claims = {"sub": "u-1", "preferred_username": "mary", "groups": ["data"]}
        asked = {"KFDASH_AUTH": "oidc", "KFDASH_OIDC_ISSUER": provider.issuer, "KFDASH_OIDC_CLIENT_ID": "kfdash"}
        folder = tmp_path_factory.mktemp("provider") / "data"
        with Installation(folder, KFDASH_GROUP_RIGHTS="data=run", **asked) as running:
            provider.client = running.address.rstrip("/")
            yield running


def test_the_button_leads_to_the_provider_and_back_to_the_page_that_was_wanted(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto("/runs/?q=one")
    page.get_by_role("button", name="Log in with").click()
    expect(page).to_have_url(re.compile(r"/runs/\?q=one$"))
    page.goto("/account/")
    expect(page.get_by_role("heading", name="mary")).to_be_visible()
