"""What is done to an installation while runs go on. Each fault is over when it returns; the parts come back by themselves."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

from tests.faults import stack
from tests.faults.test_disk import fill
from tests.running import Installation, born, wait_for

PARTS = ("web", "drive", "orders", "io", "observer", "host", "redis")
BACK_WITHIN = 45.0  # seconds; a part that ends often waits up to thirty


class Faults:
    """The faults of a round, chosen by `chance`. `marks` is where steps leave theirs, `disk` a small disk that may be filled,
    `clock` the file that says by how many seconds the clock is moved.
    """

    def __init__(
        self,
        installation: Installation,
        chance: random.Random,
        marks: pathlib.Path,
        clock: pathlib.Path,
        disk: pathlib.Path | None = None,
    ) -> None:
        self.installation, self.chance, self.marks, self.clock, self.disk = installation, chance, marks, clock, disk
        self.tally: Counter[str] = Counter()
        self.recovery: dict[str, list[float]] = {}  # seconds until the part runs again, or the installation is ready
        self.killed_steps: set[str] = set()
        self.wrong: list[str] = []
        self._choices: dict[Callable[[], None], int] = {
            self.kill_one: 10,
            self.kill_several: 3,
            self.stop_for_a_while: 6,
            self.redis_without_its_data: 2,
            self.host_and_its_steps: 2,
            self.kill_a_step: 2,
            self.kill_the_supervisor: 1,
            self.kill_everything: 1,
            self.end_well: 1,
            self.move_the_clock: 2,
        }
        if disk:
            self._choices[self.fill_the_disk] = 2

    def one(self) -> None:
        """A fault at random."""
        fault = self.chance.choices(list(self._choices), list(self._choices.values()))[0]
        fault()

    def kill_one(self) -> None:
        """One part is killed."""
        self._kill(self.chance.choice(PARTS))

    def kill_several(self) -> None:
        """Some parts are killed at once."""
        self._kill(*self.chance.sample(PARTS, self.chance.randint(2, len(PARTS))))

    def redis_without_its_data(self) -> None:
        """Redis is killed, and what it kept on the disk is gone."""
        self._kill("redis", also=self._forget_redis)

    def host_and_its_steps(self) -> None:
        """The host is killed, and all steps with it."""
        steps = self._steps()
        self._kill("host", also=lambda: [_kill(pid) for pid in steps])
        self.tally["steps killed with their host"] += len(steps)

    def kill_a_step(self) -> None:
        """A process of a step is killed: that attempt has failed."""
        steps = self._steps()
        if steps:
            pid = self.chance.choice(sorted(steps))
            self.killed_steps.add(steps[pid])
            _kill(pid)
            self.tally["kill a step"] += 1

    def stop_for_a_while(self) -> None:
        """A part stands still, and goes on as if nothing had been."""
        part, seconds = self.chance.choice(PARTS), self.chance.uniform(0.3, 5.0)
        pid = self.installation.parts().get(part, 0)
        if not born(pid):
            return
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        self.tally[f"stop {part} for a while"] += 1

    def kill_the_supervisor(self) -> None:
        """`kfdash up` is killed: its parts end by themselves, and it is started again."""
        self._start_again("the supervisor", lambda: self.installation.process and self.installation.process.kill())

    def kill_everything(self) -> None:
        """All of it is killed, and started again."""
        self._start_again("everything", lambda: stack.kill(self.installation))

    def end_well(self) -> None:
        """It is ended as a person would, and started again."""
        self._start_again("well", self.installation.stop, verb="end")

    def fill_the_disk(self) -> None:
        """There is no room for a while."""
        assert self.disk
        filler = fill(self.disk)
        time.sleep(self.chance.uniform(0.5, 4.0))
        filler.unlink()
        self.tally["fill the disk"] += 1

    def move_the_clock(self) -> None:
        """The clock of the rows jumps back or forth, and after a while it is right again, which is another jump."""
        by = self.chance.choice((-1, 1)) * self.chance.uniform(2.0, 30.0)
        beside = self.clock.with_suffix(".new")
        beside.write_text(f"{by:.3f}")
        beside.replace(self.clock)
        time.sleep(self.chance.uniform(0.5, 6.0))
        self.clock.unlink()
        self.tally["move the clock back" if by < 0 else "move the clock forth"] += 1

    def _start_again(self, what: str, end: Callable[[], object], verb: str = "kill") -> None:
        began = time.monotonic()
        end()
        assert self.installation.process
        self.installation.process.wait(40)
        self.installation.start()
        self.tally[f"{verb} {what}"] += 1
        self.recovery.setdefault(f"{verb} {what}", []).append(time.monotonic() - began)

    def _kill(self, *parts: str, also: Callable[[], object] | None = None) -> None:
        before, began = self.installation.parts(), time.monotonic()
        mine = [part for part in parts if born(before.get(part, 0))]
        for part in mine:
            _kill(before[part])
            self.tally[f"kill {part}"] += 1
        if also:
            also()
        for part in mine:
            if wait_for(lambda part=part: self._is_back(part, before[part]), BACK_WITHIN):  # type: ignore[misc]
                self.recovery.setdefault(f"kill {part}", []).append(time.monotonic() - began)
            else:
                self.wrong.append(f"{part} was not started again within {BACK_WITHIN:g} s")

    def _is_back(self, part: str, before: int) -> bool:
        with contextlib.suppress(ValueError):
            pid = self.installation.parts().get(part, 0)
            return pid != before and bool(born(pid))
        return False

    def _forget_redis(self) -> None:
        for kept in (self.installation.folder / "redis").glob("*.rdb"):
            kept.unlink(missing_ok=True)
        self.tally["Redis without its data"] += 1

    def _steps(self) -> dict[int, str]:
        """Pid → attempt of the first process of each step that runs."""
        first = {name: pid for pid, name in sorted(steps_of(self.marks).items(), reverse=True)}
        return {pid: name for name, pid in first.items()}


def steps_of(marks: pathlib.Path) -> dict[int, str]:
    """Pid → attempt of all processes of steps that left their mark there."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "environ").read_bytes().split(b"\0")
            name = next((word[13:].decode() for word in words if word.startswith(b"KFP_POD_NAME=")), "")
            if name and (marks / name).exists() and born(int(folder.name)):
                found[int(folder.name)] = name
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
