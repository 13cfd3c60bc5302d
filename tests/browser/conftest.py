"""A whole installation, a Chromium, and pages that fail the test when anything is wrong on them."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.running import Installation

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LEFT = "WebSocket is closed before the connection is established"  # the page was left at once: no fault of its own
SIZES = {"wide": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks everything here, so that `-m "not browser"` leaves it out."""
    for item in items:
        if pathlib.Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`kfdash up` with its local executor; stopped when all journeys are done."""
    with Installation(tmp_path_factory.mktemp("browser") / "data") as running:
        yield running


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The browser: KFDASH_CHROMIUM, else the first on PATH. Without one the journeys are skipped.

    It is closed before tests of other folders run: its event loop in this thread would keep them from the database.
    """
    program = os.environ.get("KFDASH_CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), None)
    if not program:
        pytest.skip("There is no Chromium here; name one in KFDASH_CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, installation: Installation) -> Iterator[Callable[..., Page]]:
    """Opens pages: `open_page("phone", "dark")`. When the test ends, errors in their consoles fail it."""
    errors: list[str] = []
    contexts: list[BrowserContext] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and LEFT not in message.text:
            errors.append(f"{message.location.get('url', '')}: {message.text}")

    def new(size: str = "wide", theme: str = "light") -> Page:
        context = chromium.new_context(viewport=SIZES[size], color_scheme=theme, base_url=installation.address)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", listen)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield new
    for context in contexts:
        context.close()
    assert not errors, "\n".join(errors)


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """A wide, light page of its own browser profile."""
    return open_page()
