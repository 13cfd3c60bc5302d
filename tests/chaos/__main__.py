"""`python -m tests.chaos`: one round, with what it did and found."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from tests.chaos.round import Settings, play
from tests.chaos.weakened import SAFEGUARDS
from tests.servers import NoServer, postgresql

_ROOM = 400  # MiB of the small disk


def main() -> int:
    """Plays a round; 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql (a server of its own) or a URL")
    parser.add_argument("--without", choices=sorted(SAFEGUARDS), default="", help="a safeguard to take out")
    parser.add_argument("--at-once", type=int, default=6, help="runs beside each other (%(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kfdash-chaos-"))
    folder.chmod(0o755)
    print(f"seed {options.seed}, {options.minutes:g} minutes, {options.database}, in {folder}", flush=True)
    try:
        with database(options.database, folder) as url, small_disk(folder / "disk") as disk:
            settings = Settings(
                options.seed, options.minutes * 60, folder, url, disk, without=options.without, at_once=options.at_once
            )
            outcome = play(settings)
            print(outcome.text(), flush=True)
            if outcome.problems and options.keep and disk:
                shutil.copytree(disk, folder / "kept", dirs_exist_ok=True, ignore_dangling_symlinks=True)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if outcome.problems else 0


@contextlib.contextmanager
def small_disk(folder: pathlib.Path) -> Iterator[pathlib.Path | None]:
    """A disk that can be filled; None where none can be mounted."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOM}m", "tmpfs", str(folder)], capture_output=True, text=True)
    if done.returncode:
        print(f"The disk is not filled in this round: {done.stderr.strip()}", flush=True)
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def database(name: str, folder: pathlib.Path) -> Iterator[str]:
    """The URL of a database: empty for SQLite; for `postgresql` that of a server that is started in the folder."""
    if name != "postgresql":
        yield "" if name == "sqlite" else name
        return
    try:
        with postgresql(folder) as server:
            yield server.url
    except NoServer as error:
        sys.exit(f"{error} Or say --database postgresql://….")


if __name__ == "__main__":
    sys.exit(main())
