"""The rows of a database as two busy years leave it, for `tests.bench.million`: of each table columns → values."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

PEOPLE = 40
SPAN = timedelta(days=730)
STEPS = ("load", "train", "report")
WITH_TASKS, WITH_EVENTS, WITH_ARTIFACTS, WITH_CACHE = 0.2, 0.05, 0.5, 0.2  # of the runs, the newest
NEEDLES = (7, 3, 2)  # the run with that place from the beginning, and those at a third and a half, have the tag needle=yes
_STATES, _WEIGHTS = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"), (84, 12, 3, 1)
_ACTIVE = 200  # of the newest runs


class Rows:
    """What belongs to runs is made from a few facts that are kept of each."""

    def __init__(self, chance: random.Random, count: int, versions: Sequence[Any], experiments: Sequence[Any]) -> None:
        self.chance, self.count = chance, count
        self.versions, self.experiments = versions, experiments
        self.until = datetime.now(UTC).replace(microsecond=0)
        self.made: list[tuple[uuid.UUID, str, datetime, datetime | None, str]] = []  # id, state, begin, end, pipeline
        self.people = [f"{name}{number}" for number, name in zip(range(PEOPLE), itertools.cycle(("ada", "grace", "linus", "")))]

    def newest(self, share: float) -> list[tuple[uuid.UUID, str, datetime, datetime | None, str]]:
        return self.made[round(self.count * (1 - share)) :]

    def runs(self) -> Iterator[dict[str, Any]]:
        chance, needles = self.chance, {self.count // place if place < 7 else place for place in NEEDLES}
        for number in range(1, self.count + 1):
            at = self.until - SPAN + SPAN * (number / self.count) ** 0.5 - timedelta(seconds=chance.random() * 60)
            version, experiment = chance.choice(self.versions), chance.choice(self.experiments)
            inline, key = chance.random() < 0.15, random_id(chance)
            state, end = self._end(number, at)
            name = version.pipeline.name
            tags = {"team": chance.choice("abcde"), "owner": chance.choice(self.people[:10])} if chance.random() < 0.6 else {}
            self.made.append((key, state, at, end, name))
            yield {
                "id": key,
                "number": number,
                "name": _name(chance, number, name, at),
                "resource_name": f"{name}-{chance.getrandbits(20):05x}",
                "description": f"What {name} says of week {at:%V}" if chance.random() < 0.2 else "",
                "experiment_id": experiment.pk,
                "experiment_key": experiment.pk,
                "specification_id": version.specification_id,
                "version_id": None if inline else version.pk,
                "version_key": None if inline else version.pk,
                "pipeline_key": None if inline else version.pipeline_id,
                "origin_id": chance.choice(self.made)[0] if self.made and chance.random() < 0.03 else None,
                "parameters": json.dumps({"rate": round(chance.random(), 3), "rows": chance.randrange(10**6)}),
                "arguments": '{"rate":0.1,"rows":1000}',
                "pipeline_root": f"minio://kfdash/v2/artifacts/{name}/{key}",
                "tags": json.dumps(tags | ({"needle": "yes"} if number in needles else {})),
                "storage_state": "ARCHIVED" if chance.random() < 0.1 and end else "AVAILABLE",
                "state": state,
                "state_history": json.dumps(
                    [
                        {"update_time": at.isoformat(), "state": "PENDING"},
                        {"update_time": at.isoformat(), "state": "RUNNING"},
                        *([{"update_time": end.isoformat(), "state": state}] if end else []),
                    ]
                ),
                "reason": "train failed: exit code 1" if state == "FAILED" else "",
                "event_number": 12,
                "created_at": at,
                "created_by": chance.choice(self.people),
                "scheduled_at": at,
                "started_at": at + timedelta(seconds=0.4),
                "finished_at": end,
            }

    def _end(self, number: int, at: datetime) -> tuple[str, datetime | None]:
        if number > self.count - _ACTIVE:
            return "RUNNING", None
        return self.chance.choices(_STATES, _WEIGHTS)[0], at + timedelta(seconds=1 + self.chance.expovariate(1 / 600))

    def _steps(self, share: float) -> Iterator[tuple[uuid.UUID, str, str, datetime, datetime | None]]:
        """Run, step, its state, its begin and end."""
        for key, state, at, end, _ in self.newest(share):
            piece = (end - at) / len(STEPS) if end else timedelta(minutes=1)
            for place, step in enumerate(STEPS):
                mine = {"FAILED": ("SUCCEEDED", "FAILED", "SKIPPED"), "RUNNING": ("SUCCEEDED", "RUNNING", "PENDING")}.get(
                    state, (state,) * 3
                )[place]
                yield key, step, mine, at + piece * place, at + piece * (place + 1) if mine not in ("RUNNING", "PENDING") else None

    def tasks(self) -> Iterator[dict[str, Any]]:
        for key, state, at, end, _ in self.newest(WITH_TASKS):
            yield {
                "run_id": key,
                "path": "root",
                "parent": "",
                "kind": "dag",
                "state": state,
                "children": 3,
                "ended": 3 if end else 1,
                "succeeded": 3 if state == "SUCCEEDED" else 1,
                "created_at": at,
                "ready_at": at,
                "started_at": at,
                "finished_at": end,
                "failed": int(state == "FAILED"),
                "attempt": 0,
            }
        for key, step, state, at, end in self._steps(WITH_TASKS):
            yield {
                "run_id": key,
                "path": f"root/{step}",
                "parent": "root",
                "kind": "container",
                "state": state,
                "attempt": 1,
                "inputs": '{"parameters":{},"artifacts":{}}',
                "outputs": '{"parameters":{"Output":1},"artifacts":{}}',
                "under_way": state == "RUNNING",
                "created_at": at,
                "ready_at": at,
                "started_at": at,
                "finished_at": end,
                "reason": "exit code 1" if state == "FAILED" else "",
                "fingerprint": hashlib.sha256(key.bytes).hexdigest(),
            }

    def attempts(self) -> Iterator[dict[str, Any]]:
        for key, step, state, at, end in self._steps(WITH_TASKS):
            if state not in ("PENDING", "SKIPPED"):
                yield {
                    "run_id": key,
                    "path": f"root/{step}",
                    "number": 1,
                    "name": f"{step}-{key.hex[:16]}-1",
                    "state": state,
                    "phase": "ended" if end else "running",
                    "queued_at": at,
                    "starting_at": at,
                    "running_at": at,
                    "finished_at": end,
                    "released": bool(end),
                    "exit_code": int(state == "FAILED") if end else None,
                }

    def events(self) -> Iterator[dict[str, Any]]:
        for key, state, at, end, _ in self.newest(WITH_EVENTS):
            yield {"run_id": key, "number": 1, "at": at, "kind": "run.running", "path": "root"}
            yield {"run_id": key, "number": 11, "at": end or at, "kind": f"run.{state.lower()}", "path": "root"}
        for place, (key, step, state, at, end) in enumerate(self._steps(WITH_EVENTS)):
            for more, kind in enumerate(("task.ready", "attempt.running", f"task.{state.lower()}")):
                number = 2 + (place % 3) * 3 + more
                yield {"run_id": key, "number": number, "at": end or at, "kind": kind, "path": f"root/{step}", "attempt": 1}

    def orders(self) -> Iterator[dict[str, Any]]:
        for key, step, state, at, _ in self._steps(WITH_EVENTS):
            if state not in ("PENDING", "SKIPPED"):
                yield {
                    "run_id": key,
                    "kind": "start",
                    "path": f"root/{step}",
                    "attempt": 1,
                    "task_kind": "container",
                    "due": at,
                    "tries": 1,
                    "carried_out_at": at,
                }

    def artifacts(self) -> Iterator[dict[str, Any]]:
        """Two of a run; their ids count from 1."""
        for key, _, at, end, name in self.newest(WITH_ARTIFACTS):
            for step, output, type_ in (("load", "dataset", "system.Dataset"), ("train", "model", "system.Model")):
                yield {
                    "run_id": key,
                    "path": f"root/{step}",
                    "name": output,
                    "type": type_,
                    "created_at": end or at,
                    "uri": f"minio://kfdash/v2/artifacts/{name}/{key}/{step}/{output}",
                    "metadata": '{"accuracy":0.9}' if step == "train" else "{}",
                    "looked_at": self.until,
                    "size": self.chance.randrange(10**7) if self.chance.random() < 0.9 else None,
                }

    def uses(self) -> Iterator[dict[str, Any]]:
        for place, (key, *_) in enumerate(self.newest(WITH_ARTIFACTS)):
            yield {"artifact_id": 2 * place + 1, "run_id": key, "path": "root/train", "name": "dataset"}

    def cache_entries(self) -> Iterator[dict[str, Any]]:
        first = len(self.newest(WITH_ARTIFACTS)) - len(self.newest(WITH_CACHE))
        for place, (key, state, _, end, name) in enumerate(self.newest(WITH_CACHE), first):
            for step, output, identifier in (("load", "dataset", 2 * place + 1), ("train", "model", 2 * place + 2)):
                if end and state == "SUCCEEDED":
                    hits = int(self.chance.paretovariate(1.0)) - 1
                    yield {
                        "pipeline_name": name,
                        "fingerprint": f"{self.chance.getrandbits(256):064x}",
                        "run_id": key,
                        "path": f"root/{step}",
                        "seconds": self.chance.expovariate(1 / 100),
                        "created_at": end,
                        "outputs": json.dumps({"parameters": {}, "artifacts": {output: [{"id": identifier}]}}),
                        "hits": hits,
                        "last_hit_at": end + timedelta(hours=hits) if hits else None,
                    }


def random_id(chance: random.Random) -> uuid.UUID:
    """An id that the same seed gives again."""
    return uuid.UUID(int=chance.getrandbits(128), version=4)


def _name(chance: random.Random, number: int, pipeline: str, at: datetime) -> str:
    return (
        f"nightly-{number}",
        f"{pipeline} {at:%Y-%m-%d %H-%M-%S}",
        f"Train on day {at:%j}",
        f"Run of {pipeline} ({chance.getrandbits(20):05x})",
    )[chance.choices(range(4), (30, 25, 15, 30))[0]]
