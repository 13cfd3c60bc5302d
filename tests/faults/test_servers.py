"""PostgreSQL and Redis, on which an installation stands, are away, full, read-only or empty in the middle of a run."""

from __future__ import annotations

import contextlib
import html
import http.cookiejar
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tests.faults.disk import fill
from tests.faults.servers import Standing, standing
from tests.faults.stack import check_the_end, check_what_it_said, figure, launch, runs, state, step, whole
from tests.faults.test_page import Page
from tests.running import wait_for
from tests.servers import free_port

pytestmark = [pytest.mark.postgresql, pytest.mark.redis]
SLOW = "root/body/slow"
AWAY = 60.0 if os.environ.get("KFDASH_LONG") else 7.0  # seconds: of a fail-over
PAGES = ("/", "/runs/", "/pipelines/", "/experiments/", "/artifacts/", "/schedules/", "/runs/new/", "/system/retention/")
PASSWORD = "a long password 17"
APIS = ("/apis/v2beta1/runs", "/apis/v2beta1/pipelines", "/apis/kfdash/v1/runs/{run}/tasks")


@pytest.fixture(scope="module")
def stand() -> Iterator[Standing]:
    """What it said all the time are sentences."""
    with standing() as found:
        yield found
    check_what_it_said(found.installation)


def asked(stand: Standing, path: str, timeout: float = 20.0) -> tuple[int, str]:
    """Status and text of a page."""
    try:
        with urllib.request.urlopen(f"{stand.installation.address}{path}", timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def sent(stand: Standing, path: str, body: object) -> tuple[int, str]:
    """Status and text of an answer of the API."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{stand.installation.address}{path}", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def in_the_slow_step(stand: Standing, marks: pathlib.Path) -> str:
    """A run whose slow step runs, and does not end before it may: the file beside `marks` goes."""
    marks.with_suffix(".held").touch()
    run_id = launch(stand.installation, whole(marks))
    assert wait_for(lambda: runs(stand.installation, run_id, SLOW), 60), stand.installation.said()
    return run_id


def let_it_end(marks: pathlib.Path) -> None:
    """The slow step may end from now on."""
    marks.with_suffix(".held").unlink()


@contextlib.contextmanager
def alone(stand: Standing, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A part by itself beside those that `kfdash up` started, on the same servers."""
    told = {**stand.installation.environment, "KFDASH_DATA_DIR": str(stand.installation.folder), **environment}
    with (stand.installation.folder.parent / f"{command[0]}.output").open("ab") as output:
        part = subprocess.Popen([*stand.installation.program, *command], env=told, stderr=output, stdout=output)
    try:
        yield part
    finally:
        part.terminate()
        part.wait()


@pytest.fixture(scope="module")
def people(stand: Standing) -> Iterator[Browser]:
    """A web server by itself, that people log in to; its administrator is `admin`."""
    people = {"KFDASH_AUTH": "accounts", "KFDASH_ADMIN_USER": "admin", "KFDASH_ADMIN_PASSWORD": PASSWORD}
    with alone(stand, "createadmin", **people) as made:
        assert made.wait(60) == 0
    address = f"127.0.0.1:{free_port()}"
    with alone(stand, "web", "--bind", address, **people):
        browser = Browser(f"http://{address}")
        assert wait_for(lambda: browser.ask("/login/")[0] == 200, 60)
        browser.log_in()
        yield browser


class Browser:
    """A browser that is logged in as the administrator, or not."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._cookies = http.cookiejar.CookieJar()

    def ask(self, path: str, form: dict[str, str] | None = None, *, stranger: bool = False) -> tuple[int, str]:
        """Status (0 while nobody listens) and text of a page."""
        cookies = http.cookiejar.CookieJar() if stranger else self._cookies
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
        try:
            with opener.open(
                f"{self.address}{path}", urllib.parse.urlencode(form).encode() if form else None, timeout=20
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def log_in(self) -> None:
        """As the administrator."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.ask("/login/")[1])
        assert token
        self.ask("/login/", {"csrfmiddlewaretoken": token[1], "username": "admin", "password": PASSWORD})
        assert self.ask("/system/access/")[0] == 200


def system_says(stand: Standing, text: str) -> Callable[[], bool]:
    """Whether the page System says so, and is no error."""

    def says() -> bool:
        status, page = asked(stand, "/system/")
        assert status == 200 and "Traceback" not in page, page
        return text in page

    return says


def test_while_the_database_is_away_pages_say_so_and_runs_end_rightly_afterwards(
    stand: Standing, people: Browser, marks: pathlib.Path
) -> None:
    run_id = in_the_slow_step(stand, marks)
    stand.database.stop(signal.SIGQUIT)
    gone = time.monotonic()
    let_it_end(marks)
    for path, stranger in itertools.product(("/", "/system/", "/system/access/", "/login/", APIS[0]), (False, True)):
        status, page = people.ask(path, stranger=stranger)
        if path == APIS[0] and stranger:
            assert status == 401  # that nothing was sent is known without asking
        else:
            assert status == 503 and "The database does not answer" in page and "kfdash doctor" in page or path in APIS, page
        assert not any(secret in page for secret in ("127.0.0.1", str(stand.installation.folder), "through thick")), page
    for path in PAGES:
        status, page = asked(stand, path)
        assert status == 503 and "The database does not answer" in page and "Traceback" not in page, (path, status, page[-2000:])
    for path in APIS:
        status, text = asked(stand, path.format(run=run_id))
        assert status == 503 and "does not answer" in json.loads(text)["message"], (path, text)
    assert wait_for(system_says(stand, "The database does not answer"), 10)
    assert wait_for(system_says(stand, "Start it again"), 5)
    time.sleep(max(0.0, gone + AWAY - time.monotonic()))
    stand.database.start()
    back = time.monotonic()
    attempts = check_the_end(stand.installation, run_id, marks)
    figure(f"the database was away for {AWAY:.0f} s, from its return until the run has ended", back)
    assert set(attempts.values()) == {1}, attempts


def test_the_database_is_started_again_in_the_middle_of_a_run(stand: Standing, marks: pathlib.Path) -> None:
    run_id = in_the_slow_step(stand, marks)
    began = time.monotonic()
    stand.database.stop()
    let_it_end(marks)
    stand.database.start()
    attempts = check_the_end(stand.installation, run_id, marks)
    figure("the database was started again, until the run has ended", began)
    assert set(attempts.values()) == {1}, attempts


def test_while_the_database_hangs_pages_say_so_instead_of_hanging_too(stand: Standing, marks: pathlib.Path) -> None:
    run_id = in_the_slow_step(stand, marks)
    with stand.database.hanging():
        let_it_end(marks)
        time.sleep(10)  # one that is late by less is only slow
        assert wait_for(system_says(stand, "The database has not answered for"), 20)
        began = time.monotonic()
        for path in PAGES:
            status, page = asked(stand, path)
            assert status == 503 and "The database has not answered for" in page, (path, status, page)
        assert time.monotonic() - began < 5
    attempts = check_the_end(stand.installation, run_id, marks)
    assert set(attempts.values()) == {1}, attempts


def test_a_database_without_room_is_named_and_what_waits_goes_on_when_there_is(stand: Standing, marks: pathlib.Path) -> None:
    if stand.database.disk is None:
        pytest.skip("No disk for this test can be mounted.")
    run_id = in_the_slow_step(stand, marks)
    filler = fill(stand.database.disk)
    body = {"display_name": "no", "pipeline_spec": step("echo " + "long " * 4000)}
    status = 200
    while status == 200:  # what tables have room for inside is used first
        status, text = sent(stand, "/apis/v2beta1/runs", body)
    assert status == 503 and "disk is full" in json.loads(text)["message"], text
    let_it_end(marks)
    assert wait_for(system_says(stand, "No space left on device"), 20), asked(stand, "/system/")[1]
    assert "Make room" in asked(stand, "/system/")[1]
    assert state(stand.installation, run_id) == "RUNNING"
    began = time.monotonic()
    filler.unlink()
    attempts = check_the_end(stand.installation, run_id, marks)
    figure("room on the database's disk again, until the run has ended", began)
    assert set(attempts.values()) == {1}, attempts


def test_a_database_that_takes_no_changes_is_named_and_runs_wait_for_it(stand: Standing, marks: pathlib.Path) -> None:
    run_id = in_the_slow_step(stand, marks)
    stand.database.read_only(True)
    try:
        body = {"display_name": "no", "pipeline_spec": step("echo no")}
        assert wait_for(lambda: sent(stand, "/apis/v2beta1/runs", body)[0] == 503, 10)
        let_it_end(marks)
        assert asked(stand, "/runs/")[0] == 200  # what is there can be looked at
        assert wait_for(system_says(stand, "takes no changes"), 10)
        time.sleep(2)  # for whatever would give up
    finally:
        stand.database.read_only(False)
    began = time.monotonic()
    attempts = check_the_end(stand.installation, run_id, marks)
    figure("the database takes changes again, until the run has ended", began)
    assert set(attempts.values()) == {1}, attempts


def test_redis_comes_back_empty_and_pages_are_told_what_changes(stand: Standing, marks: pathlib.Path) -> None:
    run_id = in_the_slow_step(stand, marks)
    page = Page(stand.installation, run_id)
    watching = threading.Thread(target=page.watch, args=(60,))
    watching.start()
    assert wait_for(lambda: page.snapshots)
    stand.broker.kill()
    assert wait_for(system_says(stand, "Redis does not answer"), 10)
    began = time.monotonic()
    stand.broker.start()
    let_it_end(marks)
    watching.join()
    figure("Redis is there again, empty, until a page has seen the run's end", began)
    attempts = check_the_end(stand.installation, run_id, marks)
    assert page.run["state"] == "SUCCEEDED" and set(attempts.values()) == {1}, (page.run, attempts)


def test_a_worker_whose_clock_is_a_minute_ahead_and_one_that_is_killed_are_named(
    stand: Standing, people: Browser, marks: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    with alone(stand, "worker", **a_clock_ahead(tmp_path, 60)) as worker:
        sentence = f"The clock of Worker ({socket.gethostname()}, process {worker.pid}) is "
        assert wait_for(lambda: sentence in html.unescape(people.ask("/system/")[1]), 60), people.ask("/system/")[1]
        run_id = in_the_slow_step(stand, marks)
        let_it_end(marks)
        time.sleep(0.2)
        worker.kill()
        killed = time.monotonic()
        attempts = check_the_end(stand.installation, run_id, marks)
        figure("a worker a minute ahead was killed, until the run has ended", killed)
        assert set(attempts.values()) == {1}, attempts
        gone = f"Worker: {socket.gethostname()} ({worker.pid}) was last heard of"
        assert wait_for(lambda: gone in people.ask("/system/")[1], 30), people.ask("/system/")[1]
        figure("… until System names it", killed)


def a_clock_ahead(folder: pathlib.Path, seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is before that of others; skips where no library for it can be made."""
    if sys.platform != "linux" or not shutil.which("cc"):
        pytest.skip("There is no C compiler for a clock that differs.")
    library = folder / "ahead.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, "-x", "c", "-", "-ldl"], input=CLOCK, text=True, check=True)
    return {"LD_PRELOAD": str(library), "AHEAD": str(seconds)}


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t which, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(which, at);
    if (which == CLOCK_REALTIME) at->tv_sec += atoi(getenv("AHEAD"));
    return code;
}
"""
