"""The real intake beside an executor under test: rows are stood in for by the orders that it was given."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from django.conf import settings

from runs import logstore
from runs.engine.model import Fact, Phase
from runs.executors.base import AttemptKey, AttemptOrder, FactObserved, LogObserved, Observation
from runs.executors.kubernetes.config import Config
from runs.executors.kubernetes.executor import KubernetesExecutor
from runs.intake import app, inputs, logbook, outputs, outside, telling
from runs.intake.rights import OVER, Reach
from runs.intake.wire import Refused
from runs.launcher.tokens import Claims
from runs.store import StoreOptions
from tests.executors.watching import ENDS

IMAGE = os.environ.get("KFDASH_TEST_STEP_IMAGE", "python:3.11")


class ExecutorAndIntake(KubernetesExecutor):
    """Tells what the intake hears, too, as the driver would hear it; the same end once."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.orders: dict[str, AttemptOrder] = {}
        self.ended: dict[str, Fact] = {}
        self.shown: dict[str, int] = {}
        self.asked_to_end: set[str] = set()

    def start(self, orders: Sequence[AttemptOrder]) -> Mapping[str, str]:
        """Remembers the orders: pods ask for them. Their image is one that the cluster has."""
        orders = [dataclasses.replace(order, image=IMAGE) for order in orders]
        self.orders |= {order.name: order for order in orders}
        return super().start(orders)

    def stop(self, attempts: Sequence[AttemptKey], *, grace: float) -> Sequence[FactObserved]:
        """Remembers which attempts were asked to end."""
        self.asked_to_end |= {key.name for key in attempts}
        return super().stop(attempts, grace=grace)

    def _tell(self, batch: Sequence[Observation]) -> None:
        kept = [seen for seen in batch if isinstance(seen, LogObserved) or self._is_new(seen)]
        if kept or not batch:
            super()._tell(kept)

    def _is_new(self, seen: FactObserved) -> bool:
        fact = seen.fact
        if not isinstance(fact, ENDS):
            return True
        key = f"{seen.run_id}/{fact.path}/{fact.number}"
        return self.ended.setdefault(key, fact) is fact

    # --- what the intake asks of rows ---

    def order_of(self, row: Any) -> AttemptOrder:
        """The order of an attempt."""
        return self.orders[row.name]

    def row(self, claims: Claims, *, for_log: bool = False) -> Any:
        """What stands in for the attempt's row."""
        if claims.attempt not in self.orders:
            raise Refused(410, OVER)
        return SimpleNamespace(name=claims.attempt, phase=Phase.RUNNING)

    def of(self, claims: Claims) -> Reach:
        """What the attempt may reach."""
        order = self.orders[claims.attempt]
        found = order.executor_input["inputs"].get("artifacts", {}).values()
        uris = {artifact["uri"].rstrip("/"): 0 for listed in found for artifact in listed["artifacts"]}
        root = f"minio://kfdash/v2/artifacts/contract/{claims.run_id}"
        file = order.executor_input["outputs"]["outputFile"]
        task = "minio:/" + file.removeprefix("/minio").rpartition("/")[0]
        return Reach(uris, task, root, root)

    def hand_over(self, claims: Claims, fact: Fact) -> None:
        """What the driver would hear."""
        self._tell([FactObserved(claims.run_id, fact)])

    def show(self, seen: LogObserved) -> None:
        """What those who watch a log would hear, and the lines that they would read from the store."""
        first = self.shown.get(seen.log, 0) + 1
        lines = tuple(logstore.read(pathlib.Path(self.config.logs_dir, seen.log), first, 1_000_000))
        self.shown[seen.log] = first - 1 + len(lines)
        self._tell([LogObserved(seen.log, lines, seen.ended)])


@contextlib.contextmanager
def running_intake(executor: ExecutorAndIntake, listening: socket.socket) -> Iterator[None]:
    """Serves the intake for an executor's pods."""
    options: StoreOptions = executor.config.store_options
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "LAUNCHER_KEY": executor.config.key,
            "RESULTS_ROOT": executor.config.results_root,
            "ARTIFACTS_DIR": pathlib.Path(options.artifacts_dir),
            "LOGS_DIR": pathlib.Path(executor.config.logs_dir),
            "STOP_GRACE": executor.config.grace,
        }.items():
            patch.setattr(settings, name, value)
        patch.setattr(app, "living", executor.row)
        patch.setattr(app, "row_of", executor.row)
        patch.setattr(app, "reaches", lambda: executor)
        patch.setattr(inputs, "order_of", executor.order_of)
        patch.setattr(telling, "hand_over", executor.hand_over)
        patch.setattr(telling, "_asked_to_end", lambda claims: claims.attempt in executor.asked_to_end)
        patch.setattr(logbook.logs, "append", executor.show)
        for module in (inputs, outputs, outside, telling):
            patch.setattr(module, "store_options", lambda root="": options)
        server = uvicorn.Server(uvicorn.Config(app.application, lifespan="off", access_log=False, log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield
        server.should_exit = True
        thread.join(10)
