"""The parts of an installation as programs: each function serves until it is told to end (SIGTERM).

Importing this module loads all that they need, so that the supervisor can fork them from one warm process.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, ParamSpec

import redis
import uvicorn
from celery.apps.worker import Worker
from celery.platforms import EX_OK
from celery.worker import state
from django.conf import settings
from django.db import DatabaseError, connections
from django.urls import get_resolver

from kfdash import health, outbox, pulse
from kfdash.asgi import application
from kfdash.celery import app
from kfdash.system import cluster
from runs import observer
from runs.intake import app as intake
from runs.leading import Lead

_CLOSE_WITHIN = 3  # seconds that open requests and sockets get when the web server of `kfdash up` ends


_LOADED_BY_NAME = (  # by Celery, uvicorn and Django at their start: loaded once here, children share it
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.concurrency.solo",
    "celery.concurrency.thread",
    "celery.events.dispatcher",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.control",
    "celery.worker.loops",
    "celery.worker.strategy",
    "channels_redis.pubsub",
    "django.contrib.messages.storage.fallback",
    "django.contrib.sessions.serializers",
    "django.template.loaders.app_directories",
    "django.template.loaders.cached",
    "kfdash.broker",
    "kombu.transport.redis",
    "redis.asyncio",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "uvloop",
)


def warm_up() -> None:
    """Loads what would otherwise be loaded by the first request or job. Starts no thread and opens no connection."""
    for name in _LOADED_BY_NAME:
        importlib.import_module(name)
    app.loader.import_default_modules()
    app.finalize()
    _ = get_resolver().url_patterns


P = ParamSpec("P")


def _part(name: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Decorates what serves as a part: it tells of itself meanwhile, and that it ends in order."""

    def around(serve: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(serve)
        def tell_and_serve(*args: P.args, **options: P.kwargs) -> None:
            health.begin(name)
            serve(*args, **options)
            pulse.leave()

        return tell_and_serve

    return around


class _Server(uvicorn.Server):
    """Uvicorn's server, whose loop says that it turns."""

    async def on_tick(self, counter: int) -> bool:
        pulse.turned()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        pulse.leave()  # afterwards it ends by the signal that it caught
        await super().shutdown(sockets)


@_part("web")
def serve_web(listening: socket.socket, *, close_within: int = _CLOSE_WITHIN) -> None:
    """Pages, API and sockets, on a socket that is listening already; open requests get `close_within` seconds in the end."""
    config = uvicorn.Config(
        application,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ws_max_size=1024 * 1024,
        timeout_graceful_shutdown=close_within,
    )
    _Server(config).run(sockets=[listening])


@_part("intake")
def serve_intake(listening: socket.socket, *, close_within: int = _CLOSE_WITHIN) -> None:
    """What pods tell and ask, on a socket that is listening already; open requests get `close_within` seconds in the end."""
    intake.prepare()
    config = uvicorn.Config(
        intake.application,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=75,
        h11_max_incomplete_event_size=64 * 1024,
        timeout_graceful_shutdown=close_within,
    )
    _Server(config).run(sockets=[listening])


@_part("drive")
def serve_drive() -> None:
    """The worker that advances runs: one at a time, because it only computes and writes."""
    with contextlib.suppress(redis.RedisError):  # else the observer's tick does it
        outbox.announce_left(0, anew=True)
    _worker("drive", pool="solo", concurrency=1).start()


@_part("orders")
def serve_orders() -> None:
    """The worker that starts and stops attempts; nothing slow may take its threads."""
    with contextlib.suppress(DatabaseError):  # else the observer's tick does it
        observer.send_open_orders()  # those that the one before it had taken are lost with it
    connections.close_all()
    _worker("orders", pool="threads", concurrency=4).start()


@_part("io")
def serve_io() -> None:
    """The worker for what may take long: importers, drawing, previews."""
    _worker("io", pool="threads", concurrency=4).start()


@_part("observer")
def serve_observer() -> None:
    """What the executor sees becomes facts; ticks every second."""
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    cluster.begin()
    observer.main(stop, Lead(holder=settings.OBSERVER_NAME, lost=_end_at_once))


def _end_at_once() -> None:
    """Another observer leads: this process does nothing more, not even what it is about to do; the next one waits."""
    sys.stderr.flush()
    os._exit(1)


class _Worker(Worker):
    """Celery's worker, embedded: it ends at SIGTERM without a word, and takes no other signal."""

    def on_before_init(self, quiet: bool = False, **options: Any) -> None:
        with warnings.catch_warnings():  # about root: it unpickles nothing, which is what that is about
            warnings.simplefilter("ignore")
            super().on_before_init(quiet=quiet, **options)

    def install_platform_tweaks(self, worker: Worker) -> None:
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        state.should_stop = EX_OK


def _worker(queue: str, *, pool: str, concurrency: int) -> Worker:
    return _Worker(
        app=app,
        hostname=f"{queue}@{socket.gethostname()}-{os.getpid()}",
        queues=[queue],
        pool=pool,
        concurrency=concurrency,
        loglevel=settings.LOG_LEVEL,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
        quiet=True,
        redirect_stdouts=False,
    )


LISTENERS: dict[str, Callable[[socket.socket], None]] = {"web": serve_web, "intake": serve_intake}
WORKERS: dict[str, Callable[[], None]] = {
    "drive": serve_drive,
    "orders": serve_orders,
    "io": serve_io,
    "observer": serve_observer,
}
