"""For all tests: a data folder of their own, an SQLite database in a file, no Redis unless a test asks for one."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest

_folder = pathlib.Path(tempfile.mkdtemp(prefix="kfdash-test-"))
os.environ["KFDASH_DATA_DIR"] = str(_folder)
os.environ.setdefault("KFDASH_SECRET_KEY", "for tests")
for _name in ("KFDASH_RUNTIME_DIR", "KFDASH_ARTIFACTS_DIR", "KFDASH_LOGS_DIR", "KFDASH_REDIS_URL", "KFDASH_EXECUTOR"):
    os.environ.pop(_name, None)

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def pytest_unconfigure() -> None:
    """Removes the data folder."""
    shutil.rmtree(_folder, ignore_errors=True)


@pytest.fixture(scope="session")
def conformance() -> pathlib.Path:
    """The folder of conformance data: `KFDASH_CONFORMANCE`, else beside the checkout. Tests are skipped without it."""
    folder = pathlib.Path(os.environ.get("KFDASH_CONFORMANCE") or REPOSITORY.parent / "shared" / "conformance")
    if not folder.is_dir():
        pytest.skip(f"There is no conformance data at {folder}.")
    return folder


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    """The database in a file of the data folder: one in memory cannot be shared by threads that write."""
    from django.conf import settings  # noqa: PLC0415  # settings are read once the environment above is set

    settings.DATABASES["default"].setdefault("TEST", {})
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        settings.DATABASES["default"]["TEST"]["NAME"] = str(_folder / "test.sqlite3")
    yield
