"""`python -m tests.bench.shared_fake orders|io|observer`: a part of kfdash whose executor is the fake one, for processes together.

The fake executor lives in one process. Here what it tells goes through a list in Redis, so that one process starts attempts
and another observes them, as with real executors. Attempts end at once, or after BENCH_STEP_SECONDS.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import django
import redis

from runs.engine.model import AttemptLost, Fact
from runs.executors.base import AttemptKey, AttemptOrder, FactObserved, Observation
from runs.executors.fake import Behaviour, FakeExecutor
from runs.facts import decode, encode

STEP_SECONDS = "BENCH_STEP_SECONDS"
_TOLD = "bench:told"  # [run, fact] as JSON, in order
_NEWEST = "bench:newest"  # attempt → its newest fact, until it is forgotten
_AT_ONCE = 200
_UNKNOWN = "The executor does not know this attempt."


class SharedFakeExecutor(FakeExecutor):
    """The fake executor over a list in Redis."""

    def __init__(self) -> None:
        super().__init__(default=Behaviour(seconds=float(os.environ.get(STEP_SECONDS, "0"))))
        self._server = redis.Redis.from_url(os.environ["KFDASH_REDIS_URL"], decode_responses=True)
        self._news: list[tuple[str, dict[str, Any]]] = []
        self._starting = False

    def start(self, orders: Sequence[AttemptOrder]) -> Mapping[str, str]:
        """Begins those that nobody began; what becomes of them at once is told together."""
        with self._changed:
            known: Any = self._server.hmget(_NEWEST, [order.name for order in orders]) if orders else []
            self._starting = True
            refused = super().start([order for order, fact in zip(orders, known, strict=True) if fact is None])
            self._starting = False
            self._flush()
            self.started.clear()
        return refused

    def observe(self) -> Iterator[Sequence[Observation]]:
        """Batches as they come, told by whichever process began the attempts."""
        while True:
            first: Any = self._server.blpop([_TOLD], timeout=1)
            if first is None:
                continue
            more: Any = self._server.lpop(_TOLD, _AT_ONCE) or []
            yield [FactObserved(run_id, decode(fact)) for run_id, fact in map(json.loads, [first[1], *more])]

    def look(self, attempts: Sequence[AttemptKey]) -> Sequence[FactObserved]:
        """The newest of each."""
        found: Any = self._server.hmget(_NEWEST, [key.name for key in attempts]) if attempts else []
        return [FactObserved(key.run_id, _fact(key, text)) for key, text in zip(attempts, found, strict=True)]

    def forget(self, attempts: Sequence[AttemptKey]) -> None:
        """Drops them."""
        if attempts:
            self._server.hdel(_NEWEST, *[key.name for key in attempts])

    def _tell(self, batch: Sequence[Observation]) -> None:
        self._news += [(one.run_id, encode(one.fact)) for one in batch if isinstance(one, FactObserved)]
        if not self._starting:
            self._flush()

    def _flush(self) -> None:
        if not self._news:
            return
        newest = {name: json.dumps(encode(self._newest(attempt.key))) for name, attempt in self._attempts.items()}
        pipe = self._server.pipeline(transaction=True)
        pipe.hset(_NEWEST, mapping=newest)
        pipe.rpush(_TOLD, *[json.dumps(each) for each in self._news])
        pipe.execute()
        self._news.clear()
        self._attempts = {name: attempt for name, attempt in self._attempts.items() if attempt.end is None}


def _fact(key: AttemptKey, text: str | None) -> Fact:
    return decode(json.loads(text)) if text else AttemptLost(key.path, key.number, datetime.now(UTC), _UNKNOWN)


def main() -> int:
    """Serves as the part that is named, until SIGTERM."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kfdash.settings")
    django.setup()
    from kfdash import cli  # noqa: PLC0415  # reads settings
    from runs import executing  # noqa: PLC0415

    executing.FakeExecutor = SharedFakeExecutor  # type: ignore[misc]
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
