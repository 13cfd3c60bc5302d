"""What is missing is named, with a way to get it."""

from __future__ import annotations

import pathlib
import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import LazySettings

from kfdash import doctor, installation

Usage = namedtuple("Usage", ["total", "used", "free"])


def test_all_is_well_here(capsys: pytest.CaptureFixture[str], db: None) -> None:
    assert doctor.main() == 0
    said = capsys.readouterr().out
    for word in ("kfdash", "data folder", "disk space", "redis", "graphviz", "uv", "database"):
        assert word in said
    assert "MISSING" not in said


def test_many_may_look_at_one_shared_folder_at_once(tmp_path: pathlib.Path, settings: LazySettings) -> None:
    settings.ARTIFACTS_DIR = settings.LOGS_DIR = settings.DATA_DIR = tmp_path / "shared"
    with ThreadPoolExecutor(8) as pool:  # as processes of pods, which all have the same number
        said = {finding.sentence for finding in pool.map(lambda _: doctor.data_folder(), range(400))}
    assert len(said) == 1 and "cannot be written" not in said.pop()


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """A machine without any of the programs."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(doctor, "_wheel_of_redis", lambda: "")
    monkeypatch.setattr(doctor.uv_package, "find_uv_bin", (tmp_path / "uv").read_text)
    monkeypatch.delenv("KFDASH_REDIS_URL", raising=False)


def test_without_graphviz_pages_lack_graphs_and_say_how_to_get_them(bare: None) -> None:
    found = doctor.graphviz()
    assert not found.ok and not found.needed
    assert "graphviz-pure" in found.sentence


def test_without_uv_components_cannot_have_packages(bare: None, settings: LazySettings) -> None:
    settings.EXECUTOR = "local"
    found = doctor.uv()
    assert not found.ok
    assert "pip install uv" in found.sentence


def test_uv_is_the_business_of_the_local_executor_only(bare: None, settings: LazySettings) -> None:
    settings.EXECUTOR = "kubernetes"
    assert doctor.uv().ok


def test_without_redis_nothing_starts(bare: None) -> None:
    found = doctor.redis_server()
    assert not found.ok and found.needed
    assert "redis-server" in found.sentence
    with pytest.raises(installation.CannotStart, match="no Redis"):
        installation.check()


def test_the_system_s_redis_will_do(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/redis-server" if name == "redis-server" else None)
    assert doctor.redis_server() == doctor.Finding("redis", "/usr/bin/redis-server")


@pytest.mark.parametrize(("free", "ok", "needed"), [(50, False, True), (500, False, False), (5000, True, True)])
def test_a_full_disk_stops_it_and_a_fuller_one_is_told_of(
    monkeypatch: pytest.MonkeyPatch, free: int, ok: bool, needed: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**12, 0, free * 2**20))
    found = doctor.disk_space()
    assert (found.ok, found.needed) == (ok, needed)
    assert ok or f"{free} MiB" in found.sentence


def test_a_path_too_long_for_a_socket_is_told_of(settings: LazySettings, tmp_path: pathlib.Path) -> None:
    settings.RUNTIME_DIR = tmp_path / ("x" * 100)
    found = doctor.runtime_folder()
    assert not found.ok
    assert "KFDASH_RUNTIME_DIR" in found.sentence


def test_a_run_time_folder_that_is_a_link_is_not_trusted(settings: LazySettings, tmp_path: pathlib.Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    settings.RUNTIME_DIR = tmp_path / "link"
    assert not doctor.runtime_folder().ok


def test_a_program_that_does_not_work_is_named(monkeypatch: pytest.MonkeyPatch, settings: LazySettings) -> None:
    settings.EXECUTOR = "local"
    monkeypatch.setattr(doctor, "uv_program", lambda: "/bin/false")
    found: Any = doctor.uv()
    assert not found.ok and "/bin/false" in found.sentence
