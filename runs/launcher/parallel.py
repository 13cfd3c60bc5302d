"""Several things at once. `concurrent.futures` can more, and takes longer to import than most inputs to fetch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def each(items: Iterable[Item], do: Callable[[Item], None], at_once: int) -> None:
    """Does it for each item, in at most `at_once` threads. Once one fails no other is begun, and its error is raised."""
    todo = list(items)
    todo.reverse()
    errors: list[BaseException] = []

    def work() -> None:
        while not errors:
            try:
                item = todo.pop()
            except IndexError:
                return
            try:
                do(item)
            except BaseException as error:  # noqa: BLE001  # raised below, in the thread that asked
                errors.append(error)

    others = [threading.Thread(target=work, daemon=True) for _ in range(min(at_once, len(todo)) - 1)]
    for thread in others:
        thread.start()
    work()  # one alone needs no thread, and keeps the connection that is there
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]
