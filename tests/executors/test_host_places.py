"""Places for steps are shared by runs, not by who came first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from runs.executors.local.host.places import Places


def served(scenario: Callable[[Places, Callable[[str, str], asyncio.Task[None]]], Awaitable[None]], count: int) -> list[str]:
    """The steps in the order in which they got a place; `scenario` starts steps with `step(run, name)`."""
    got: list[str] = []

    async def go() -> None:
        places = Places(count)

        async def one(run: str, name: str) -> None:
            await places.acquire(run)
            got.append(name)

        await scenario(places, lambda run, name: asyncio.create_task(one(run, name)))

    asyncio.run(go())
    return got


async def moment() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_run_that_comes_later_gets_the_next_place_that_is_free() -> None:
    async def scenario(places, step):
        for number in range(4):
            step("a", f"a{number}")
        await moment()
        step("b", "b0")
        step("b", "b1")
        await moment()
        for run in "aaba":
            places.release(run)
            await moment()

    assert served(scenario, 2) == ["a0", "a1", "b0", "a2", "b1", "a3"]


def test_a_run_alone_has_all_places_and_its_steps_come_in_their_order() -> None:
    async def scenario(places, step):
        for number in range(5):
            step("a", f"a{number}")
        await moment()
        for _ in range(2):
            places.release("a")
            await moment()

    assert served(scenario, 3) == ["a0", "a1", "a2", "a3", "a4"]


def test_who_leaves_while_waiting_or_in_the_moment_it_is_served_takes_no_place_along() -> None:
    async def scenario(places, step):
        step("a", "a0")
        await moment()
        waiting, chosen, last = step("b", "b0"), step("c", "c0"), step("d", "d0")
        await moment()
        waiting.cancel()
        await moment()
        places.release("a")  # c0 is given the place, and cancelled before it can take it
        chosen.cancel()
        await moment()
        with suppress(asyncio.CancelledError):
            await last
        assert places.locked()
        places.release("d")
        assert not places.locked()

    assert served(scenario, 1) == ["a0", "d0"]
