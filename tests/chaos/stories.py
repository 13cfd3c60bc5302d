"""What happens to the runs of a round: each story launches one, does something with it, and says how it must end."""

from __future__ import annotations

import http.client
import pathlib
import random
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos import pipelines
from tests.faults import stack
from tests.running import Installation

PATIENCE = 150.0  # seconds for a run to end, and for the web server to answer
_LOST = (OSError, http.client.HTTPException, ValueError)
_OWN = "/apis/kfdash/v1/runs"


class Wrong(AssertionError):
    """A story that did not go as it must; the message says what is wrong."""


class Client:
    """Somebody who asks until there is an answer, and looks whether a request was carried out before asking again."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    def ask(self, path: str, body: Any = None, done: Callable[[], Any] | None = None) -> Any:
        """The answer; what `done` finds where an answer was lost but the request was not. Raises HTTPError for refusals, Wrong."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                return stack.call(self.installation, path, body)
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    raise
                lost = f"{error.code} {error.read()[:300]!r}"
            except _LOST as error:
                lost = repr(error)
            time.sleep(0.25)
            if done and (found := done()):
                return found
        raise Wrong(f"{path} had no answer for {PATIENCE:g} s; the last one was: {lost}")

    def launch(self, name: str, spec: Any) -> str:
        """The id of the new run; `name` must be one of its own."""
        body = {"display_name": name, "pipeline_spec": spec}
        return str(self.ask("/apis/v2beta1/runs", body, lambda: self.named(name))["run_id"])

    def named(self, name: str) -> Any:
        """The run with this name, if there is one."""
        found = self.ask(f"{_OWN}?page_size=100&sort_by=created_at%20desc").get("runs", [])
        return next((run for run in found if run["display_name"] == name), None)

    def run(self, run_id: str) -> dict[str, Any]:
        """The run as it is now."""
        return dict(self.ask(f"{_OWN}/{run_id}"))

    def act(self, run_id: str, verb: str, body: Any = None, *, seen: Callable[[dict[str, Any]], bool]) -> bool:
        """Has something done with a run: whether it was (`seen` tells from the run), False where it is refused."""

        def done() -> Any:
            run = self.run(run_id)
            return run if seen(run) else None

        try:
            self.ask(f"{_OWN}/{run_id}:{verb}", {} if body is None else body, done)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
            return done() is not None
        return True

    def end(self, run_id: str) -> str:
        """The state in which the run ends. Raises Wrong where it does not."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if (state := self.run(run_id)["state"]) in stack.ENDS:
                return str(state)
            time.sleep(0.3)
        rows = stack.tasks(self.installation, run_id)
        waits = {path: (row["state"], row.get("reason", "")) for path, row in rows.items() if row["state"] not in _OVER}
        raise Wrong(f"it did not end within {PATIENCE:g} s: {waits}")


_OVER = (*stack.ENDS, "SKIPPED")


@dataclass
class Story:
    """A run of the round. `states` are those in which it had to end, in order; `ended` those in which it did."""

    name: str
    client: Client
    chance: random.Random
    marks: pathlib.Path
    flags: pathlib.Path
    runs: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def launch(self, spec: Any) -> str:
        """Starts the run."""
        self.runs.append(run_id := self.client.launch(self.name, spec))
        return run_id

    def ends(self, run_id: str, state: str) -> bool:
        """Waits for the end: whether it is this one."""
        found = self.client.end(run_id)
        if found == state:
            return True
        rows = stack.tasks(self.client.installation, run_id)
        why = {path: row.get("reason", "") for path, row in rows.items() if row["state"] in ("FAILED", "CANCELED")}
        self.wrong.append(f"run {run_id} ended as {found} instead of {state}: {why}")
        return False

    def flag(self, what: str) -> pathlib.Path:
        """A file of this story's own, outside of the installation."""
        return self.flags / f"{self.name.replace(' ', '-')}-{what}"


def plain(story: Story, make: Callable[[pathlib.Path], Any]) -> None:
    """Nothing is done with it."""
    story.ends(story.launch(make(story.marks)), "SUCCEEDED")


def flaky(story: Story) -> None:
    """It fails and is tried again by itself."""
    story.ends(story.launch(pipelines.retried(story.marks, story.flag("tries"))), "SUCCEEDED")


def retried_in_place(story: Story) -> None:
    """It fails, is mended and goes on in place."""
    flag = story.flag("broken")
    flag.touch()
    run_id = story.launch(pipelines.broken(story.marks, flag))
    failed = story.ends(run_id, "FAILED")
    flag.unlink()
    if failed:
        before = story.client.run(run_id)["number"]
        if not story.client.act(run_id, "retry", seen=lambda run: run["state"] != "FAILED"):
            story.wrong.append(f"run {run_id} (#{before}) could not be retried")
        story.ends(run_id, "SUCCEEDED")


def stopped(story: Story) -> None:
    """Somebody stops it."""
    run_id = story.launch(pipelines.endless(story.marks))
    time.sleep(story.chance.uniform(0.0, 5.0))
    force = story.chance.random() < 0.3
    story.client.act(run_id, "stop", {"force": force}, seen=lambda run: bool(run.get("stop")))
    story.ends(run_id, "CANCELED")


def paused(story: Story) -> None:
    """Somebody pauses it: meanwhile no step begins."""
    run_id = story.launch(pipelines.whole(story.marks))
    time.sleep(story.chance.uniform(0.0, 2.0))
    if story.client.act(run_id, "pause", seen=lambda run: bool(run.get("paused"))):
        before = _attempts(story, run_id)
        time.sleep(story.chance.uniform(1.0, 4.0))
        if began := _attempts(story, run_id) - before:
            story.wrong.append(f"run {run_id} is paused, and {sorted(began)} began")
        story.client.act(run_id, "resume", seen=lambda run: not run.get("paused"))
    story.ends(run_id, "SUCCEEDED")


def again(story: Story) -> None:
    """A run that ended is run again from its second step: the first is taken over."""
    run_id = story.launch(pipelines.cached(story.marks, story.chance.randrange(5)))
    if not story.ends(run_id, "SUCCEEDED"):
        return
    name = f"{story.name} again"
    path, body = f"{_OWN}/{run_id}:again", {"from_paths": ["root/two"], "display_name": name}
    new = str(story.client.ask(path, body, lambda: story.client.named(name))["run_id"])
    story.runs.append(new)
    if not story.ends(new, "SUCCEEDED"):
        return
    rows = story.client.ask(f"{_OWN}/{new}/tasks")["tasks"]
    ran = {row["path"] for row in rows if row.get("attempts")}
    if ran != {"root/two", "root/three"}:
        story.wrong.append(f"run {new} ran {sorted(ran)} again, not two and three")


def _attempts(story: Story, run_id: str) -> set[str]:
    rows = story.client.ask(f"{_OWN}/{run_id}/tasks").get("tasks", [])
    return {attempt["name"] for row in rows for attempt in row.get("attempts", [])}


KINDS: dict[str, Callable[[Story], None]] = {
    "loop and exit task": lambda story: plain(story, pipelines.whole),
    "nested": lambda story: plain(story, pipelines.nested),
    "long": lambda story: plain(story, pipelines.long),
    "importer": lambda story: plain(story, lambda marks: pipelines.imported(marks, story.chance.randrange(3))),
    "cached": lambda story: plain(story, lambda marks: pipelines.cached(marks, story.chance.randrange(5))),
    "flaky": flaky,
    "retried in place": retried_in_place,
    "stopped": stopped,
    "paused": paused,
    "again": again,
}


def tell(kind: str, story: Story) -> Story:
    """Goes through a story of this kind; what went wrong is in it."""
    try:
        KINDS[kind](story)
    except Wrong as error:
        story.wrong.append(f"run {story.runs[-1:]}: {error}")
    except Exception as error:
        story.wrong.append(f"run {story.runs[-1:]}: {error!r}")
    return story
