"""One installation for the tests that leave it running; those that end it have their own."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator

import pytest

from tests.faults import stack
from tests.running import Installation


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes are looked for in /proc."""
    if sys.platform != "linux":
        for item in items:
            if pathlib.Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="looks for processes in /proc"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running installation; what it said all the time are sentences, and nothing is left of it."""
    with Installation(tmp_path_factory.mktemp("faults") / "data", KFDASH_STOP_GRACE="1") as installation:
        yield installation
    stack.check_what_it_said(installation)


@pytest.fixture
def marks(tmp_path: pathlib.Path) -> pathlib.Path:
    """Where steps leave their marks."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder
