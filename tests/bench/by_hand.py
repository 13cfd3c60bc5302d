"""The same steps without kfdash: fork an interpreter that has imported the KFP executor, run it, write and read the outputs.

`python -m tests.bench.by_hand STEPS PARALLEL` prints the seconds that so many steps took, so many at a time.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import tempfile
import time

from kfp.dsl import executor_main

SOURCE = (
    "import kfp\nfrom kfp import dsl\nfrom kfp.dsl import *\nfrom typing import *\n\ndef add(x: int) -> int:\n    return x + 1\n"
)


def main(steps: int, parallel: int) -> float:
    """Seconds for all steps; each takes what the one before gave when they run one at a time."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        running: dict[int, pathlib.Path] = {}
        value = done = 0
        for number in range(steps):
            place = pathlib.Path(folder) / str(number)
            place.mkdir()
            running[_start(place, value)] = place
            while len(running) >= parallel or (number == steps - 1 and running):
                pid, status = os.wait()
                assert not status
                value = json.loads((running.pop(pid) / "output.json").read_text())["parameterValues"]["Output"]
                done += 1
        assert done == steps
        return time.perf_counter() - began


def _start(place: pathlib.Path, value: int) -> int:
    order = {
        "inputs": {"parameterValues": {"x": value}},
        "outputs": {
            "parameters": {"Output": {"outputFile": str(place / "Output")}},
            "outputFile": str(place / "output.json"),
        },
    }
    if pid := os.fork():
        return pid
    log = os.open(place / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    source = place / "ephemeral_component.py"
    source.write_text(SOURCE)
    words = ["--component_module_path", str(source), "--executor_input", json.dumps(order), "--function_to_execute", "add"]
    sys.argv = ["executor", *words]
    executor_main.executor_main()
    os._exit(0)


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2])))
