"""Components for tests of the local executor. Their sources are all that a step gets: each imports what it needs.

Not for `from __future__ import annotations`: the SDK reads the annotations as they are.
"""
# ruff: noqa: PLC0415, SIM115

from kfp import dsl


def add(a: int, b: int) -> int:
    return a + b


def look_around() -> str:
    import json
    import os
    import sys

    import __main__

    arguments = [os.path.basename(sys.argv[0]), *(a if a.startswith("--") else "…" for a in sys.argv[1:])]
    return json.dumps(
        {
            "argv": arguments,
            "main": [__main__.__name__, __main__.__spec__.name, os.path.basename(__main__.__file__), sorted(vars(__main__))],
            "module": __name__,
            "path": [os.path.basename(sys.path[0])[:4], sys.path[1] == os.getcwd(), any(p.endswith("/host") for p in sys.path)],
            "flags": [sys.flags.optimize, sys.dont_write_bytecode, sys.flags.isolated],
            "encodings": [sys.stdout.encoding, sys.stderr.encoding, sys.getfilesystemencoding(), sys.stderr.errors],
            "group": [os.getpid() == os.getsid(0) or "shell", os.isatty(0), os.isatty(1)],
            "executable": sys.executable.rsplit("/", 2)[1],
            "orig": [os.path.basename(sys.orig_argv[0]), *sys.orig_argv[1:3]],
            "runtime": os.environ["_KFP_RUNTIME"],
            "streams": [sys.stdout is sys.__stdout__, sys.stdout.fileno(), sys.stderr.fileno()],
        },
        sort_keys=True,
    )


def variables() -> str:
    import json
    import os

    return json.dumps(dict(os.environ))


def fail() -> None:
    import sys

    print("> before")
    print("> warning", file=sys.stderr)
    raise KeyError("petal_width")


def leave(how: str) -> None:
    import atexit
    import os
    import sys
    import threading
    import time

    atexit.register(lambda: print("> handler"))
    if how == "number":
        sys.exit(3)
    if how == "text":
        sys.exit("> no more")
    if how == "none":
        sys.exit()
    if how == "large":
        sys.exit(256 + 7)
    if how == "at once":
        print("> lost or not, at once")
        os._exit(4)
    if how == "thread":

        def late():
            time.sleep(0.3)
            print("> late")

        threading.Thread(target=late).start()
        sys.exit(5)
    if how == "daemon":
        threading.Thread(target=time.sleep, args=[60], daemon=True).start()
        sys.exit(6)
    if how == "signal":
        os.kill(os.getpid(), 11)


def leave_open(path: str):
    global mine, ring
    mine = open(path, "w")
    mine.write("in a global, ")
    ring = [open(path + "2", "w")]
    ring.append(ring)
    ring[0].write("in a ring")


def use_processes() -> int:
    import multiprocessing
    import subprocess
    import sys

    with multiprocessing.get_context("fork").Pool(2) as pool:
        total = sum(pool.map(abs, [-1, -2, -3]))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        total += sum(pool.map(abs, [-10]))
    out = subprocess.run([sys.executable, "-c", "import kfp.dsl; print(100)"], capture_output=True, text=True, check=True).stdout
    return total + int(out)


def install() -> str:
    import subprocess
    import sys

    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "toolz"], check=True)
    import toolz

    return toolz.__file__


def randomness() -> float:
    import random

    return random.random()


def slow() -> None:
    import time

    print("> first")
    time.sleep(60)


def many_lines() -> None:
    for number in range(120_000):
        print(f"epoch {number} loss 0.123456789")


def train(rows: int, model: dsl.Output[dsl.Model], scores: dsl.Output[dsl.Metrics], notes: dsl.OutputPath(str)):  # type: ignore[valid-type]
    import json

    with open(model.path, "w") as file:
        json.dump({"rows": rows}, file)
    model.metadata["framework"] = "by hand"
    scores.log_metric("accuracy", 0.5)
    with open(notes, "w") as file:
        file.write(f"trained on {rows} rows")


def use(model: dsl.Input[dsl.Model]) -> str:
    with open(model.path) as file:
        return f"{file.read()} {model.metadata['framework']} {model.uri.startswith('/')}"
