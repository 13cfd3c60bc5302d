"""A step's output becomes the same lines in a pod as on a machine, however it arrives and whenever."""

from __future__ import annotations

import pathlib
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runs.executors.local.host.framing import Framer
from tests.launcher.conftest import SOURCES, compiled

PIECES = st.sampled_from(
    [
        b"\r",
        b"\r",
        b"\r\n",
        b"\n",
        b"10%",
        b"100%",
        b"a",
        b" ",
        b"\0",
        b"\xc3",
        b"\xbc",
        b"\xf0\x9f\x98\x80",
        b"\xe2\x82",
        b"x" * 65_535,
    ]
)
READS = st.lists(st.tuples(st.integers(0, 1_500_000), st.lists(PIECES, max_size=6).map(b"".join)), max_size=8)  # µs since the last


@pytest.fixture(scope="session")
def framing_program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The part of `entry` that makes lines, by itself."""
    own = pathlib.Path(__file__).parent / "framing.c"
    return compiled(
        tmp_path_factory.mktemp("framing") / "framing", own, SOURCES / "framing.c", SOURCES / "volume.c", SOURCES / "files.c"
    )


@settings(max_examples=150, deadline=None)
@given(reads=READS)
@example(reads=[(0, b"10%\r"), (0, b"20%\r"), (0, b"\n\n")])
@example(reads=[(0, b"10%\r20%\r"), (2_000_000, b"30%\r"), (0, b"")])
@example(reads=[(0, b"\xff" * 70_000)])
def test_lines_are_the_same_in_a_pod_and_on_a_machine(framing_program: pathlib.Path, reads: list[tuple[int, bytes]]) -> None:
    framer, at, told, expected = Framer("o"), 0, b"", b""
    for later, data in reads:
        at += later
        told += b"%d %d\n%s" % (at, len(data), data)
        expected += framer.feed(data, at)[0]
    expected += framer.finish(at)[0]
    assert subprocess.run([framing_program], input=told, capture_output=True, check=True).stdout == expected
