"""One installation for all tests of this folder, KFP's own client, and the launches, several under way at once."""

from __future__ import annotations

import json
import os
import pathlib
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.conformance.expected.model import Expected
from tests.conformance.seen import Api, Seen
from tests.running import Installation

FINAL = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
EXPERIMENT = "conformance"
AT_ONCE = 4  # pipelines
WAITING = ("long-running", "log_streaming_compiled")  # they need no processor, or all of one whatever happens
LONGEST_FIRST = (*WAITING, "essential/iris_pipeline_compiled", "metrics_visualization_v2", "notebook_component_mixed")
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(os.environ.get("KFDASH_CONFORMANCE") or REPOSITORY.parent / "shared" / "conformance")

Passes = dict[str, Future[list[Seen]]]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`kfdash up` in a folder of its own; steps may be given files of this machine's own servers."""
    folder = tmp_path_factory.mktemp("conformance")
    options = {"KFDASH_STORE_OPTIONS": json.dumps({"allow_private": True}), "KFDASH_STOP_GRACE": "5"}
    with Installation(folder / "data", **options, KFDASH_MOST_ITERATIONS="2000") as installation:
        yield installation


@pytest.fixture(scope="session")
def api(stack: Installation) -> Api:
    """The stack's own API and pages."""
    return Api(stack.address)


@pytest.fixture(scope="session")
def kfp_client(stack: Installation) -> Any:
    """KFP's client, talking to the stack."""
    client = pytest.importorskip("kfp.client")
    made = client.Client(host=stack.address)
    made.create_experiment(EXPERIMENT)
    return made


class Launcher:
    """Uploads, launches and waits, as a user's script would with KFP's client."""

    def __init__(self, client: Any, api: Api, folder: pathlib.Path) -> None:
        self.client, self.api, self.folder = client, api, folder
        self.experiment = client.create_experiment(EXPERIMENT).experiment_id

    def upload(self, package: pathlib.Path) -> dict[str, str]:
        """Uploads a package under a name of its own; ids of pipeline and version."""
        pipeline = self.client.upload_pipeline(str(package), pipeline_name=f"{package.stem}-{uuid.uuid4().hex[:8]}")
        version = self.client.list_pipeline_versions(pipeline.pipeline_id, page_size=1).pipeline_versions[0]
        return {"pipeline_id": pipeline.pipeline_id, "version_id": version.pipeline_version_id}

    def launch(self, arguments: Mapping[str, Any], **source: Any) -> str:
        """Launches; the run's id. `source`: `pipeline_package_path` and `enable_caching`, or `pipeline_id` and `version_id`."""
        name = f"run {uuid.uuid4().hex[:8]}"
        run = self.client.run_pipeline(experiment_id=self.experiment, job_name=name, params=dict(arguments), **source)
        return str(run.run_id)

    def wait(self, run_id: str, seconds: float = 300) -> Seen:
        """The run once it has ended. Raises AssertionError where that does not come in time."""
        deadline = time.monotonic() + seconds
        while (state := self.client.get_run(run_id).state) not in FINAL:
            assert time.monotonic() < deadline, f"Still {state} after {seconds:.0f} s\n{Seen(self.api, run_id).story}"
            time.sleep(0.25)
        return Seen(self.api, run_id)

    def passes(self, package: pathlib.Path, expected: Expected, seconds: float = 300) -> list[Seen]:
        """Runs a pipeline from its package without cache, then from the uploaded version as compiled, twice."""
        source = self.upload(package)
        arguments = self.arguments(expected)
        first = self.launch(arguments, pipeline_package_path=str(package), enable_caching=False)
        seen = [self.wait(first, seconds)]
        arguments = self.arguments(expected)
        for _ in range(expected.passes - 1):
            seen.append(self.wait(self.launch(arguments, **source), seconds))
        return seen

    def arguments(self, expected: Expected) -> dict[str, Any]:
        """A pipeline's arguments; each time with another folder where one is asked for."""
        folder = self.folder / uuid.uuid4().hex[:8]
        folder.mkdir(parents=True)
        return {
            name: value.replace("{folder}", str(folder)) if isinstance(value, str) else value
            for name, value in expected.arguments.items()
        }


@pytest.fixture(scope="session")
def launcher(kfp_client: Any, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    """Uploads and launches on the stack."""
    return Launcher(kfp_client, api, tmp_path_factory.mktemp("arguments"))


@pytest.fixture(scope="session")
def passes(request: pytest.FixtureRequest, launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passes]:
    """Name → the passes of every pipeline that a selected test asks for: all are under way while the first ones are looked at."""
    wanted: dict[str, tuple[Expected, pathlib.Path]] = {}
    compiled = tmp_path_factory.mktemp("compiled")
    for item in request.session.items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        name, expected, feature = (parameters.get(one) for one in ("name", "expected", "feature"))
        if not isinstance(expected, Expected) or name in wanted or item.get_closest_marker("skip"):
            continue
        package = FOLDER / "pipelines" / f"{name}.yaml"
        if feature is not None:
            package = compiled / f"{name}.yaml"
            feature.compile_to(package)
        if package.exists():
            wanted[name] = expected, package
    order = sorted(wanted, key=lambda name: LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST))
    with ThreadPoolExecutor(AT_ONCE + len(wanted.keys() & set(WAITING))) as pool:
        yield {
            name: pool.submit(launcher.passes, package, expected, 700 if name == "long-running" else 300)
            for name in order
            for expected, package in [wanted[name]]
        }
        pool.shutdown(cancel_futures=True)
