"""What a browser sees, and when: a real Chromium on the whole stack; by hand, a bare socket or the same page without the server."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from playwright.sync_api import Page, sync_playwright
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.bench.figures import Figure, measure
from tests.bench.pipelines import layered, scripts
from tests.bench.stack import call, installation, launch, moment, run_document, send, tasks_of, wait_for_run
from tests.browser.conftest import FLAGS, NAMES
from tests.running import Installation, wait_for

TIMES = 5
CHANGES, LINES = 12, 20
DRAWN_WITHIN = 120  # seconds that the job may take for a large graph

_SEE_STATES = """() => {
  window.seen = {}; window.began = Date.now();
  new MutationObserver((changes) => {
    for (const { target } of changes) if (target.matches("a.node")) {
      window.seen[`${target.dataset.path} ${target.dataset.state}`] ??= Date.now();
    }
  }).observe(document.querySelector("#left"), { subtree: true, attributes: true, attributeFilter: ["data-state"] });
}"""
_SEE_LINES = """() => {
  window.seen = {}; window.began = Date.now();
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) for (const line of addedNodes) {
      const text = line.querySelector?.("span")?.textContent;
      if (text) window.seen[text] ??= Date.now();
    }
  }).observe(document.querySelector("#panel"), { subtree: true, childList: true });
}"""
_PAINTED = """() => new Promise((done) => {
  const look = () => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    if (paint) done(paint.startTime); else requestAnimationFrame(look);
  };
  look();
})"""
_ON_SCREEN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


@contextlib.contextmanager
def chromium(running: Installation) -> Iterator[Page]:
    """A page of a new browser, at the address of an installation."""
    program = os.environ.get("KFDASH_CHROMIUM") or next((found for name in NAMES if (found := shutil.which(name))), None)
    assert program, "There is no Chromium here; name one in KFDASH_CHROMIUM."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser.new_context(viewport={"width": 1440, "height": 900}, base_url=running.address).new_page()
        browser.close()


@measure("live")
def live() -> Iterator[Figure]:
    """From what happens to what the browser shows: states of steps, lines of a log."""
    with installation() as running, chromium(running) as page:
        run_document(running, scripts({"ready": "true"}))  # what is made once is made
        names = [f"step-{number}" for number in range(CHANGES)]
        after = dict(zip(names[1:], names, strict=False))
        run_id = launch(running, scripts(dict.fromkeys(names, "sleep 0.4"), after))
        page.goto(f"/runs/{run_id}/")
        page.evaluate(_SEE_STATES)
        with _Socket(running, run_id) as socket:
            wait_for_run(running, run_id)
            time.sleep(1)
            seen, began = page.evaluate("[window.seen, window.began]")
        ended = {
            f"{path} SUCCEEDED": moment(task["finished_at"]) * 1000
            for path, task in tasks_of(running, run_id).items()
            if path != "root"
        }
        yield Figure("state change until in the browser", _late(ended, seen, began), "ms", 300, _late(ended, socket.states, began))

        run_id = launch(running, scripts({"talk": f"for n in $(seq {LINES}); do date +%s%N; sleep 0.25; done"}))
        key = _log_of(running, run_id)
        page.goto(f"/runs/{run_id}/?task=root/talk&tab=log")
        page.evaluate(_SEE_LINES)
        with _Socket(running, run_id, key) as socket:
            wait_for_run(running, run_id)
            time.sleep(1)
            seen, began = page.evaluate("[window.seen, window.began]")
        printed = {text: int(text) / 1e6 for text in socket.lines if text.isdecimal()}
        yield Figure("log line until in the browser", _late(printed, seen, began), "ms", 300, _late(printed, socket.lines, began))


def _late(happened: dict[str, float], seen: dict[str, float], since: float) -> float:
    """The median of milliseconds until what happened after the look began was seen."""
    late = [seen[name] - at for name, at in happened.items() if at > since and name in seen]
    assert len(late) >= len(happened) // 2, f"{len(late)} of {len(happened)} were seen: {seen}"
    return statistics.median(late)


def _log_of(running: Installation, run_id: str) -> str:
    """The key of the log of a step that has begun."""
    found: list[dict[str, Any]] = []

    def begun() -> bool:
        found[:] = tasks_of(running, run_id).get("root/talk", {}).get("attempts") or []
        return bool(found)

    assert wait_for(begun)
    return f"{run_id}/{found[0]['name']}"


class _Socket:
    """A bare WebSocket of a run: when it was told of a state or a line, in milliseconds."""

    def __init__(self, running: Installation, run_id: str, log: str = "") -> None:
        self.states: dict[str, float] = {}
        self.lines: dict[str, float] = {}
        address = running.address.replace("http", "ws", 1)
        self._socket = connect(f"{address}/ws/runs/{run_id}/", origin=running.address, max_size=None)  # type: ignore[arg-type]
        if log:
            self._socket.send(json.dumps({"type": "log.follow", "log": log, "from": 1}))
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> _Socket:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()
        self._thread.join()

    def _listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            for text in self._socket:
                message, now = json.loads(text), time.time() * 1000
                for task in message.get("tasks", ()):
                    self.states.setdefault(f"{task['path']} {task['state']}", now)
                for line in message.get("lines", ()):
                    self.lines.setdefault(line[-1], now)


@measure("paint")
def paint() -> Iterator[Figure]:
    """First paint of a run with 1,000 steps; 5,000 nodes on screen once their graph is stored."""
    with installation() as running, chromium(running) as page:
        run_id = launch(running, layered(10, 100))
        wait_for_run(running, run_id)
        seconds, by_hand = _seen(page, f"{running.address}/runs/{run_id}/", _PAINTED)
        yield Figure("page of a run with 1,000 steps: first paint", seconds, "s", 0.5, by_hand)

        address = _stored_graph(running)
        seconds, by_hand = _seen(page, address, _ON_SCREEN)
        assert page.locator("a.node").count() == 5_000
        yield Figure("graph of 5,000 nodes, stored, until on screen", seconds, "s", 1.0, by_hand)


def _seen(page: Page, address: str, script: str) -> tuple[float, float]:
    """Medians of the seconds from asking for a page until `script` answers; with the server, and with its answer at hand."""
    page.goto(address)  # what browser and server keep is kept
    with urllib.request.urlopen(address) as answer:
        body, headers = answer.read(), {"Content-Type": "text/html; charset=utf-8"}
    served = [_visit(page, address, script) for _ in range(TIMES)]
    page.route(address, lambda route: route.fulfill(body=body, headers=headers))
    by_hand = [_visit(page, address, script) for _ in range(TIMES)]
    page.unroute(address)
    return statistics.median(served), statistics.median(by_hand)


def _visit(page: Page, address: str, script: str) -> float:
    page.goto("about:blank")
    page.goto(address, wait_until="domcontentloaded")
    return float(page.evaluate(script)) / 1000


def _stored_graph(running: Installation) -> str:
    """The address of a version with 5,000 steps, once its graph has been drawn."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="uploadfile"; filename="large.json"\r\n\r\n'
    form = head.encode() + json.dumps(layered(50, 100)).encode() + f"\r\n--{boundary}--\r\n".encode()
    kind = f"multipart/form-data; boundary={boundary}"
    pipeline = send(running, "/apis/v2beta1/pipelines/upload?name=large", form, kind)["pipeline_id"]
    [version] = call(running, f"/apis/v2beta1/pipelines/{pipeline}/versions")["pipeline_versions"]
    address = f"{running.address}/pipelines/{pipeline}/versions/{version['pipeline_version_id']}/?view=graph"
    assert wait_for(_has(address, b"data-graph"), DRAWN_WITHIN), "The graph was not drawn."
    return address


def _has(address: str, mark: bytes) -> Callable[[], bool]:
    def look() -> bool:
        time.sleep(0.5)
        with urllib.request.urlopen(address) as answer:
            return mark in answer.read()

    return look
