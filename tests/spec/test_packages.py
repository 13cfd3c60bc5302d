"""Files as they are uploaded: documents, archives, and what only looks like one."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
import zipfile
from collections.abc import Mapping

import pytest

from pipelines.packages import MAX_BYTES, MAX_ENTRIES, read_package
from pipelines.spec.problems import Refused

TEXT = "pipelineInfo:\n  name: größe\n"


def zipped(entries: Mapping[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(entries: Mapping[str, bytes | str], link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        if link:
            entry = tarfile.TarInfo("pipeline.yaml")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry)
        for name, data in entries.items():
            content = data.encode() if isinstance(data, str) else data
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def refusal(data: bytes, name: str) -> str:
    with pytest.raises(Refused) as caught:
        read_package(data, name)
    (problem,) = caught.value.problems
    return problem.message


@pytest.mark.parametrize("name", ["p.yaml", "p.yml", "p.json", "P.YAML"])
def test_a_document_is_taken_by_its_name(name: str) -> None:
    assert read_package(TEXT.encode(), name) == TEXT


def test_a_byte_order_mark_is_not_part_of_the_text() -> None:
    assert read_package(b"\xef\xbb\xbf" + TEXT.encode(), "p.yaml") == TEXT
    assert read_package(TEXT.encode("utf-16"), "p.yaml") == TEXT


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_gives_pipeline_yaml_wherever_it_stands(pack) -> None:  # type: ignore[no-untyped-def]
    assert read_package(pack({"notes.txt": "x", "pipeline.yaml": TEXT}), "p.bin") == TEXT
    assert read_package(pack({"./a.yaml": "x", "./pipeline.yaml": TEXT}), "p.zip") == TEXT


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_without_pipeline_yaml_gives_its_first_file(pack) -> None:  # type: ignore[no-untyped-def]
    assert read_package(pack({"train.yml": TEXT, "b.yaml": "x"}), "p.tar.gz") == TEXT
    assert "`notes.txt`, is no YAML" in refusal(pack({"notes.txt": "x", "b.yaml": TEXT}), "p.zip")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_empty_archive_is_refused(pack) -> None:  # type: ignore[no-untyped-def]
    assert "The archive is empty" in refusal(pack({}), "p.zip")


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    "name", ["../pipeline.yaml", "/etc/pipeline.yaml", "a/../../pipeline.yaml", "..\\pipeline.yaml", "C:x.yaml"]
)
def test_an_entry_that_climbs_out_of_the_archive_is_refused(pack, name: str) -> None:  # type: ignore[no-untyped-def]
    assert "points outside the archive" in refusal(pack({name: TEXT}), "p.zip")


def test_a_link_in_an_archive_is_refused() -> None:
    assert "a link or a device" in refusal(tarred({}, link="/etc/passwd"), "p.tar.gz")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_bomb_is_refused_within_a_second(pack) -> None:  # type: ignore[no-untyped-def]
    data = pack({"pipeline.yaml": bytes(100 * 1024 * 1024)})
    began = time.process_time()
    assert "unpacks to more than 32 MiB" in refusal(data, "p.zip")
    assert time.process_time() - began < 1


def test_everything_on_the_way_to_the_pipeline_counts() -> None:
    data = tarred({f"{index}.bin": bytes(20 * 1024 * 1024) for index in range(2)} | {"pipeline.yaml": TEXT})
    assert "unpacks to more than 32 MiB" in refusal(data, "p.tar.gz")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_with_too_many_entries_is_refused(pack) -> None:  # type: ignore[no-untyped-def]
    assert f"more than {MAX_ENTRIES} entries" in refusal(pack({f"{index}.yaml": "" for index in range(MAX_ENTRIES + 1)}), "p.zip")


@pytest.mark.parametrize(
    ("data", "name", "sentence"),
    [
        (b"", "p.yaml", "The file is empty"),
        (bytes(MAX_BYTES + 1), "p.yaml", "larger than 32 MiB"),
        (b"\x89PNG\r\n\x1a\n" + os.urandom(200), "p.png", "neither a document nor an archive"),
        (TEXT.encode(), "p.txt", "neither a document nor an archive"),
        (b"a: 1\n\xff\xfa\x00" + os.urandom(200), "p.yaml", "cannot be read as UTF-8"),
        (zipped({"pipeline.yaml": TEXT}), "p.yaml", "an archive under the name of a document"),
        (b"PK\x03\x04" + os.urandom(200), "p.zip", "cannot be read as .zip"),
        (b"\x1f\x8b" + os.urandom(200), "p.tar.gz", "cannot be read as .tar.gz"),
        (gzip.compress(TEXT.encode(), mtime=0), "p.tar.gz", "cannot be read as .tar.gz"),
        (tarred({"pipeline.yaml": os.urandom(5000)})[:3000], "p.tar.gz", "ends too early"),
        (zipped({"pipeline.yaml": os.urandom(5000)})[:3000], "p.zip", "cannot be read as .zip"),
    ],
)
def test_what_is_no_package_is_refused_with_one_sentence(data: bytes, name: str, sentence: str) -> None:
    assert sentence in refusal(data, name)


def test_the_line_of_the_first_byte_that_is_no_text_is_named() -> None:
    with pytest.raises(Refused) as caught:
        read_package(b"a: 1\nb: \xff\n", "p.yaml")
    assert caught.value.problems[0].line == 2
