"""What is wrong with a package, said to people: a sentence, the place in the document, the line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Place = tuple[str | int, ...]
"""The way to a value in a document: keys of objects and indices of lists. Keys are the user's and may hold dots."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `place` is dotted (`root.dag.tasks.score.inputs`), `line` counts from 1."""

    message: str
    place: str = ""
    line: int | None = None

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line else []
        where += [self.place] if self.place else []
        return f"{self.message} ({', '.join(where)})" if where else self.message


@dataclass(frozen=True)
class Finding:
    """A problem whose place is still a sequence of keys: what checks give, before lines are looked up."""

    place: Place
    message: str


class Refused(Exception):
    """A package that is not taken, with every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def dotted(place: Place) -> str:
    """A place as text: `root.dag.tasks.score.dependentTasks[0]`; keys with a dot or a bracket are quoted."""
    text = ""
    for segment in place:
        if isinstance(segment, int):
            text += f"[{segment}]"
        elif not segment or any(char in segment for char in ".[]'\" "):
            text += f"['{segment}']"
        else:
            text += f".{segment}" if text else segment
    return text
