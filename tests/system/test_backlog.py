"""Runs wait for a worker for long: messages about them do not become more and more, and one that is lost comes again."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
import redis

from kfdash import outbox
from tests.servers import NoServer, redis_server

pytestmark = pytest.mark.redis

QUEUE = "kfdash:celery:drive"
RUNS = [f"run-{number}" for number in range(5)]


@pytest.fixture
def server(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """A Redis, whose queue of drives is a list of runs."""
    try:
        with redis_server(tmp_path) as started, redis.Redis.from_url(started.url, decode_responses=True) as client:
            outbox._take.cache_clear()
            monkeypatch.setattr(outbox, "connection", lambda: client)
            monkeypatch.setattr(outbox, "_send", lambda job, args: client.lpush(QUEUE, *args))
            yield client
            outbox._take.cache_clear()
    except NoServer as error:
        pytest.skip(str(error))


def seconds_go_by(server: redis.Redis) -> None:
    """So many that no run counts as announced any more; then the observer looks."""
    for name in RUNS:
        server.delete(outbox._announced(name))
    outbox.announce_left(3)


def test_runs_whose_messages_wait_in_the_queue_are_not_announced_again(server: redis.Redis) -> None:
    for name in RUNS:
        outbox.hand_over(name, [])
    for _ in range(10):
        seconds_go_by(server)
    assert sorted(server.lrange(QUEUE, 0, -1)) == RUNS


def test_a_message_that_is_lost_comes_again_and_the_queue_stays_bounded(server: redis.Redis) -> None:
    for name in RUNS:
        outbox.hand_over(name, [])
    server.lrem(QUEUE, 1, RUNS[2])
    for _ in range(10):
        seconds_go_by(server)
    queue = server.lrange(QUEUE, 0, -1)
    assert set(queue) == set(RUNS)
    assert len(queue) < 2 * len(RUNS)


def test_a_lost_message_comes_again_while_new_runs_keep_the_queue_long(server: redis.Redis) -> None:
    for name in RUNS:
        outbox.hand_over(name, [])
    server.lrem(QUEUE, 1, RUNS[0])
    taken = []
    for number in range(20):
        outbox.hand_over(f"new-{number}", [])
        seconds_go_by(server)
        name = server.rpop(QUEUE)
        assert isinstance(name, str)
        taken += [name for _ in outbox.take(name).facts]
    assert RUNS[0] in taken


def test_a_driver_that_starts_announces_all_that_wait(server: redis.Redis) -> None:
    for name in RUNS:
        outbox.hand_over(name, [])
    outbox.announce_left(0, anew=True)
    assert sorted(server.lrange(QUEUE, 0, -1)) == sorted(RUNS * 2)
