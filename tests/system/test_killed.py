"""A part of a real installation is killed: the page System names it, and is well again when it was started again."""

from __future__ import annotations

import os
import pathlib
import signal
import urllib.request

import pytest

from tests.running import Installation, wait_for

pytestmark = pytest.mark.redis


def test_a_part_that_was_killed_is_named_within_seconds_and_started_again(tmp_path: pathlib.Path) -> None:
    with Installation(tmp_path / "data", KFDASH_EXECUTOR="fake") as kfdash:
        before = kfdash.parts()

        def page() -> str:
            with urllib.request.urlopen(f"{kfdash.address.rstrip('/')}/system/", timeout=20) as answer:
                text: str = answer.read().decode()
                return text

        [name] = [name for name in before if name.endswith("io")]
        assert "started again" not in page()
        os.kill(before[name], signal.SIGKILL)
        assert wait_for(lambda: "started again" in page(), 10), page()
        # Named as gone first; then, for a minute, as one that was started again.
        assert wait_for(lambda: "and was started again" in page(), 20), page()
        assert wait_for(lambda: kfdash.parts().get(name, before[name]) != before[name], 20)
