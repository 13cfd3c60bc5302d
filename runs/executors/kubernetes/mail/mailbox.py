"""The documents that pods and kfdash leave each other in a bucket, below `<root>/in` (to kfdash) and `<root>/out`.

What lies in `in` waits for being taken: one look lists it for all attempts. A pod has addresses for its own documents alone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import IO, Any, Literal, NamedTuple

import obstore
from obstore import exceptions

from runs.execution.locations import STORE
from runs.executors.base import ExecutorUnavailable
from runs.launcher.mail import ANSWER, ASKED, HEARD, ORDER, RESULT
from runs.store import NotReadable, Opened, StoreOptions, explained, may_sign, open_store

Json = Any

GOOD_FOR = timedelta(hours=12)  # an address: a pod whose addresses are too old asks for others

_METHODS: dict[str, Literal["GET", "PUT"]] = {ORDER: "GET", ANSWER: "GET", HEARD: "GET", ASKED: "PUT", RESULT: "PUT"}


class Mail(NamedTuple):
    """Something that waits for being taken: a RESULT, or what was ASKED. `size` in bytes."""

    kind: str
    attempt: str
    size: int


def unusable(root: str, options: StoreOptions) -> str:
    """Why pods and kfdash cannot meet there, as a sentence; empty where they can, as far as settings tell. Opens nothing."""
    if root.startswith(STORE):
        return (
            "Pods that cannot call kfdash need a bucket that both reach: set KFDASH_PIPELINE_ROOT to one "
            "(s3://…, gs://… or az://…), or let KFDASH_LAUNCHER_URL be an address of this machine."
        )
    if not may_sign(root, options):
        return (
            f"Pods that cannot call kfdash are given signed addresses of the bucket of {root}, and its endpoint is one that only "
            "this machine reaches. Use an address that pods reach, too (KFDASH_STORES)."
        )
    return ""


class Mailbox:
    """The documents below `root`. All methods raise ExecutorUnavailable where the bucket does not do its part."""

    def __init__(self, root: str, options: StoreOptions) -> None:
        self._root, self._options = root, options
        self._store: Opened | None = None

    def addresses(self, attempt: str) -> str:
        """What the launcher of an attempt is given: a signed address for each of its documents, as JSON."""
        store, base = self._opened()
        found = {}
        with _said(self._root):
            for name, method in _METHODS.items():
                found[name] = str(obstore.sign(store, method, _key(base, name, attempt), GOOD_FOR))
        return json.dumps(found)

    # --- to kfdash ---

    def inbox(self) -> list[Mail]:
        """What waits."""
        store, base = self._opened()
        found = []
        with _said(self._root):
            for batch in obstore.list(store, prefix=f"{base}/in"):
                for meta in batch:
                    attempt, _, kind = meta["path"].rpartition("/")[2].rpartition(".")
                    if kind in (RESULT, ASKED):
                        found.append(Mail(kind, attempt, meta["size"]))
        return found

    def read(self, kind: str, attempt: str, limit: int) -> bytes | None:
        """A document of the inbox, at most one byte more than the limit; None where it is not there (any more)."""
        store, base = self._opened()
        with _said(self._root):
            try:
                found = obstore.get(store, _key(base, kind, attempt))
            except FileNotFoundError:
                return None
            if found.meta["size"] <= limit:
                return bytes(found.bytes())
            return bytes(obstore.get_range(store, _key(base, kind, attempt), start=0, length=limit + 1))

    def taken(self, kind: str, attempt: str) -> None:
        """It need not be taken again."""
        store, base = self._opened()
        with _said(self._root), contextlib.suppress(FileNotFoundError):
            obstore.delete(store, _key(base, kind, attempt))

    # --- from kfdash ---

    def put(self, kind: str, attempt: str, document: Json) -> None:
        """An ORDER, an ANSWER, or how far the log was HEARD."""
        store, base = self._opened()
        with _said(self._root):
            obstore.put(store, _key(base, kind, attempt), json.dumps(document, separators=(",", ":")).encode())

    def order_of(self, attempt: str) -> Json:
        """The order that lies there; None where none does."""
        store, base = self._opened()
        with _said(self._root):
            try:
                return json.loads(bytes(obstore.get(store, _key(base, ORDER, attempt)).bytes()))
            except FileNotFoundError:
                return None

    def put_input(self, attempt: str, number: int, file: IO[bytes]) -> str:
        """Stores a file that pods cannot fetch where it lies; a signed address of it."""
        store, base = self._opened()
        key = f"{base}/out/{attempt}/input-{number}"
        with _said(self._root):
            obstore.put(store, key, file)
            return str(obstore.sign(store, "GET", key, GOOD_FOR))

    def forget(self, attempt: str) -> None:
        """Removes all documents of an attempt."""
        store, base = self._opened()
        with _said(self._root):
            for kind in (RESULT, ASKED):
                with contextlib.suppress(FileNotFoundError):
                    obstore.delete(store, _key(base, kind, attempt))
            for batch in obstore.list(store, prefix=f"{base}/out/{attempt}"):
                with contextlib.suppress(FileNotFoundError):
                    obstore.delete(store, [meta["path"] for meta in batch])

    def _opened(self) -> Opened:
        if self._store is None:
            try:
                self._store = open_store(self._root, self._options)
            except NotReadable as error:
                raise ExecutorUnavailable(str(error)) from None
        return self._store


def _key(base: str, name: str, attempt: str) -> str:
    return f"{base}/in/{attempt}.{name}" if _METHODS[name] == "PUT" else f"{base}/out/{attempt}/{name}"


@contextlib.contextmanager
def _said(root: str) -> Iterator[None]:
    try:
        with explained(root):
            yield
    except (NotReadable, ValueError, TypeError) as error:
        raise ExecutorUnavailable(f"The bucket that kfdash and its pods meet in cannot be used now: {error}") from None
    except exceptions.BaseError as error:
        raise ExecutorUnavailable(f"The bucket that kfdash and its pods meet in cannot be used now: {error}") from None
