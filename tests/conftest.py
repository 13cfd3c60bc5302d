"""For all tests: a data folder of their own, an SQLite database in a file, no Redis unless a test asks for one."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
from collections.abc import Generator, Iterator
from typing import Any

import hypothesis
import pytest
from django.conf import settings

from runs.stores import store_options

_folder = pathlib.Path(tempfile.mkdtemp(prefix="kfdash-test-"))
os.environ["KFDASH_DATA_DIR"] = str(_folder)
os.environ["DJANGO_SETTINGS_MODULE"] = "kfdash.settings"  # here, not in pyproject.toml: there it is read before this file is
os.environ.setdefault("KFDASH_SECRET_KEY", "for tests")
for _name in ("KFDASH_RUNTIME_DIR", "KFDASH_ARTIFACTS_DIR", "KFDASH_LOGS_DIR", "KFDASH_REDIS_URL", "KFDASH_EXECUTOR"):
    os.environ.pop(_name, None)

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


# How long examples take tells of the machine that runs the tests, not of what is tested.
hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Reads the settings, now that the environment is that of tests; pytest-django sets Django up with what is read."""
    assert _folder.resolve() == settings.DATA_DIR
    if config.getoption("numprocesses", None):
        del os.environ["DJANGO_SETTINGS_MODULE"]  # else the processes that run the tests read the settings before this file


def pytest_unconfigure() -> None:
    """Removes the data folder."""
    shutil.rmtree(_folder, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where `KFDASH_TEST_NEEDS` names a marker, a test with it that is skipped has failed: it could have run."""
    report = yield
    needed = set(os.environ.get("KFDASH_TEST_NEEDS", "").split()) & {mark.name for mark in item.iter_markers()}
    if report.skipped and needed and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"Skipped, though {' and '.join(sorted(needed))} should be here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def conformance() -> pathlib.Path:
    """The folder of conformance data: `KFDASH_CONFORMANCE`, else beside the checkout. Tests are skipped without it."""
    folder = pathlib.Path(os.environ.get("KFDASH_CONFORMANCE") or REPOSITORY.parent / "shared" / "conformance")
    if not folder.is_dir():
        pytest.skip(f"There is no conformance data at {folder}.")
    return folder


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """SQLite in a file of the data folder: one in memory cannot be shared by threads that write. Each process has its own."""
    settings.DATABASES["default"].setdefault("TEST", {})
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        settings.DATABASES["default"]["TEST"]["NAME"] = str(_folder / "test.sqlite3")
    yield


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """For tests on rows: nothing leaves for Celery, for Redis or for pages; this is what would have."""
    jobs: list[tuple] = []
    monkeypatch.setattr("kfdash.outbox._send", lambda job, args: jobs.append((job, *args)))
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, facts: jobs.append(("facts", run_id, facts)))
    monkeypatch.setattr("kfdash.live.publish_run", lambda run_id, message: jobs.append(("live", run_id, message)))
    return jobs


@pytest.fixture
def folders(settings: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For tests of retention: folders of their own, rules that are never due by themselves, and passes that do not rest."""
    settings.ARTIFACTS_DIR, settings.LOGS_DIR, settings.HOST_DIR = (tmp_path / name for name in ("artifacts", "logs", "host"))
    settings.RETENTION = "off"
    monkeypatch.setattr("runs.retention.work._MOST_REST", 0.0)
    store_options.cache_clear()
    yield
    store_options.cache_clear()
