"""What kfdash answers to a pod that shows its service account's token: run in the pod, as `asking.py ADDRESS`.

Prints a JSON list of [what was asked, status, message]. Knows nothing but Python's own library: any image will do.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
import urllib.error
import urllib.request

FOR_KFDASH = pathlib.Path("/var/run/secrets/kubeflow/pipelines/token")  # where kfp's client looks for it
FOR_THE_CLUSTER = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def answer(address: str, token: str, body: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and message of a request; where the server says that it is busy, of a later one."""
    until = time.monotonic() + 60
    while (found := _answer(address, token, body))[0] == 503 and time.monotonic() < until:
        time.sleep(1)
    return found


def _answer(address: str, token: str, body: dict[str, str] | None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=30) as found:
            return found.status, ""
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["message"]


def main(address: str) -> None:
    """Asks everything."""
    token = FOR_KFDASH.read_text()
    experiments = f"{address}/apis/v2beta1/experiments"
    made = {"display_name": "by a pod"}
    found = {
        "reads": answer(experiments, token),
        "makes": answer(experiments, token, made),
        "with the cluster's token": answer(experiments, FOR_THE_CLUSTER.read_text()),
        "with a token that was changed": answer(experiments, token[:-6] + "AAAAAA"),
        "without a token": answer(experiments, ""),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
