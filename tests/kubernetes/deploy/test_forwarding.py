"""The way to an installation's pages, with a program in kubectl's place."""

from __future__ import annotations

import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.kubernetes.deploy import forwarding

KUBECTL = """#!{python}
import http.server, pathlib, socket, sys, time
begun = pathlib.Path({begun!r})
begun.write_text(str(number := int(begun.read_text() or 0) + 1))
port = int(sys.argv[-1].partition(":")[0])
if number == 2:
    with socket.create_server(("127.0.0.1", port)):
        time.sleep(60)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_error(404)
        if number == 1:
            raise SystemExit
    do_GET = do_HEAD
server = http.server.HTTPServer(("127.0.0.1", port), Answer)
try:
    server.serve_forever()
finally:
    server.server_close()
"""


def test_the_way_is_taken_up_again_where_it_ends_and_where_it_hangs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, program = tmp_path / "begun", tmp_path / "kubectl"
    begun.write_text("")
    program.write_text(KUBECTL.format(python=sys.executable, begun=str(begun)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(forwarding, "_ASK_EVERY", 0.05)
    monkeypatch.setattr(forwarding, "_ANSWER_WITHIN", 0.3)
    monkeypatch.setattr(forwarding, "_SILENT", 1.5)
    with forwarding.forwarded("a-namespace") as address:
        deadline = time.monotonic() + 20
        while begun.read_text() != "3" and time.monotonic() < deadline:
            time.sleep(0.05)
        port = int(address.rpartition(":")[2])
        while not forwarding.answers(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address, timeout=5)
        assert begun.read_text() == "3"
    assert not forwarding.answers(port), "nothing is left"
