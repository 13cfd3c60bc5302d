"""What is wrong with a package, said to people: a sentence, the place in the document, the line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

MAX_PROBLEMS = 1000  # that are listed of a package; nobody reads more
_MOST_NAMES, _MOST_CANDIDATES, _LONGEST_NAME = 300, 20, 80  # difflib is slow

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


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not there: the nearest one that is. Cheap, also for hostile names."""
    near_in_length = (other for other in islice(known, _MOST_NAMES) if abs(len(other) - len(name)) <= 3)
    candidates = list(islice(near_in_length, _MOST_CANDIDATES))
    near = get_close_matches(name, candidates, n=1) if candidates and len(name) <= _LONGEST_NAME else []
    return f"; did you mean `{near[0]}`?" if near else "."


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
