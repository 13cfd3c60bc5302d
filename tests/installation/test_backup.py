"""A backup that is made while runs go on, and what it is worth."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest

from kfdash import backup
from tests.faults import stack
from tests.running import ON_SQLITE, Installation, wait_for

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"), ON_SQLITE]


def kfdash(installation: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of kfdash, in the installation's environment."""
    command = [sys.executable, "-P", "-m", "kfdash.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=installation.environment, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path, str, str]:
    """(the archive, the marks of steps, a run that had ended, one that was under way)."""
    folder = tmp_path_factory.mktemp("backup")
    marks = folder / "marks"
    marks.mkdir()
    with Installation(folder / "data") as installation:
        ended = stack.launch(installation, stack.whole(marks))
        stack.check_the_end(installation, ended, marks)
        (held := folder / "marks.held").touch()
        under_way = stack.launch(installation, stack.whole(marks))
        assert wait_for(lambda: stack.runs(installation, under_way, "root/body/slow"), 40), installation.said()
        done = kfdash(installation, "backup", str(folder / "kept.tar.gz"), "--data-dir", str(installation.folder))
        assert done.returncode == 0 and "keep it safe" in done.stdout, done
        assert backup.last(installation.folder / "logs") is not None  # the page System shows it
        held.unlink()
        stack.check_the_end(installation, under_way, marks)
    for mark in marks.glob("*"):  # from here on it is another life: attempts that had only begun are numbered anew
        mark.unlink()
    return folder / "kept.tar.gz", marks, ended, under_way


def test_what_was_under_way_goes_on_after_a_restore(
    made: tuple[pathlib.Path, pathlib.Path, str, str], tmp_path: pathlib.Path
) -> None:
    archive, marks, ended, under_way = made
    restored = Installation(tmp_path / "restored")
    done = kfdash(restored, "restore", str(archive), "--data-dir", str(restored.folder))
    assert done.returncode == 0 and "kfdash up --data-dir" in done.stdout, done
    with restored:
        assert stack.state(restored, ended) == "SUCCEEDED"
        attempts = stack.check_the_end(restored, under_way, marks)
        assert attempts["root/body/slow"] == 2 and attempts["root/body/first"] == 1
        texts = [line["text"] for line in stack.log(restored, ended, "root/body/first")]
        assert texts == [f"line {n}" for n in range(1, stack.LINES + 1)]
    stack.check_what_it_said(restored)


def test_only_who_made_it_may_read_it(made: tuple[pathlib.Path, pathlib.Path, str, str]) -> None:
    assert made[0].stat().st_mode & 0o077 == 0
    assert [path.name for path in made[0].parent.iterdir() if path.name.endswith(".part")] == []


def test_a_folder_that_holds_something_is_left_alone(
    made: tuple[pathlib.Path, pathlib.Path, str, str], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").write_text("mine")
    done = kfdash(Installation(tmp_path / "data"), "restore", str(made[0]), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1 and "is not empty" in done.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine"]


def test_half_an_archive_restores_nothing(made: tuple[pathlib.Path, pathlib.Path, str, str], tmp_path: pathlib.Path) -> None:
    whole = made[0].read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    done = kfdash(Installation(tmp_path / "data"), "restore", str(tmp_path / "half.tar.gz"), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1 and "no whole backup" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "host/processes", "artifacts/../../outside"])
def test_nothing_is_written_elsewhere(made: tuple[pathlib.Path, pathlib.Path, str, str], tmp_path: pathlib.Path, name: str) -> None:
    with tarfile.open(made[0]) as archive:
        archive.extractall(tmp_path / "inside", filter="data")
    (tmp_path / "bad").write_text("bad")
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.add(tmp_path / "inside" / "manifest.json", "manifest.json")
        member = archive.gettarinfo(tmp_path / "bad")
        member.name = name
        with (tmp_path / "bad").open("rb") as content:
            archive.addfile(member, content)
    done = kfdash(Installation(tmp_path / "data"), "restore", str(tmp_path / "bad.tar"), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1 and "does not belong there" in done.stderr
    assert not (tmp_path / "data").exists() and not (tmp_path / "outside").exists()


def test_a_backup_of_a_newer_version_is_refused(made: tuple[pathlib.Path, pathlib.Path, str, str], tmp_path: pathlib.Path) -> None:
    with tarfile.open(made[0]) as archive:
        archive.extractall(tmp_path / "inside", filter="data")
    manifest = tmp_path / "inside" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"runs.0001', '"runs.9999_from_later", "runs.0001'))
    with tarfile.open(tmp_path / "newer.tar", "w") as archive:
        for path in (manifest, tmp_path / "inside" / "kfdash.sqlite3"):
            archive.add(path, path.name)
    done = kfdash(Installation(tmp_path / "data"), "restore", str(tmp_path / "newer.tar"), "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 1 and "newer than this one" in done.stderr


def test_what_cannot_be_backed_up_is_said(tmp_path: pathlib.Path) -> None:
    nowhere = Installation(tmp_path / "nowhere")
    done = kfdash(nowhere, "backup", str(tmp_path / "kept.tar"), "--data-dir", str(tmp_path / "nowhere"))
    assert done.returncode == 1 and "nothing to back up" in done.stderr
    nowhere.environment["KFDASH_DATABASE_URL"] = "postgresql://kfdash@127.0.0.1:1/kfdash"
    done = kfdash(nowhere, "backup", str(tmp_path / "kept.tar"), "--data-dir", str(tmp_path / "nowhere"))
    assert done.returncode == 1 and "pg_dump" in done.stderr
    done = kfdash(nowhere, "backup", "--noted", "--data-dir", str(tmp_path / "nowhere"))
    assert done.returncode == 0 and backup.last(tmp_path / "nowhere" / "logs") is not None, done
    shutil.rmtree(tmp_path / "nowhere", ignore_errors=True)
