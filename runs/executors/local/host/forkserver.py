"""A process that forks steps. A program of its own, standard library only: it runs under the interpreter of an environment.

`python forkserver.py <descriptor> [module…]`: imports the modules (so that each step has them at once), says it is ready on the
socket, and then forks one child for each job. Messages are JSON lines: in come `{"id", "job"}` with two descriptors for stdout
and stderr, and `{"id", "signal"}`; out go `{"ready"}`, `{"id", "pid"}` and `{"id", "status", "peak", "left"}`. The end of the
socket is the end of all steps. What a job holds is in `attempts.py`, `_launch`.

What a step can see must be what its command would have given it: arguments, `__main__`, tracebacks, exit code, exit handlers,
threads and buffers.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import gc
import importlib.machinery
import json
import os
import resource
import runpy
import select
import signal
import socket
import sys
import threading
import time
import types
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_MARK = "KFP_POD_NAME"  # the variable with the step's name
_ENDED_FIRST = "500"  # where memory runs out the kernel ends a step before it ends the server
_LINUX = sys.platform == "linux"
_MEMORY_UNIT = 1024 if _LINUX else 1  # of ru_maxrss
_LIBC = ctypes.CDLL(None) if _LINUX else None


class Server:
    """The loop: jobs in, ends out."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.buffer = b""
        self.descriptors: list[int] = []
        self.steps: dict[int, str] = {}  # pid → id
        self.wake, self.waker = os.pipe()
        for end in (self.wake, self.waker):
            os.set_blocking(end, False)

    def serve(self) -> dict[str, Any] | None:
        """Serves until the socket ends (returns None); in a child returns its job."""
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.say({"ready": os.getpid()})
        control = self.control.fileno()
        while True:
            ready, _, _ = select.select([control, self.wake], [], [])
            if self.wake in ready:
                os.read(self.wake, 65536)
                self.reap()
            if control in ready:
                messages = self.receive()
                if messages is None:
                    self.end_all()
                    return None
                for message in messages:
                    if job := self.obey(message):
                        return job

    def say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the host has gone: the loop sees the socket's end
            self.control.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]] | None:
        """Complete messages that came; None at the end of the socket."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.control, 65536, 64)
        except OSError:
            return None
        self.descriptors += descriptors
        if not data:
            return None
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def obey(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Carries out one message; in a new child returns its job."""
        if "job" in message:
            out, err = self.descriptors[:2]
            del self.descriptors[:2]
            pid = os.fork()
            if pid == 0:
                self.become_step(out, err)
                return dict(message["job"])
            os.close(out)
            os.close(err)
            self.steps[pid] = message["id"]
            self.say({"id": message["id"], "pid": pid})
        else:
            for pid, name in self.steps.items():
                if name == message["id"]:
                    _signal_group(pid, message["signal"])
        return None

    def become_step(self, out: int, err: int) -> None:
        """The child: a session of its own, its streams, and nothing that is the server's."""
        parent = os.getppid()
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(out, 1)
        os.dup2(err, 2)
        for descriptor in {out, err, self.wake, self.waker, *self.descriptors} - {1, 2}:
            os.close(descriptor)
        self.control.close()
        if _LIBC:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before it could be tied to
                os._exit(1)

    def reap(self) -> None:
        """Tells of children that ended, after everything they left behind has been ended too."""
        ended = False
        while dead := self.next_dead():
            pid, status, usage = dead
            if pid in self.steps:
                ended = True
                name = self.steps.pop(pid)
                left = self.end_orphans(pid, name)
                self.say({"id": name, "status": status, "peak": usage.ru_maxrss * _MEMORY_UNIT, "left": left})
        if ended and not self.steps:
            self.end_orphans(0)

    def next_dead(self) -> tuple[int, int, resource.struct_rusage] | None:
        """Reaps one child that has ended; its group is killed while the zombie still holds the number."""
        try:
            if not hasattr(os, "waitid"):
                dead = os.wait4(-1, os.WNOHANG)
                if dead[0] in self.steps:
                    _signal_group(dead[0], signal.SIGKILL)
                return dead if dead[0] else None
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                return None
            if found.si_pid in self.steps:
                _signal_group(found.si_pid, signal.SIGKILL)
            return os.wait4(found.si_pid, 0)
        except ChildProcessError:
            return None

    def end_orphans(self, session: int, name: str = "") -> int:
        """Ends processes that a step left behind (0: all that no step owns). Its orphans have become our children; those in
        a session of their own are known by the step's name in their environment.
        """
        ended: set[int] = set()
        deadline = time.monotonic() + 2  # for one that hangs in the kernel
        while time.monotonic() < deadline:
            left = [pid for pid in _children() if pid not in self.steps]
            orphans = [pid for pid in left if session in (0, _session(pid)) or (name and _named(pid, name))]
            if not orphans:
                break
            for pid in orphans:
                ended.add(pid)
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.001)
        return len(ended)

    def end_all(self) -> None:
        """The host has gone: no step outlives it."""
        for pid in self.steps:
            _signal_group(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while self.steps and time.monotonic() < deadline:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid:
                self.steps.pop(pid, None)
            else:
                time.sleep(0.005)
        self.end_orphans(0)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except OSError:
        with contextlib.suppress(OSError):
            os.kill(pid, number)  # before its setsid


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _named(pid: int, name: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{_MARK}={name}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


# --- the child ------------------------------------------------------------------------------------------------------


def prepare(job: dict[str, Any]) -> None:
    """Folder, environment and limits of a step."""
    if job.get("file_limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_limit"], job["file_limit"]))
    if _LINUX:
        with contextlib.suppress(OSError, ValueError):
            limit_processes(job.get("process_limit", 0))
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(_ENDED_FIRST)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["env"])
    if "TZ" in job["env"]:
        time.tzset()


def limit_processes(most: int) -> None:
    """As the system counts them, for all processes of the user: those that are there, and `most` more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    with open("/proc/loadavg") as file:
        wanted = int(file.read().split()[3].rpartition("/")[2]) + most
    if most and (soft == resource.RLIM_INFINITY or wanted < soft):
        resource.setrlimit(resource.RLIMIT_NPROC, (wanted, hard))


def run_command(argv: list[str]) -> None:
    """Becomes another program. Does not return."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, os.environ)
    except OSError as error:
        os.write(2, f"kfdash: {argv[0]}: {error.strerror}\n".encode(errors="replace"))
        os._exit(126 if isinstance(error, PermissionError) else 127)


def run_module(job: dict[str, Any]) -> None:
    """What `python3 -m <module> <args>` does, with the program's source written first as the SDK's script does."""
    folder = os.path.join(job["env"]["TMPDIR"], "tmp.program")
    os.makedirs(folder, exist_ok=True)
    source = os.path.join(folder, "ephemeral_component.py")
    with open(source, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(job["source"])
    sys.argv = ["-m", "--component_module_path", source, *job["args"]]
    sys.orig_argv = [sys.executable, "-m", job["module"], *sys.argv[1:]]
    sys.path[:0] = [job["folder"], *job["python_path"]]
    known = set(sys.modules)
    heed_custom_paths()
    keep_no_bytecode_of(source)
    main = types.ModuleType("__main__")
    main.__dict__.update({"__builtins__": __builtins__, "__annotations__": {}})
    sys.modules["__main__"] = main
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # what is printed is seen at once
    gc.enable()
    code = 0
    try:
        runpy._run_module_as_main(job["module"])  # type: ignore[attr-defined]
    except SystemExit as error:
        code = _exit_code(error.code)
    except BaseException as error:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
    end(code, known)


def heed_custom_paths() -> None:
    """Lets the SDK's executor find inputs at their custom path: it reads that of outputs alone, and what was fetched from
    another store, or lies in the run's workspace, has no other place here.
    """
    executor = sys.modules.get("kfp.dsl.executor")
    make = getattr(executor, "create_artifact_instance", None)
    if make is None:
        return

    def made(artifact: dict[str, Any], *rest: Any, **named: Any) -> Any:
        found = make(artifact, *rest, **named)
        if artifact.get("customPath"):
            found.custom_path = artifact["customPath"]
        return found

    executor.create_artifact_instance = made  # type: ignore[union-attr]


def keep_no_bytecode_of(source: str) -> None:
    """Nobody loads the component's source a second time."""
    loader: Any = importlib.machinery.SourceFileLoader
    cache = getattr(loader, "_cache_bytecode", None)
    if cache is None:
        return

    def cached(self: Any, path: str, *rest: Any) -> None:
        if path != source:
            cache(self, path, *rest)

    loader._cache_bytecode = cached


def _exit_code(code: object) -> int:
    """What the interpreter makes of `sys.exit(code)`."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def end(code: int, known: set[str]) -> None:
    """Ends the step as the interpreter would: threads are waited for, exit handlers run, what the step loaded is let go
    of (open files are written), streams are flushed. What was here before the fork is left alone: to take it apart would
    copy all of its memory first, which takes longer than a small step.
    """
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    gc.collect()  # twice, as the interpreter: a file in a ring of objects is then written before it is closed
    for name in [name for name in sys.modules if name not in known] + ["__main__"]:
        names = getattr(sys.modules[name], "__dict__", {})
        for key in list(names):
            if key != "__builtins__":
                names[key] = None
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError):
            continue  # taken away or closed by the step
        except OSError:
            code = code or 120
    os._exit(code)


def warm(modules: list[str]) -> None:
    """Imports what steps need. The modules themselves are taken out again: each step runs its own as `__main__`."""
    for name in modules:
        __import__(name)
    if modules:  # what the executor loads when it reads its arguments
        parser = argparse.ArgumentParser(description="-")
        parser.add_argument("--name", type=str, required=True, help="-")
        parser.parse_known_args(["--name", "-"])
    for name in modules:
        package, _, last = name.rpartition(".")
        sys.modules.pop(name, None)
        if package and hasattr(sys.modules[package], last):
            delattr(sys.modules[package], last)
    gc.collect()
    gc.disable()
    gc.freeze()


def main() -> dict[str, Any]:
    """The server's life; returns in a child, with its job."""
    sys.path.pop(0)  # this file's folder
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    if _LIBC:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    warm(sys.argv[2:])
    job = Server(control).serve()
    if job is None:
        os._exit(0)
    try:
        prepare(job)
    except OSError as error:
        os.write(2, f"kfdash: the step's folder cannot be used: {error}\n".encode(errors="replace"))
        os._exit(125)
    return job


if __name__ == "__main__":
    _job = main()
    if "argv" in _job:
        run_command(_job["argv"])
    run_module(_job)
