"""Where artifacts lie, opened: kfdash's own folder, S3, Google and Azure buckets (by obstore), and web addresses.

Knows no Django: what an installation may set comes in as `StoreOptions`. Run as a program (`python -m runs.store URI PATH`)
it fetches one artifact, so that a process that must stay small or is asynchronous need not do it itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from runs import storesettings, web
from runs.execution.locations import STORE, STORE_FOLDER, UnsafeLocation, safe_segments
from runs.storesettings import StoreSetting

OPTIONS_VARIABLE = "KFDASH_STORE_OPTIONS"
FETCH_LIMIT = 20 * 1024**3  # bytes of one artifact
_CHUNK = 4 * 1024 * 1024  # bytes
_TIMES = {"connect_timeout": "5s", "read_timeout": "60s", "timeout": "1h"}
_RETRY: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}

Progress = Callable[[int, "int | None"], None]  # bytes done, bytes in all (None while not known)


class NotReadable(Exception):
    """Something at a URI cannot be read. The message is for people: what, where, why."""


class NothingThere(NotReadable):
    """The store answers, and has nothing at a URI."""


@dataclass(frozen=True)
class StoreOptions:
    """What an installation sets. `buckets` has obstore's configuration by scheme: `{"s3": {"endpoint": …}}`."""

    artifacts_dir: str
    buckets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    allow_private: bool = False  # whether web addresses may lead to this machine and its own network
    stores: tuple[StoreSetting, ...] = ()  # by prefix; the longest wins over the others and over `buckets`

    @classmethod
    def from_environment(cls, artifacts_dir: str) -> StoreOptions:
        """With what KFDASH_STORE_OPTIONS says, a JSON object with 'buckets' and 'allow_private', and what KFDASH_STORES says.

        Raises NotReadable where one of them says nothing usable.
        """
        text = os.environ.get(OPTIONS_VARIABLE) or "{}"
        try:
            stores = storesettings.from_environment()
        except storesettings.WrongSetting as error:
            raise NotReadable(str(error)) from None
        try:
            return cls(**{**json.loads(text), "artifacts_dir": artifacts_dir, "stores": stores})
        except (ValueError, TypeError) as error:
            raise NotReadable(f"{OPTIONS_VARIABLE} must be a JSON object with 'buckets' and 'allow_private': {error}.") from None

    def for_root(self, pipeline_root: str) -> StoreOptions:
        """With the options that a run's pipeline root has in its query. Raises NotReadable for one that is not known."""
        try:
            own = storesettings.of_query(pipeline_root, storesettings.best(self.stores, pipeline_root.partition("?")[0]))
        except storesettings.WrongSetting as error:
            raise NotReadable(str(error)) from None
        return self if own is None else replace(self, stores=(own, *self.stores))

    def config(self, uri: str) -> dict[str, str]:
        """obstore's configuration for the bucket of a URI."""
        setting = storesettings.best(self.stores, uri)
        return setting.config() if setting else dict(self.buckets.get(uri.partition("://")[0], {}))


class Opened(NamedTuple):
    """A store, and the key in it that a URI names."""

    store: Any
    key: str


class Entry(NamedTuple):
    """A file of an artifact: its name relative to the artifact (empty for the artifact itself), its key and size."""

    name: str
    key: str
    size: int


def open_store(uri: str, options: StoreOptions) -> Opened:
    """The store of a `minio://`, `s3://`, `gs://` or `az://` URI. Raises NotReadable for other and for unsafe ones.

    Without credentials in the environment, buckets are read as the public.
    """
    scheme, separator, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    try:
        key = safe_segments(key, uri) if key.strip("/") else ""
    except UnsafeLocation as error:
        raise NotReadable(str(error)) from None
    if uri.startswith(STORE):
        folder = pathlib.Path(options.artifacts_dir, STORE_FOLDER)
        return Opened(LocalStore(folder, mkdir=True), key)
    if not separator or not bucket or scheme not in _OPENERS:
        raise NotReadable(f"{uri!r} cannot be read: only minio://, s3://, gs://, az:// and http(s):// are known.")
    try:
        return Opened(_OPENERS[scheme](bucket, options.config(uri)), key)
    except (exceptions.BaseError, ValueError) as error:
        raise NotReadable(f"The bucket of {uri} cannot be opened: {_first_line(error)}") from None


def _s3(bucket: str, config: dict[str, str]) -> S3Store:
    known = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    public = not _configured(config, "access_key_id", *known, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    config.setdefault("region", os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1")
    return S3Store(bucket, config=_with_public(config, public), client_options=_client(config), retry_config=_RETRY)


def _minio(bucket: str, config: dict[str, str]) -> S3Store:
    if not config.get("endpoint"):
        raise ValueError("minio:// needs an endpoint, and none is set")
    return _s3(bucket, config)


def _gs(bucket: str, config: dict[str, str]) -> GCSStore:
    known = ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS")
    public = not _configured(config, "service_account", "service_account_key", "application_credentials", *known)
    public = public and not pathlib.Path.home().joinpath(".config/gcloud/application_default_credentials.json").exists()
    return GCSStore(bucket, config=_with_public(config, public), client_options=_client(config), retry_config=_RETRY)  # type: ignore[arg-type]


def _az(bucket: str, config: dict[str, str]) -> AzureStore:
    known = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_CLIENT_ID", "AZURE_CLIENT_ID")
    public = not _configured(config, "account_key", "sas_key", "client_id", *known)
    return AzureStore(bucket, config=_with_public(config, public), client_options=_client(config), retry_config=_RETRY)  # type: ignore[arg-type]


_OPENERS: Mapping[str, Callable[[str, dict[str, str]], Any]] = {"s3": _s3, "minio": _minio, "gs": _gs, "az": _az}


def _configured(config: Mapping[str, str], *names: str) -> bool:
    return any(config.get(name) or os.environ.get(name) for name in names)


def _with_public(config: dict[str, str], public: bool) -> Any:
    return {"skip_signature": "true", **config} if public else config


def _client(config: Mapping[str, str]) -> Any:
    return {**_TIMES, "allow_http": True} if _endpoint(config).startswith("http://") else _TIMES


def _endpoint(config: Mapping[str, str]) -> str:
    return config.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""


def may_sign(uri: str, options: StoreOptions) -> bool:
    """Whether others can be given addresses of this bucket: it is said so, or its endpoint is not this machine's loopback."""
    scheme = uri.partition("://")[0]
    if uri.startswith(STORE) or scheme not in _OPENERS:
        return False
    setting = storesettings.best(options.stores, uri)
    if setting is not None and setting.sign is not None:
        return setting.sign
    host = urlsplit(_endpoint(options.config(uri))).hostname or ""
    return host != "localhost" and not host.startswith("127.") and host != "::1"


# --- reading --------------------------------------------------------------------------------------------------------


def entries(uri: str, options: StoreOptions) -> list[Entry]:
    """The files of an artifact: one with an empty name where it is a file, else all below it. Raises NotReadable."""
    with explained(uri):
        return _entries(open_store(uri, options), uri)


def first_look(uri: str, options: StoreOptions) -> None:
    """Asks the bucket of a URI for what lies there, much or nothing. Raises NotReadable where it does not answer or refuses."""
    opened = open_store(uri, options)
    try:
        with explained(uri):
            next(iter(obstore.list(opened.store, prefix=opened.key or None, chunk_size=1)), None)
    except NotReadable as error:
        raise NotReadable(f"The bucket does not answer as it should. {error}") from None


def _entries(opened: Opened, uri: str) -> list[Entry]:
    store, key = opened
    if key:
        try:
            meta = obstore.head(store, key)
            return [Entry("", key, meta["size"])]
        except (FileNotFoundError, exceptions.GenericError):
            pass  # a folder, in a bucket or on disk
    prefix = f"{key}/" if key else ""
    found = []
    for batch in obstore.list(store, prefix=key or None):
        for meta in batch:
            path = meta["path"]
            if path.startswith(prefix) and not (path.endswith("/") and not meta["size"]):
                found.append(Entry(safe_segments(path[len(prefix) :], uri), path, meta["size"]))
    if not found:
        raise NothingThere(f"There is nothing at {uri}.")
    return found


def fetch(
    uri: str,
    to_path: str | os.PathLike[str],
    options: StoreOptions,
    *,
    limit: int = FETCH_LIMIT,
    progress: Progress | None = None,
) -> int:
    """Copies a file or a folder to `to_path`, which appears when it is complete; returns its bytes.

    What lay there before is replaced. `limit` counts the bytes of all files together. `progress` is called at most a few
    times a second. Raises NotReadable with a sentence, and OSError where the local disk cannot take it.
    """
    target = pathlib.Path(to_path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name[:200]}.{os.urandom(6).hex()}.part")
    meter = _Meter(uri, limit, progress)
    try:
        if uri.startswith(("http://", "https://")):
            _fetch_web(uri, part, options, meter)
        else:
            with explained(uri):
                _fetch_objects(uri, part, options, meter)
        _remove(target)
        os.replace(part, target)
    finally:
        _remove(part)
    meter.tell()
    return meter.done


class _Meter:
    """Counts bytes, keeps the limit, tells progress."""

    def __init__(self, uri: str, limit: int, progress: Progress | None) -> None:
        self.uri, self.limit, self.progress = uri, limit, progress
        self.done = 0
        self.total: int | None = None
        self._told = 0.0

    def expect(self, total: int | None) -> None:
        """The size in all, where it is known; one that is too large is refused before anything is read."""
        self.total = total
        if total is not None:
            self._check(total)

    def add(self, size: int) -> None:
        """So many bytes more."""
        self.done += size
        self._check(self.done)
        if time.monotonic() - self._told > 0.3:
            self.tell()

    def tell(self) -> None:
        """Calls the callback."""
        self._told = time.monotonic()
        if self.progress:
            self.progress(self.done, self.total)

    def _check(self, size: int) -> None:
        if size > self.limit:
            raise NotReadable(f"{self.uri} is larger than the {self.limit:,} bytes that may be fetched.")


def _fetch_objects(uri: str, part: pathlib.Path, options: StoreOptions, meter: _Meter) -> None:
    opened = open_store(uri, options)
    found = _entries(opened, uri)
    meter.expect(sum(entry.size for entry in found))
    for entry in found:
        path = part / entry.name if entry.name else part
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            for chunk in obstore.get(opened.store, entry.key).stream(min_chunk_size=_CHUNK):
                file.write(chunk)
                meter.add(len(chunk))


def _fetch_web(uri: str, part: pathlib.Path, options: StoreOptions, meter: _Meter) -> None:
    try:
        with web.opened(uri, allow_private=options.allow_private) as response, open(part, "wb") as file:
            meter.expect(response.size)
            for chunk in response.chunks():
                file.write(chunk)
                meter.add(len(chunk))
    except web.NotFetched as error:
        raise NotReadable(str(error)) from None


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """What obstore raises, as a sentence."""
    try:
        yield
    except FileNotFoundError:
        raise NothingThere(f"There is nothing at {uri}.") from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError) as error:
        raise NotReadable(f"{uri} may not be read with the credentials that there are: {_first_line(error)}") from None
    except UnsafeLocation as error:
        raise NotReadable(str(error)) from None
    except exceptions.BaseError as error:
        raise NotReadable(f"{uri} cannot be read: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__


# --- as a program ---------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Fetches one artifact: a JSON line `{"done", "total"}` now and then on stdout, the sentence of a failure on stderr.

    With --look it fetches nothing, and only asks the store whether it answers.

    Exit code 0 when it is there, 1 when it cannot be read. Options come in the environment variable KFDASH_STORE_OPTIONS,
    since credentials do not belong in an argument list.
    """
    parser = argparse.ArgumentParser(prog="python -m runs.store", description="Fetch an artifact.")
    parser.add_argument("uri")
    parser.add_argument("path", nargs="?", default="")
    parser.add_argument("--look", action="store_true", help="only ask whether the store answers")
    parser.add_argument("--artifacts", default="artifacts", help="the folder of kfdash's own store")
    parser.add_argument("--limit", type=int, default=FETCH_LIMIT, help="bytes, at most")
    given = parser.parse_args(arguments)

    def tell(done: int, total: int | None) -> None:
        print(json.dumps({"done": done, "total": total}), flush=True)

    try:
        options = StoreOptions.from_environment(given.artifacts)
        if given.look:
            first_look(given.uri.partition("?")[0], options.for_root(given.uri))
        elif not given.path:
            parser.error("the path to fetch to is missing")
        else:
            fetch(given.uri, given.path, options, limit=given.limit, progress=tell)
    except (NotReadable, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
