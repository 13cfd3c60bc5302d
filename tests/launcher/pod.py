"""A step's pod without a cluster: the launcher and `entry` as two processes with one folder, and an intake that remembers."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, urlsplit

from runs.execution.attempt import AttemptOrder

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ROOT = "minio://kfdash/root/task/uuid"
TOKEN = "the token of this attempt"  # noqa: S105

# Artifacts lie below /minio in a container; here below a folder of the test.
_PROGRAM = """
import os, sys
from runs.execution import locations
locations._MOUNTS["minio"] = os.environ["MINIO"]
from runs.launcher.__main__ import main
sys.exit(main())
"""


class Intake:
    """Answers a launcher. `lost` names calls whose next answers are lost: the connection breaks after the work was done."""

    def __init__(self, order: AttemptOrder, files: Mapping[str, Mapping[str, bytes]] | None = None) -> None:
        self.order, self.files = order, dict(files or {})
        self.stored: dict[tuple[str, str], bytes] = {}
        self.log = b""
        self.results: list[dict[str, Any]] = []
        self.progress: list[str] = []
        self.refuse: dict[str, tuple[int, str]] = {}  # path → status and sentence
        self.lost: list[str] = []
        self.instead: dict[str, Any] = {}  # path → another answer
        self.away = False  # connections break, whatever is asked
        self.tokens: set[str] = set()
        self.asked: list[str] = []  # for the order: the query
        intake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                intake.answer(self)

            do_POST = do_PUT = do_GET

            def log_message(self, *arguments: object) -> None:
                """Says nothing."""

        self._handler = Handler
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.open()

    def open(self) -> None:
        """Listens (again)."""
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        if self.away:
            request.close_connection = True
            request.connection.close()
            return
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/v1/order":
            self.asked.append(parts.query)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.tokens.add(request.headers.get("Authorization", ""))
        if parts.path in self.refuse:
            status, sentence = self.refuse[parts.path]
            self._send(request, status, {"error": sentence})
            return
        answer = getattr(self, f"_{request.command.lower()}_{parts.path.rsplit('/', 1)[1]}")(query, body)
        if parts.path in self.instead:
            answer = self.instead[parts.path]
        if parts.path in self.lost:
            self.lost.remove(parts.path)
            request.close_connection = True
            request.connection.close()
            return
        self._send(request, 200, answer)

    def _send(self, request: http.server.BaseHTTPRequestHandler, status: int, answer: Any) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        with contextlib.suppress(OSError):
            request.send_response(status)
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            request.wfile.write(data)

    def _get_order(self, query: Mapping[str, str], body: bytes) -> Any:
        listed = {
            uri: [{"name": name, "size": len(data), "url": f"/v1/artifact?uri={uri}&name={name}"} for name, data in files.items()]
            for uri, files in self.files.items()
        }
        limits = {"log_bytes": 10_000_000, "log_lines": 100_000, "output_bytes": 10_000_000}
        problems = {uri: f"There is nothing at {uri}." for uri, files in self.files.items() if not files}
        return {
            "order": asdict(self.order),
            "inputs": listed,
            "problems": problems,
            "limits": limits,
            "grace": 1,
            "packages": False,
        }

    def _get_artifact(self, query: Mapping[str, str], body: bytes) -> bytes:
        return self.files[query["uri"]][query.get("name", "")]

    def _put_artifact(self, query: Mapping[str, str], body: bytes) -> Any:
        self.stored[query["uri"], query.get("name", "")] = body

    def _post_uploads(self, query: Mapping[str, str], body: bytes) -> Any:
        return {"urls": [f"/v1/artifact?uri={file['uri']}&name={file['name']}" for file in json.loads(body)["files"]]}

    def _post_log(self, query: Mapping[str, str], body: bytes) -> Any:
        following = self.log.count(b"\n") + 1
        lines = body.splitlines(keepends=True)[max(following - int(query["first"]), 0) :]
        assert int(query["first"]) <= following, "a gap"
        self.log += b"".join(lines)
        return {"next": self.log.count(b"\n") + 1}

    def _post_progress(self, query: Mapping[str, str], body: bytes) -> Any:
        self.progress.append(json.loads(body)["phase"])

    def _post_result(self, query: Mapping[str, str], body: bytes) -> Any:
        self.results.append(json.loads(body))

    def lines(self) -> list[tuple[str, str]]:
        """Stream and text of what was logged."""
        return [(stream, text) for _, stream, text in (line.split(" ", 2) for line in self.log.decode().splitlines())]


def order(command: list[str], folder: pathlib.Path, **more: Any) -> AttemptOrder:
    """The order for a command, which may write the parameter `number` and the artifact `model`."""
    outputs = {
        "parameters": {"number": {"outputFile": str(folder / "outputs/number")}} if more.get("output_parameters") else {},
        "artifacts": {},
        "outputFile": str(folder / "outputs/executor.json"),
    }
    if more.get("output_artifacts"):
        outputs["artifacts"] = {
            "model": {
                "artifacts": [{"name": "model", "uri": f"{ROOT}/model", "type": {"schemaTitle": "system.Model"}, "metadata": {}}]
            }
        }
    executor_input = {"inputs": more.pop("inputs", {}), "outputs": outputs}
    fields: dict[str, Any] = {
        "name": "step-1",
        "run_id": "run",
        "path": "root/step",
        "number": 1,
        "image": "any",
        "args": (),
        "env": (),
        "output_parameters": {},
        "output_artifacts": {},
        "log": "run/step-1",
    }
    return AttemptOrder(**{**fields, "command": tuple(command), "executor_input": executor_input, **more})


class Pod:
    """The two processes of a step's pod."""

    def __init__(self, folder: pathlib.Path, entry: pathlib.Path, intake: Intake) -> None:
        self.folder, self.intake, self.entry_program = folder, intake, entry
        self.volume = folder / "kfdash"
        self.environment = {
            "PATH": os.environ["PATH"],
            "KFDASH_VOLUME": str(self.volume),
            "KFDASH_LAUNCHER_URL": f"http://127.0.0.1:{intake.port}",
            "KFDASH_ATTEMPT": "step-1",
            "KFDASH_TOKEN": TOKEN,
            "MINIO": str(folder / "minio"),
            "PYTHONPATH": str(REPOSITORY),
        }
        self.launcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Pod:
        (self.volume / "bin").mkdir(parents=True)
        subprocess.run([self.entry_program, "--install", self.volume / "bin/entry"], check=True)
        self.start_launcher()
        self.entry = subprocess.Popen(
            [self.volume / "bin/entry"], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        return self

    def start_launcher(self) -> None:
        """Starts the launcher, as the kubelet does when it has ended."""
        self.launcher = subprocess.Popen([sys.executable, "-P", "-c", _PROGRAM], env=self.environment)

    def restart_launcher(self) -> None:
        """Ends it without warning, and starts it again."""
        assert self.launcher
        self.launcher.kill()
        self.launcher.wait()
        self.start_launcher()

    def end(self, within: float = 20.0) -> int:
        """The exit code of the step's container; the launcher is ended after it, as the kubelet does."""
        code = self.entry.wait(within)
        assert self.launcher
        self.launcher.terminate()
        assert self.launcher.wait(within) in (0, -signal.SIGTERM)  # it may have been started again a moment before
        return code

    def __exit__(self, *error: object) -> None:
        for process in (self.entry, self.launcher):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        self.intake.server.shutdown()
        self.intake.server.server_close()
