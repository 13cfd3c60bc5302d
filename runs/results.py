"""Result documents of attempts in the store: the truth about how a step ended, whatever announcement was lost.

Knows no Django. A document is `<root>/<run id>/<attempt>.json`; it is written once, whole, before anybody is told.
"""

from __future__ import annotations

import contextlib
import pathlib

import obstore

from runs.execution.locations import STORE, local_path
from runs.execution.result import RESULT_LIMIT, InvalidResult, Result
from runs.store import StoreOptions, explained, open_store


def write(root: str, options: StoreOptions, run_id: str, name: str, text: str | bytes) -> None:
    """Stores the document of the attempt called `name`; it appears whole. Raises NotReadable with a sentence."""
    uri = _uri(root, run_id, name)
    opened = open_store(uri, options)
    with explained(uri):
        obstore.put(opened.store, opened.key, text.encode() if isinstance(text, str) else text)


def read(root: str, options: StoreOptions, run_id: str, name: str) -> Result | None:
    """The document of an attempt; None where there is none.

    Raises InvalidResult for one that is damaged or another's, and NotReadable where the store does not answer.
    """
    uri = _uri(root, run_id, name)
    opened = open_store(uri, options)
    with explained(uri):
        try:
            found = obstore.get(opened.store, opened.key)
        except FileNotFoundError:
            return None
        if found.meta["size"] > RESULT_LIMIT:
            raise InvalidResult(f"The result document is larger than {RESULT_LIMIT // 2**20} MiB.")
        result = Result.from_text(bytes(found.bytes()))
    if result.attempt != name:
        raise InvalidResult(f"The result document of {name} is about another attempt, {result.attempt[:80]!r}.")
    return result


def forget(root: str, options: StoreOptions, run_id: str, name: str) -> None:
    """Deletes the document of an attempt, if there is one. Raises NotReadable."""
    uri = _uri(root, run_id, name)
    opened = open_store(uri, options)
    with explained(uri), contextlib.suppress(FileNotFoundError):
        obstore.delete(opened.store, opened.key)


def remove(root: str, options: StoreOptions, run_id: str) -> None:
    """Deletes all documents of a run. Raises NotReadable."""
    uri = f"{root}/{run_id}"
    opened = open_store(uri, options)
    with explained(uri):
        for batch in obstore.list(opened.store, prefix=opened.key):
            with contextlib.suppress(FileNotFoundError):
                obstore.delete(opened.store, [meta["path"] for meta in batch])
    if uri.startswith(STORE):  # a folder of our own stays when it is empty; in a bucket there is none
        with contextlib.suppress(OSError):
            pathlib.Path(local_path(uri, options.artifacts_dir)).rmdir()


def _uri(root: str, run_id: str, name: str) -> str:
    return f"{root}/{run_id}/{name}.json"
