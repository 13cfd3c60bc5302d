"""`python -m runs.launcher`: the sidecar of the attempt KFDASH_ATTEMPT, which talks to KFDASH_LAUNCHER_URL."""

from __future__ import annotations

import os
import sys

from runs.launcher.sidecar import Sidecar


def main() -> int:
    """Does what is to be done, then waits for being ended."""
    os.umask(0)  # the step runs as another user, and writes where we made folders
    missing = [name for name in ("KFDASH_LAUNCHER_URL", "KFDASH_ATTEMPT") if not os.environ.get(name)]
    if missing:
        print(f"The launcher needs {' and '.join(missing)} in its environment.", file=sys.stderr)
        return 2
    sidecar = Sidecar(
        attempt=os.environ["KFDASH_ATTEMPT"],
        address=os.environ["KFDASH_LAUNCHER_URL"],
        token=os.environ.get("KFDASH_TOKEN", ""),
        folder=os.environ.get("KFDASH_VOLUME", "/kfdash"),
        overlay=os.environ.get("KFDASH_OVERLAY", "/opt/kfdash/overlay"),
        places=list(filter(None, os.environ.get("KFDASH_PLACES", "").split(":"))),
    )
    return sidecar.run()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # the pod is over when this is gone: taking the interpreter down would take as long as starting it
