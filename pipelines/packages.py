"""Uploaded packages: the document text in a file or an archive, within limits."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterable

from pipelines.spec.problems import Problem, Refused

MAX_BYTES = 32 * 1024 * 1024  # of the file as sent, and of what is taken out of an archive
MAX_ENTRIES = 1000  # an archive of one document has a handful
PIPELINE_FILE = "pipeline.yaml"

_DOCUMENTS = (".yaml", ".yml", ".json")
_CHUNK = 1 << 16
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)
_KINDS = "Upload a .yaml, .yml or .json file, or a .zip or .tar.gz that holds one."


def read_package(data: bytes, file_name: str) -> str:
    """The text of the pipeline document in an uploaded file.

    `file_name` decides for documents (.yaml, .yml, .json), the first bytes for archives. In an archive it is the entry
    `pipeline.yaml`, else the first. Raises Refused, with one sentence.
    """
    if len(data) > MAX_BYTES:
        raise _refused(f"The file is larger than {_mebibytes(MAX_BYTES)}, which is the most that is taken.")
    if not data:
        raise _refused("The file is empty.")
    if not file_name.lower().endswith(_DOCUMENTS):
        if data.startswith(b"PK"):
            return _text(_from_zip(data))
        if data.startswith(b"\x1f\x8b"):
            return _text(_from_tar(data))
        raise _refused(f"`{_shown(file_name)}` is neither a document nor an archive. {_KINDS}")
    return _text(data)


def _text(data: bytes) -> str:
    if data.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        raise _refused("This is an archive under the name of a document; name it .zip or .tar.gz.")
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refused([Problem(f"This is no text: it cannot be read as UTF-8. {_KINDS}", line=line)]) from None


# --- archives -------------------------------------------------------------------------------------------------------


def _from_zip(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_names(entry.filename for entry in archive.infolist())
            entry = archive.getinfo(_chosen([file.filename for file in files]))
            if entry.flag_bits & 0x1:
                raise _refused("The archive is encrypted; make one without a password.")
            with archive.open(entry) as source:
                return _read_within_limit(source)
    except _BROKEN as error:
        raise _refused(f"The archive cannot be read as .zip: {_reason(error)}.") from None


def _from_tar(data: bytes) -> bytes:
    """Reads forward once: everything that is unpacked on the way counts."""
    kept: dict[str, bytes] = {}
    names: list[str] = []
    try:
        with tarfile.open(fileobj=_Counted(data), mode="r|") as archive:
            for entry in archive:
                names.append(entry.name)
                _check_names(names[-1:])
                if len(names) > MAX_ENTRIES:
                    raise _refused(f"The archive holds more than {MAX_ENTRIES} entries; put only the pipeline in it.")
                name = _plain(entry.name)
                if entry.isfile() and (not kept or name == PIPELINE_FILE):
                    source = archive.extractfile(entry)
                    kept[name] = _read_within_limit(source) if source else b""
                elif not (entry.isfile() or entry.isdir()):
                    raise _refused(f"The archive holds a link or a device (`{_shown(entry.name)}`); put only plain files in it.")
    except _BROKEN as error:
        raise _refused(f"The archive cannot be read as .tar.gz: {_reason(error)}.") from None
    return kept[_chosen(list(kept))]


class _Counted(io.RawIOBase):
    """Gzip data unpacked as it is read, up to the limit (with some room for an archive's own headers)."""

    def __init__(self, data: bytes) -> None:
        self._left = MAX_BYTES + MAX_ENTRIES * 1024
        self._data = memoryview(data)
        self._decompressor = zlib.decompressobj(wbits=31)
        self._pending = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._pending and not self._decompressor.eof:
            fed = self._decompressor.unconsumed_tail or bytes(self._data[:_CHUNK])
            if not self._decompressor.unconsumed_tail:
                self._data = self._data[_CHUNK:]
            if not fed:
                raise EOFError("it ends too early")
            self._pending = self._decompressor.decompress(fed, _CHUNK)
        taken, self._pending = (self._pending, b"") if size < 0 else (self._pending[:size], self._pending[size:])
        self._left -= len(taken)
        if self._left < 0:
            raise _too_large()
        return taken


def _chosen(names: list[str]) -> str:
    """The entry with the document: `pipeline.yaml`, else the first, which must be YAML."""
    if not names:
        raise _refused("The archive is empty: there is no pipeline in it.")
    for name in names:
        if _plain(name) == PIPELINE_FILE:
            return name
    if not names[0].lower().endswith((".yaml", ".yml")):
        raise _refused(f"The archive's first file, `{_shown(names[0])}`, is no YAML; name the pipeline `{PIPELINE_FILE}`.")
    return names[0]


def _check_names(names: Iterable[str]) -> None:
    for count, name in enumerate(names, start=1):
        if count > MAX_ENTRIES:
            raise _refused(f"The archive holds more than {MAX_ENTRIES} entries; put only the pipeline in it.")
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":"):
            raise _refused(f"The archive's entry `{_shown(name)}` points outside the archive.")


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _read_within_limit(source: object) -> bytes:
    """All of an entry, counted while unpacking: what its header says may be a lie."""
    read = source.read  # type: ignore[attr-defined]
    chunks: list[bytes] = []
    total = 0
    while chunk := read(_CHUNK):
        total += len(chunk)
        if total > MAX_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large() -> Refused:
    return _refused(f"The archive unpacks to more than {_mebibytes(MAX_BYTES)}, which is the most that is taken.")


def _refused(message: str) -> Refused:
    return Refused([Problem(message)])


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".").lower() or type(error).__name__


def _shown(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:97]}…"


def _mebibytes(size: int) -> str:
    return f"{size // (1024 * 1024)} MiB"
