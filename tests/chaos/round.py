"""A round: an installation, stories that go on in it, faults in between, and what is found at the end."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.faults import Faults, steps_of
from tests.chaos.stories import KINDS, Client, Story, tell
from tests.faults.stack import check_what_it_said
from tests.running import Installation, wait_for

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
QUIET = 25.0  # seconds that the last chores may take after the last run
_NO_ROOM = "No space left on device"


@dataclass(frozen=True)
class Settings:
    """What is asked of a round. `without` names a safeguard that is taken out; `pauses` are seconds between two faults."""

    seed: int
    seconds: float
    folder: pathlib.Path
    database: str = ""  # a URL; SQLite for none
    disk: pathlib.Path | None = None  # holds the data folder and may be filled
    without: str = ""
    at_once: int = 6
    pauses: tuple[float, float] = (0.3, 5.0)


@dataclass
class Outcome:
    """What a round did and found."""

    seed: int
    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    recovery: dict[str, str] = field(default_factory=dict)
    stories: dict[str, int] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)
    excused: list[str] = field(default_factory=list)  # ends that follow from what the round itself did to a step
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        lines = [f"seed {self.seed}, {self.seconds:.0f} s"]
        for title, values in (
            ("faults", self.faults),
            ("seconds until it runs again: median, most", self.recovery),
            ("stories", self.stories),
            ("found", self.figures),
        ):
            lines += [f"{title}:", *(f"  {name:34} {value}" for name, value in sorted(values.items()))]
        lines += [f"excused: {excused}" for excused in self.excused]
        lines += [f"WRONG: {problem}" for problem in self.problems]
        return "\n".join([*lines, "nothing lost, nothing done twice" if not self.problems else f"{len(self.problems)} problems"])


def play(settings: Settings) -> Outcome:
    """One round."""
    chance = random.Random(settings.seed)
    outcome, began = Outcome(settings.seed), time.monotonic()
    marks, flags = settings.folder / "marks", settings.folder / "flags"
    marks.mkdir(parents=True)
    flags.mkdir()
    data = (settings.disk or settings.folder) / "data"
    installation = Installation(data, **_program(settings))
    try:
        with installation:
            faults = Faults(installation, random.Random(chance.random()), marks, settings.folder / "clock", settings.disk)
            stories = _go_on(settings, chance, installation, faults, marks, flags)
            outcome.stories = dict(Counter(story.name.partition(" #")[0] for story in stories))
            _judge(outcome, stories, faults, killed=_look(outcome, installation, marks, faults))
    except AssertionError as error:
        outcome.problems.append(str(error))
    _look_at_the_end(outcome, installation, marks)
    outcome.seconds = time.monotonic() - began
    return outcome


def _program(settings: Settings) -> dict[str, Any]:
    program = (sys.executable, "-P", str(REPOSITORY / "tests/chaos/weakened.py"), settings.without or "-")
    clock = str(settings.folder / "clock")
    environment: dict[str, Any] = {"KFDASH_STOP_GRACE": "2", "KFDASH_LOG_LEVEL": "WARNING", "CLOCK_OF_A_ROUND": clock}
    if settings.database:
        environment["KFDASH_DATABASE_URL"] = settings.database
    return {**environment, "program": program}


def _go_on(
    settings: Settings,
    chance: random.Random,
    installation: Installation,
    faults: Faults,
    marks: pathlib.Path,
    flags: pathlib.Path,
) -> list[Story]:
    """Stories and faults beside each other until the time is over, then the stories until they end."""
    deadline, over = time.monotonic() + settings.seconds, threading.Event()
    client, futures = Client(installation), []
    with ThreadPoolExecutor(settings.at_once) as pool:

        def keep_telling() -> Iterator[Future[Story]]:
            kinds = list(KINDS)
            for number in range(100_000):
                if number % len(kinds) == 0:
                    chance.shuffle(kinds)
                kind = kinds[number % len(kinds)]
                story = Story(f"{kind} #{number}", client, random.Random(chance.random()), marks, flags)
                yield pool.submit(tell, kind, story)

        telling = keep_telling()
        thread = threading.Thread(target=lambda: _cause(settings, faults, deadline, over), daemon=True)
        thread.start()
        while time.monotonic() < deadline and not over.is_set():
            if sum(not future.done() for future in futures) < settings.at_once:
                futures.append(next(telling))
            time.sleep(0.1)
        thread.join()
    return [future.result() for future in futures]


def _cause(settings: Settings, faults: Faults, deadline: float, over: threading.Event) -> None:
    """Faults, one after another."""
    time.sleep(1.0)
    try:
        while time.monotonic() < deadline:
            faults.one()
            time.sleep(faults.chance.uniform(*settings.pauses))
    except Exception as error:
        faults.wrong.append(f"a fault could not be caused, or not be got over: {error!r}")
    finally:
        if time.monotonic() < deadline:
            over.set()


def _judge(outcome: Outcome, stories: list[Story], faults: Faults, killed: list[str]) -> None:
    """A run of which the round itself killed a step, or which found no room, may have failed; nothing else may be wrong."""
    outcome.faults = dict(faults.tally)
    outcome.recovery = {
        what: f"{statistics.median(times):.2f} {max(times):.2f}  ({len(times)} times)" for what, times in faults.recovery.items()
    }
    outcome.problems += faults.wrong
    for story in stories:
        for wrong in story.wrong:
            failed = "ended as FAILED instead of" in wrong
            if failed and any(run_id in wrong for run_id in killed):
                outcome.excused.append(f"a step was killed: {wrong}")
            elif failed and faults.tally["fill the disk"] and _NO_ROOM in wrong:
                outcome.excused.append(f"the disk was full: {wrong}")
            else:
                outcome.problems.append(f"{story.name}: {wrong}")


def _look(outcome: Outcome, installation: Installation, marks: pathlib.Path, faults: Faults) -> list[str]:
    """Looks at rows and folders until nothing is under way, or the time for that is over; ids of runs with a killed step."""
    deadline = time.monotonic() + QUIET
    found: dict[str, Any] = {}
    while time.monotonic() < deadline:
        found = look(installation, marks, sorted(faults.killed_steps))
        if not found["problems"]:
            break
        time.sleep(3)
    outcome.figures = found["figures"]
    outcome.problems += found["problems"]
    return list(found.get("killed", ()))


def look(installation: Installation, marks: pathlib.Path, killed: list[str]) -> dict[str, Any]:
    """What `tests.chaos.rows` finds."""
    environment = {**installation.environment, "KFDASH_DATA_DIR": str(installation.folder), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "tests.chaos.rows", str(marks), *killed]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    if done.returncode:
        return {"problems": [f"rows could not be looked at: {done.stderr[-3000:]}"], "figures": {}}
    return dict(json.loads(done.stdout))


def _look_at_the_end(outcome: Outcome, installation: Installation, marks: pathlib.Path) -> None:
    """No process, no lock, no socket is left, and what was said are sentences."""
    if steps := steps_of(marks):
        outcome.problems.append(f"steps are left: {steps}")
    if not wait_for(lambda: not installation.processes(), 20):
        outcome.problems.append(f"processes are left: {installation.processes()}")
    with contextlib.suppress(FileNotFoundError), (installation.folder / "lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            outcome.problems.append("the lock on the data folder is held")
    name = f"kfdash-{os.getuid()}-{hashlib.sha256(os.fsencode(installation.folder.resolve())).hexdigest()[:10]}"
    if (sockets := pathlib.Path(tempfile.gettempdir()) / name).exists():
        outcome.problems.append(f"the folder of the sockets is left: {list(sockets.iterdir())}")
    try:
        check_what_it_said(installation)
    except AssertionError as error:
        outcome.problems.append(f"it said: {str(error)[:3000]}")
