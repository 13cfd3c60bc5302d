"""Steps that misbehave, through the API: they end with a sentence, and another run's steps go on beside them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from runs.executors.local.host.processes import out_of_memory_kills
from tests.faults.stack import call, check_what_it_said, end, figure, launch, log, runs, state, step, tasks
from tests.running import Installation, wait_for

ONLY = "root/only"
CGROUP = pathlib.Path("/sys/fs/cgroup/memory")


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose steps may do little; another run's steps go on all the time."""
    limits = {"KFDASH_STEP_LOG_MIB": "2", "KFDASH_STEP_OUTPUT_MIB": "60", "KFDASH_STEP_PROCESSES": "150", "KFDASH_STOP_GRACE": "1"}
    with Installation(tmp_path_factory.mktemp("steps") / "data", **limits) as installation:
        beside = launch(installation, step("while true; do echo $(date +%s%N); sleep 0.1; done"))
        assert wait_for(lambda: runs(installation, beside, ONLY), 40), installation.said()
        yield installation
        assert state(installation, beside) == "RUNNING"
        times = [int(line["text"]) / 1e9 for line in log(installation, beside, ONLY)]
        print(f"\nthe longest pause of the run beside: {max(b - a for a, b in zip(times, times[1:], strict=False)):.1f} s")
        call(installation, f"/apis/v2beta1/runs/{beside}:terminate", {})
        end(installation, beside)
    check_what_it_said(installation)


def ended(installation: Installation, script: str, **more: Any) -> dict[str, Any]:
    """The task of a step that ran this script to its end."""
    run_id = launch(installation, step(script, **more))
    end(installation, run_id)
    found: dict[str, Any] = tasks(installation, run_id)[ONLY]
    return {**found, "run": run_id}


def stop(installation: Installation, run_id: str) -> None:
    call(installation, f"/apis/v2beta1/runs/{run_id}:terminate", {})


def alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_one_that_prints_without_end_is_cut_off_and_can_be_stopped(limited: Installation) -> None:
    run_id = launch(limited, step("yes 0123456789012345678901234567890123456789"))
    address = f"/apis/kfdash/v1/runs/{run_id}/log?node={ONLY}&search=limit%20is%20reached"
    assert wait_for(lambda: runs(limited, run_id, ONLY) and call(limited, address)["lines"], 30)
    stop(limited, run_id)
    assert end(limited, run_id) == "FAILED"  # KFP's word for a stopped run
    stored = sum(file.stat().st_size for file in (limited.folder / "logs" / run_id).rglob("*.log"))
    assert stored < 3 * 1024 * 1024


def test_one_that_writes_a_large_file_ends_with_a_sentence(limited: Installation) -> None:
    found = ended(limited, "head -c 100000000 /dev/zero > large; echo $?; exec head -c 100000000 /dev/zero > larger")
    assert found["state"] == "FAILED" and "limit" in found["reason"], found


def test_one_that_writes_many_files_ends_with_a_sentence(limited: Installation) -> None:
    found = ended(limited, "for i in $(seq 8); do head -c 20000000 /dev/zero > file$i; done; sleep 600")
    assert found["state"] == "FAILED"
    assert found["reason"] == "Wrote more than 60 MiB, the most that a step may", found


def test_children_and_grandchildren_do_not_outlive_their_step(limited: Installation) -> None:
    script = "sleep 600 & echo $!; (setsid sleep 600 & echo $!); (sh -c 'nohup sleep 600 & echo $!; wait' &); sleep 0.3"
    found = ended(limited, script)
    assert found["state"] == "SUCCEEDED", found
    pids = [int(line["text"]) for line in log(limited, found["run"], ONLY) if line["text"].isdigit()]
    assert len(pids) == 3
    assert wait_for(lambda: not any(alive(pid) for pid in pids), 5)


def test_one_that_ignores_sigterm_is_ended_by_force(limited: Installation) -> None:
    run_id = launch(limited, step("trap '' TERM; echo ready; while true; do sleep 0.1; done"))
    assert wait_for(lambda: runs(limited, run_id, ONLY) and log(limited, run_id, ONLY), 30)
    began = time.monotonic()
    stop(limited, run_id)
    assert end(limited, run_id) == "FAILED"
    figure("a step that ignores SIGTERM, with a grace of 1 s", began)
    assert tasks(limited, run_id)[ONLY]["state"] == "CANCELED"
    assert "SIGTERM" in log(limited, run_id, ONLY)[-1]["text"]


def test_one_that_multiplies_is_ended_at_once(limited: Installation) -> None:
    began = time.monotonic()
    found = ended(limited, "for i in $(seq 1500); do sleep 600 & done; wait")
    figure("a step that multiplies", began)
    assert found["state"] == "FAILED"
    assert "more than the 150 that a step may have" in found["reason"], found
    assert not [pid for pid in limited.processes() if "sleep\0600" in command(pid)]


def command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def test_one_that_is_refused_memory_ends_with_a_sentence(limited: Installation) -> None:
    found = ended(limited, "ulimit -v 200000; exec python3 -c 'bytearray(1 << 30)'")
    assert found["state"] == "FAILED"
    assert "MemoryError" in found["reason"], found


def test_where_memory_runs_out_a_step_goes_before_the_server(limited: Installation) -> None:
    found = ended(limited, "cat /proc/self/oom_score_adj")
    [line] = log(limited, found["run"], ONLY)
    servers = [int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in limited.parts().values()]
    assert int(line["text"]) > max(servers)


def test_one_that_dies_of_memory_ends_with_a_sentence(limited: Installation) -> None:
    group = CGROUP / f"kfdash-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(700 * 1024 * 1024))
    except OSError as error:
        pytest.skip(f"The memory of an installation cannot be limited here: {error}")
    try:
        for pid in limited.processes():
            with contextlib.suppress(OSError):
                (group / "cgroup.procs").write_text(str(pid))
        before, parts = out_of_memory_kills(), limited.parts()
        found = ended(limited, "exec python3 -c 'kept = [bytearray(b\"x\") * (1 << 24) for _ in range(200)]'")
        assert out_of_memory_kills() > before
        assert found["state"] == "FAILED" and "out of memory: the kernel ended it" in found["reason"].lower(), found
        assert limited.parts() == parts
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (CGROUP / "cgroup.procs").write_text(pid)
        with contextlib.suppress(OSError):
            group.rmdir()
