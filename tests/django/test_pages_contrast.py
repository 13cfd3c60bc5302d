"""Every pair of colours that carries text or a border can be told apart, in both themes: computed from the stylesheet."""

from __future__ import annotations

import pathlib
import re

import pytest

STYLES = pathlib.Path(__file__).resolve().parents[2] / "static" / "css"
THEMES = ("light", "dark")
GROUNDS = ("--bg", "--surface", "--raised", "--sunken", "--hover", "--selected")
STATES = ("pending", "running", "succeeded", "skipped", "failed", "canceling", "canceled", "cached", "attention")

TEXT = [(ink, ground) for ink in ("--ink", "--ink-2", "--ink-3", "--accent") for ground in GROUNDS]
TEXT += [(f"--st-{state}", f"--st-{state}-soft") for state in STATES]
TEXT += [(f"--st-{state}", ground) for state in STATES for ground in ("--surface", "--raised", "--hover")]
TEXT += [(ink, f"--st-{state}-soft") for state in ("failed", "attention") for ink in ("--ink", "--ink-2")]
TEXT += [
    ("--on-ink", "--ink"),
    ("--on-ink", "--accent"),
    ("--accent", "--accent-soft"),
    ("--ink", "--current"),
    ("--ink-2", "--track"),
]
TEXT += [(series, ground) for series in ("--c-a", "--c-b", "--c-c", "--better", "--worse") for ground in ("--surface", "--sunken")]
EDGES = [("--line-3", ground) for ground in ("--surface", "--raised", "--bg")]
EDGES += [("--accent", ground) for ground in ("--surface", "--raised", "--bg")]


def _tokens(theme: str) -> dict[str, str]:
    """Name → colour of a theme, as `#rrggbb`."""
    text = (STYLES / "tokens.css").read_text()
    pairs = re.findall(r"(--[\w-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)", text)
    return {name: light if theme == "light" else dark for name, light, dark in pairs}


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_text_reaches_four_and_a_half_to_one(theme: str) -> None:
    tokens = _tokens(theme)
    weak = {pair: round(ratio, 2) for pair in TEXT if (ratio := contrast(tokens[pair[0]], tokens[pair[1]])) < 4.5}
    assert not weak


@pytest.mark.parametrize("theme", THEMES)
def test_borders_that_must_be_seen_reach_three_to_one(theme: str) -> None:
    tokens = _tokens(theme)
    weak = {pair: round(ratio, 2) for pair in EDGES if (ratio := contrast(tokens[pair[0]], tokens[pair[1]])) < 3}
    assert not weak


def test_stylesheets_take_their_colours_from_tokens_that_exist() -> None:
    declared = set()
    used = {}
    for path in STYLES.glob("*.css"):
        text = path.read_text()
        declared |= set(re.findall(r"(?:^|[{;\s])(--[\w-]+):", text))
        used |= dict.fromkeys(re.findall(r"var\((--[\w-]+)\)", text), path.name)
    assert {name: where for name, where in used.items() if name not in declared} == {}
