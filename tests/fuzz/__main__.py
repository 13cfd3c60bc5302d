"""`python -m tests.fuzz`: many random cases of every part, over all cores; one line a part, and what failed."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pathlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.fuzz import alone, seeds

PARTS = {  # a module with `fuzz(count, start)`, and how many cases it is given
    "packages": 100_000,
    "steps": 20_000,
    "words": 20_000,
    "host": 2_000,
    "sockets": 2_000,
    "requests": 4_000,
}
ROUND = {"packages": 500, "steps": 1_000, "words": 1_000, "host": 500, "sockets": 500, "requests": 1_000}  # cases of one process
SAID_EVERY = 20  # rounds


def main() -> int:
    """The program; 1 where anything failed."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all unless said")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--cases", type=int, help="of each part")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    print(f"seed {options.seed}, {options.processes} processes", flush=True)
    with tempfile.TemporaryDirectory(prefix="kfdash-fuzz-") as folder:
        if "packages" in (options.parts or PARTS):
            os.environ[seeds.COMPILED] = folder
            seeds.compile_with_the_sdk(pathlib.Path(folder))
        failed = [part for part in options.parts or PARTS if not tried(part, options)]
    return 1 if failed else 0


def tried(part: str, options: argparse.Namespace) -> bool:
    """All rounds of a part; whether every case held."""
    began = time.monotonic()
    endings: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    rounds = list(rounds_of(part, options.cases or PARTS[part], options.seed))
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn"), initializer=alone.set_up) as pool:
        for number, done in enumerate(as_completed([pool.submit(alone.one_round, *one) for one in rounds]), start=1):
            found, failure = done.result()
            endings += found
            if number % SAID_EVERY == 0:
                print(f"{part}: {endings.total()} cases after {time.monotonic() - began:.0f} s", flush=True)
            if failure:
                failures[failure] += 1
                if failures[failure] == 1:
                    print(f"--- {part}\n{failure}", flush=True)
    took = time.monotonic() - began
    said = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(12))
    print(
        f"{part}: {endings.total()} cases in {took:.0f} s, {sum(failures.values())} of {len(rounds)} rounds failed; {said}",
        flush=True,
    )
    return not failures


def rounds_of(part: str, cases: int, seed: int) -> Iterator[tuple[str, int, int]]:
    """Part, count and seed of every round."""
    for number, begin in enumerate(range(0, cases, ROUND[part])):
        yield part, min(ROUND[part], cases - begin), seed + number


if __name__ == "__main__":
    sys.exit(main())
