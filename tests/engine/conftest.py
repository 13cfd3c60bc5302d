"""After every test, the invariants are checked of every world it made."""

from collections.abc import Iterator

import pytest

from tests.engine import world


@pytest.fixture(autouse=True)
def _invariants_hold() -> Iterator[None]:
    world.WORLDS.clear()
    yield
    for one in world.WORLDS:
        one.check()
    world.WORLDS.clear()
