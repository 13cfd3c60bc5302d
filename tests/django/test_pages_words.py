"""How pages say states, times, durations and sizes, and how strips are laid out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.template import Context, Template

from kfdash import words
from kfdash.strips import Mark, label_of, lay_out

NOW = datetime(2026, 3, 18, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0 ms"),
        (0.0213, "21 ms"),
        (0.096, "0.1 s"),
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (38, "38 s"),
        (59.7, "1 m 00 s"),
        (141, "2 m 21 s"),
    ]
    + [(4260, "1 h 11 m"), (86400 + 4 * 3600, "1 d 4 h"), (None, "–")],
)
def test_durations_are_as_exact_as_a_person_needs(seconds: float | None, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (timedelta(seconds=2), "just now"),
        (timedelta(seconds=20), "20 s ago"),
        (timedelta(minutes=14, seconds=50), "14 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(hours=26), "yesterday"),
        (timedelta(days=8), "8 days ago"),
        (timedelta(days=31), "15 Feb 2026"),
        (-timedelta(hours=4, minutes=16), "in 4 h"),
        (-timedelta(days=2, hours=1), "in 2 days"),
    ],
)
def test_times_are_relative_and_beyond_a_month_a_date(before: timedelta, said: str) -> None:
    assert words.ago(NOW - before, NOW) == said


def test_sizes_and_counts() -> None:
    sizes = [words.size(count) for count in (0, 999, 1000, 182_400, 4_000_000, None)]
    assert sizes == [
        "0 B",
        "999 B",
        "1.0 kB",
        "182 kB",
        "4.0 MB",
        "–",
    ]
    assert [words.counted(count, "step") for count in (0, 1, 1204)] == ["0 steps", "1 step", "1,204 steps"]
    assert words.counted(2, "entry", "entries") == "2 entries"


def test_each_state_has_a_word_and_a_mark_of_its_own() -> None:
    seen = [(state, attention, cached) for state in words.STATE_WORDS for attention, cached in ((False, False),)]
    seen += [("PENDING", True, False), ("SUCCEEDED", False, True)]
    said = [words.state_word(state, attention=attention, cached=cached) for state, attention, cached in seen]
    assert len(set(said)) == len(said) == 9
    assert words.state_word("CANCELED") == "Stopped"


def test_a_state_icon_says_its_word_and_escapes_nothing_into_the_page() -> None:
    html = Template("{% state_icon state %}{% state_badge state %}{% when at %}").render(Context({"state": 'X"><b>', "at": None}))
    assert "<b>" not in html
    assert html.endswith("–")


def test_a_strip_has_a_mark_for_each_step() -> None:
    strip = lay_out([Mark("SUCCEEDED"), Mark("FAILED"), Mark("PENDING")])
    assert [box.index for box in strip.boxes] == [0, 1, 1, 2]  # a failed mark is cut in two
    assert strip.label == "1 succeeded, 1 failed, 1 pending"
    assert max(box.x + box.width for box in strip.boxes) <= strip.width


@pytest.mark.parametrize("count", [1, 12, 39, 40, 41, 120, 10_000])
def test_a_strip_never_leaves_its_width_and_keeps_its_failures(count: int) -> None:
    strip = lay_out([Mark("SUCCEEDED")] * (count - 1) + [Mark("FAILED")])
    assert max(box.x + box.width for box in strip.boxes) <= strip.width + 1.5
    assert strip.boxes[-1].mark.state == "FAILED"


def test_many_steps_under_one_mark_show_the_worst_of_them() -> None:
    marks = [Mark("SUCCEEDED")] * 500 + [Mark("PENDING", attention=True)] + [Mark("SUCCEEDED")] * 499
    shown = [box.mark.look for box in lay_out(marks).boxes]
    assert shown.count("WAITING") == 1
    assert label_of(marks) == "999 succeeded, 1 waiting"


def test_a_run_that_is_not_planned_has_an_empty_strip() -> None:
    assert lay_out([]).label == "not planned yet"
