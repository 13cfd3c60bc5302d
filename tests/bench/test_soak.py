"""What the soak calls growth that does not level off."""

from __future__ import annotations

import pytest

from tests.bench.soak import Sample, grows, table


@pytest.mark.parametrize(
    ("values", "whether"),
    [
        ((150, 152, 153), False),  # hardly at all
        ((150, 190, 205), False),  # it levels off
        ((150, 180, 210), True),
        ((150, 150, 175), True),  # late
        ((180, 170, 160), False),
    ],
)
def test_growth_is_what_goes_on_in_the_second_half(values: tuple[float, ...], whether: bool) -> None:
    assert grows(values, 10) == whether


def test_a_process_that_grows_and_connections_that_grow_are_named_and_the_database_is_not_judged() -> None:
    samples = [
        Sample(
            n / 100,
            {"web-1": 150 + n, "worker-1": 150.0, "postgresql": 50 + 3.0 * n},
            {"web-1": (4, 5), "worker-1": (1 + n // 10, 9)},
        )
        for n in range(101)
    ]
    lines, problems = table(samples)
    assert len(lines) == 4
    assert [problem.partition(":")[0] for problem in problems] == ["web-1", "worker-1"]
    assert "connections to database" in problems[1]
