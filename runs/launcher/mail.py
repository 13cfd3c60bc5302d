"""The way to kfdash for pods that cannot call it: documents in a bucket by signed addresses, and lines on our own output.

kfdash follows this output through the cluster, from where it began, again after a break; each line stands for itself:

    <number> <µs> <stream> <text>   a line of the step's log, as `entry` framed it
    !ended <number>                 the log is at its end: there is no line of this number
    !progress <JSON>                what `POST /v1/progress` takes
    !mail                           something lies in the inbox: a hint, for kfdash looks there anyway
    !renew <begun> <why>            an address was refused, or there is no order: they are wanted anew
    !result <JSON>                  the result document, where the bucket did not take it

The addresses lie in a file, `Addresses`; new ones appear there. Whatever must arrive is a document in the bucket.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Any

from runs.launcher.asking import NOWHERE as NOWHERE
from runs.launcher.asking import OUTSIDE, Line, Refused, Unanswered
from runs.launcher.connection import address_of

Json = Any

ORDER, RESULT, ASKED, ANSWER, HEARD = "order", "result", "asked", "answer", "heard"  # the documents of an attempt
ADDRESSES = "/var/run/kfdash/addresses"  # the file in the launcher's container that has the documents' addresses
MOST_IN_ONE = 5 * 1024**3  # bytes: what S3 takes in one piece

_REFUSED = (400, 401, 403)  # of a bucket to an address that is too old, or whose maker's credentials are
_SETS = 3  # of addresses that may be refused one after the other: more would not be better
_LOOK, _SELDOM = 0.05, 1.0  # seconds between two looks at a document that is awaited
_SAY_AGAIN = 20.0  # seconds
_PATIENCE = 15.0  # seconds for which a bucket is tried until that is told
_LATE = 2.0  # seconds after which an order should be there
_WINDOW = 4 * 1024 * 1024  # bytes of the log that kfdash may not have heard: clusters keep the newest 10 MiB at the least
_ASK_FROM = 2 * 1024 * 1024


class MailLine(Line):
    """As `Line`, where kfdash is reached by mail. `addresses` is the file with them."""

    def __init__(self, addresses: str | os.PathLike[str], output: int = 1) -> None:
        super().__init__("", "")
        self._file, self._output = pathlib.Path(addresses), output
        self._text = self._file.read_text()
        self._lock = threading.Lock()
        self._begun = False
        self._files: dict[str, Json] = {}  # address of an output → its file, to ask for another
        self._places: dict[str, str] = {}  # URI of an output that is one file → address
        self._unheard: deque[tuple[int, int]] = deque()  # number of the line after a block, and the block's bytes

    def call(self, method: str, path: str, body: bytes | Json = None, *, patience: float | None = None) -> Json:
        """The intake's calls, by other means. Raises Refused; Unanswered where pods do not reach the bucket."""
        name, _, query = path.partition("?")
        block, data = (body, {}) if isinstance(body, bytes) else (b"", body)
        if name == "/v1/order":
            return self._order(begun="begun=1" in query)
        if name == "/v1/log":
            return self._log(int(query.removeprefix("first=").partition("&")[0]), block, ended="ended=1" in query)
        if name == "/v1/uploads":
            return self._uploads(data["files"])
        if name == "/v1/result":
            return self._result(block)
        self._say("!progress " + json.dumps(data, separators=(",", ":")))
        return None

    def send(self, url: str, source: Callable[[], IO[bytes]], size: int, *, patience: float = OUTSIDE) -> None:
        """As for any address; one that became too old is asked for again."""
        try:
            super().send(url, source, size, patience=patience)
        except Refused as refused:
            if refused.status not in _REFUSED or url not in self._files:
                raise
            (fresh,) = self._ask([self._files[url]])
            super().send(fresh, source, size, patience=patience)

    # --- the calls ---

    def _order(self, *, begun: bool) -> Json:
        self._begun, since, said = begun, time.monotonic(), 0.0
        while (text := self._got(ORDER)) is None:
            if (waited := time.monotonic() - since) > _LATE and time.monotonic() - said > _SAY_AGAIN:
                said = time.monotonic()
                self._say(f"!renew {begun:d} there is no order")
            time.sleep(_LOOK if waited < _LATE else _SELDOM)
        told = json.loads(text)
        if "error" in told:
            raise Refused(told["status"], told["error"])
        self._places = told.pop("uploads", {})
        return told

    def _log(self, first: int, block: bytes, *, ended: bool) -> Json:
        lines = block.split(b"\n")[:-1]
        told = b"".join(b"%d %s\n" % numbered for numbered in enumerate(lines, first))
        following = first + len(lines)
        if ended:
            told += b"!ended %d\n" % following
        self._write(told)
        self._unheard.append((following, len(told)))
        while (waiting := sum(size for _, size in self._unheard)) > _ASK_FROM:
            self._hear()
            if waiting < _WINDOW:
                break
            time.sleep(_LOOK)
        return {"next": following}

    def _hear(self) -> None:
        """Finds out how far kfdash has read."""
        try:
            heard = json.loads(self._got(HEARD) or b"1")
        except Unanswered:
            return
        while self._unheard and self._unheard[0][0] <= heard:
            self._unheard.popleft()

    def _uploads(self, files: list[dict[str, Json]]) -> Json:
        """An address for each file: the order has some, the others are asked for."""
        known = [self._known(file) for file in files]
        missing = [file for file, url in zip(files, known, strict=True) if not url]
        asked: Iterator[str] = iter(self._ask(missing) if missing else ())
        urls = [url or next(asked) for url in known]
        self._files.update(zip(urls, files, strict=True))
        return {"urls": urls}

    def _known(self, file: dict[str, Json]) -> str:
        return "" if file["name"] or file["size"] > MOST_IN_ONE else self._places.get(file["uri"], "")

    def _ask(self, files: list[dict[str, Json]]) -> list[str]:
        question = os.urandom(8).hex()
        self._put(ASKED, json.dumps({"id": question, "files": files}).encode())
        since, said = time.monotonic(), -_SAY_AGAIN
        while True:
            if time.monotonic() - said > _SAY_AGAIN:
                said = time.monotonic()
                self._say("!mail")
            told = json.loads(self._got(ANSWER) or b"{}")
            if told.get("id") == question:
                break
            time.sleep(_LOOK if time.monotonic() - since < _LATE else _SELDOM)
        if "error" in told:
            raise Refused(told["status"], told["error"])
        return list(told["urls"])

    def _result(self, text: bytes) -> None:
        try:
            self._put(RESULT, text)
        except (Refused, Unanswered):  # what it has to say may be just that
            self._write(b"!result " + text.replace(b"\n", b" ") + b"\n")
        else:
            self._say("!mail")

    # --- the bucket ---

    def _got(self, name: str) -> bytes | None:
        """A document; None where it is not there. Raises Refused, Unanswered."""
        found = _Kept()
        try:
            self._addressed(name, lambda url: self.fetch(url, found.emptied, lambda size: None, patience=_PATIENCE))
        except Refused as refused:
            if refused.status != 404:
                raise
            return None
        return found.getvalue()

    def _put(self, name: str, data: bytes) -> None:
        """Stores a document. Raises Refused, Unanswered."""
        self._addressed(name, lambda url: Line.send(self, url, lambda: io.BytesIO(data), len(data), patience=_PATIENCE))

    def _addressed(self, name: str, do: Callable[[str], None]) -> None:
        """Does it with the document's address, with new ones while they are refused. Raises Refused, Unanswered."""
        left, until = _SETS, time.monotonic() + OUTSIDE
        while True:
            url = json.loads(self._text)[name]
            try:
                do(url)
                return
            except Refused as refused:
                left -= 1
                if refused.status not in _REFUSED:
                    raise
                if not left:
                    raise Unanswered(f"The bucket at {address_of(url).host} refuses kfdash's addresses: {refused}") from None
                self._renew(str(refused))
            except Unanswered as error:
                sentence = f"The bucket at {address_of(url).host} does not answer pods of this cluster ({error})."
                if time.monotonic() > until:
                    raise Unanswered(sentence) from None
                if name == ORDER:
                    self.call("POST", "/v1/progress", {"phase": "starting", "at": time.time_ns() // 1000, "reason": sentence})

    def _renew(self, why: str) -> None:
        """Waits for other addresses, for as long as it takes: kfdash may be away."""
        said, wanted = -_SAY_AGAIN, f"!renew {self._begun:d} {' '.join(why.split())[:300]}"
        while (text := self._file.read_text()) == self._text:
            if time.monotonic() - said > _SAY_AGAIN:
                said = time.monotonic()
                self._say(wanted)
            time.sleep(0.2)
        self._text = text

    # --- our own output ---

    def _say(self, line: str) -> None:
        self._write(f"{line}\n".encode(errors="replace"))

    def _write(self, data: bytes) -> None:
        with self._lock:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._output, rest) :]


class _Kept(io.BytesIO):
    """A file in memory that nobody who is done with it closes."""

    def close(self) -> None:
        """Stays open."""

    def emptied(self) -> IO[bytes]:
        """Itself, for one more try at filling it."""
        self.seek(0)
        self.truncate()
        return self
