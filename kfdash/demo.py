"""`kfdash up --demo`: uploads the sample pipeline and runs it, once for each data folder."""

from __future__ import annotations

import pathlib
import time

from django.db import transaction

import pipelines.samples
from kfdash.installation import CannotStart
from pipelines.models import Pipeline
from pipelines.services import upload_pipeline
from runs.engine.model import State
from runs.models import Run
from runs.services import launch_run

SAMPLE, NAME = "training.yaml", "train-and-publish"
_PATIENCE = 600.0  # seconds that we watch the run for


def main(address: str) -> int:
    """Launches the sample where that was not done before, and says how its run ends. `address` is the dashboard's."""
    run = launch()
    if run is None:
        return 0
    print(f"The sample pipeline runs: {address}/runs/{run.pk}/", flush=True)
    state = wait(run)
    seconds = time.time() - run.created_at.timestamp()
    if not state.is_final:
        print(f"The sample pipeline still runs after {seconds:.0f} s.", flush=True)
        return 1
    print(f"The sample pipeline ended as {state.value} after {seconds:.0f} s: {address}/runs/{run.pk}/", flush=True)
    return 0 if state is State.SUCCEEDED else 1


def launch() -> Run | None:
    """The sample's run; None where the sample pipeline was uploaded before."""
    package = pathlib.Path(pipelines.samples.__file__).with_name(SAMPLE)
    try:
        data = package.read_bytes()
    except OSError as error:
        raise CannotStart(f"The sample pipeline {package} cannot be read: {error.strerror}.") from None
    with transaction.atomic():
        if Pipeline.objects.filter(name=NAME).exists():
            return None
        pipeline, version = upload_pipeline(data=data, file_name=SAMPLE, name=NAME)
        return launch_run(specification=version.specification, version=version, arguments={}, name=pipeline.display_name)


def wait(run: Run) -> State:
    """The state in which the run ends, or the one it has when patience does."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        run.refresh_from_db(fields=["state"])
        state = State(run.state)
        if state.is_final or time.monotonic() > deadline:
            return state
        time.sleep(0.25)
