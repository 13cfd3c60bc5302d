"""Child processes that do not outlive their parent: forked from it where the system can promise that, else started anew."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

LINUX = sys.platform == "linux"
_SET_DEATH_SIGNAL, _SET_NAME = 1, 15  # prctl

# Elsewhere a shell holds the reading end of a pipe, which ends when the parent does, however that ended.
_UNTIL_PARENT_ENDS = """
trap : TERM
"$@" & child=$!
(read -r nothing; kill "$child") <&3 & watch=$!
while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
kill "$watch" 2>/dev/null
exit "$code"
"""

if LINUX:
    _libc = ctypes.CDLL(None, use_errno=True)


def lives(pid: int | None) -> bool:
    """Whether it runs; what has ended and was not waited for yet does not."""
    if not pid:
        return False
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):
            return False
    except OSError:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def fork(name: str, serve: Callable[[], None], close: Sequence[int]) -> int:
    """A child that runs `serve` and then ends; its pid. Linux only: there the kernel ends it with its parent.

    The parent has one thread and no open connection. `close` are its descriptors that the child must not keep.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        os.setpgid(0, 0)  # Ctrl-C is for the parent alone: it ends its children in order
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in close:
            os.close(descriptor)
        _die_with(parent, signal.SIGKILL)
        call_it(name)
        serve()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # a child must never go on as its parent
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def start(
    command: Sequence[str], *, lifeline: int, keep: Sequence[int] = (), environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts a program, in a process group of its own, that is told to end (SIGTERM) when this process has ended.

    `lifeline` is the reading end of a pipe that only this process can write to; `keep` are descriptors for the program.
    """
    if not LINUX:
        shell = ["/bin/sh", "-c", f"exec 3<&{lifeline}\n{_UNTIL_PARENT_ENDS}", "sh", *command]
        return subprocess.Popen(
            shell, stdin=subprocess.DEVNULL, pass_fds=(lifeline, *keep), env=environment, start_new_session=True
        )
    parent = os.getpid()
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        pass_fds=tuple(keep),
        env=environment,
        process_group=0,
        preexec_fn=lambda: _die_with(parent, signal.SIGTERM),
    )


def call_it(name: str) -> None:
    """The name of this process in its log lines and in lists of processes."""
    multiprocessing.current_process().name = name
    if LINUX:
        _libc.prctl(_SET_NAME, f"kfdash-{name}".encode()[:15])


def threads() -> int:
    """How many threads this process has, those of libraries included; 1 where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _die_with(parent: int, number: signal.Signals) -> None:
    _libc.prctl(_SET_DEATH_SIGNAL, number)
    if os.getppid() != parent:  # it ended before the kernel was told
        os._exit(1)
