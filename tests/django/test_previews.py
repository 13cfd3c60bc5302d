"""What a page shows of an artifact, by its type and by what the bytes are."""

from __future__ import annotations

import json
import math
import pathlib

import pytest

from runs.artifacts.charts import confusion, roc_chart
from runs.artifacts.previews import Preview, preview
from runs.models import Artifact


@pytest.fixture
def show(tmp_path: pathlib.Path, settings):
    """Writes bytes where an artifact lies and previews it."""
    settings.ARTIFACTS_DIR = tmp_path

    def show(data: bytes | dict[str, bytes] | None, *, type: str = "system.Artifact", name: str = "out", metadata=None) -> Preview:
        path = tmp_path / "kfdash" / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(data, dict):
            for key, value in data.items():
                (path / key).parent.mkdir(parents=True, exist_ok=True)
                (path / key).write_bytes(value)
        elif data is not None:
            path.write_bytes(data)
        return preview(Artifact(uri=f"minio://kfdash/{name}", type=type, metadata=metadata or {}))

    return show


def test_metrics_come_from_the_metadata_without_what_the_platform_added(show):
    seen = show(None, type="system.Metrics", metadata={"display_name": "x", "auc": 0.9, "note": "ok", "acc": 1})
    assert seen.kind == "metrics" and seen.metrics == [("acc", 1), ("auc", 0.9), ("note", "ok")]


@pytest.mark.parametrize("threshold", [math.inf, "Infinity", "inf"])
def test_a_roc_curve_with_an_infinite_threshold_is_drawn(threshold):
    chart = roc_chart(
        {
            "confidenceMetrics": [
                {"confidenceThreshold": threshold, "recall": 0, "falsePositiveRate": 0},
                {"confidenceThreshold": 0.5, "recall": 0.8, "falsePositiveRate": 0.1},
                {"confidenceThreshold": 0, "recall": 1, "falsePositiveRate": 1},
            ]
        }
    )
    assert chart is not None
    assert chart.points[0].threshold == "∞"
    assert chart.area == pytest.approx(0.85, abs=0.001)


def test_the_form_that_kfps_store_wraps_metrics_in_is_read_too():
    chart = roc_chart({"confidenceMetrics": {"list": [{"confidenceThreshold": 1, "recall": 1, "falsePositiveRate": 0}]}})
    matrix = confusion({"confusionMatrix": {"struct": {"annotationSpecs": [{"displayName": "a"}], "rows": [{"row": [3]}]}}})
    assert chart is not None and matrix is not None and matrix.rows[0][1][0].count == 3


@pytest.mark.parametrize(
    "metadata",
    [
        {"confidenceMetrics": "no list"},
        {"confidenceMetrics": [1, 2]},
        {"confusionMatrix": {"rows": 3}},
        {"confusionMatrix": {"annotationSpecs": [{}], "rows": []}},
        {},
    ],
)
def test_broken_classification_metrics_are_shown_as_what_they_are(show, metadata):
    assert show(None, type="system.ClassificationMetrics", metadata=metadata).kind == "metrics"


def test_confusion_cells_are_shaded_by_their_share_of_the_row():
    matrix = confusion(
        {
            "confusionMatrix": {
                "annotationSpecs": [{"displayName": "a"}, {"displayName": "b"}],
                "rows": [{"row": [9, 1]}, {"row": [0, 0]}],
            }
        }
    )
    assert matrix is not None
    assert [cell.share for cell in matrix.rows[0][1]] == [0.9, 0.1]
    assert [cell.opacity for cell in matrix.rows[1][1]] == [0.12, 0.12]


def test_markup_in_markdown_never_reaches_the_page(show):
    seen = show(b"# Hi\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1))", type="system.Markdown")
    assert "<h1>Hi</h1>" in seen.markup and "<script" not in seen.markup and 'href="javascript' not in seen.markup


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n...", "out", "image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "out.svg", "image"),
        (b"a,b\n1,2\n3,4\n", "out", "table"),
        (b"a\tb\n1\t2\n3\t4\n", "out.tsv", "table"),
        (b'[{"a": 1}, {"a": 2}]', "out", "table"),
        (b'{"a": 1}\n{"a": 2}\n', "out.jsonl", "table"),
        (b'{"a": 1}', "out", "text"),
        (b"just words, with commas, here\n", "out", "text"),
        (b"\x00\x01\x02", "out", "binary"),
        (b"\xff\xfe\xfa", "out", "binary"),
        (b"", "out", "text"),
        (b"<html><body>hi</body></html>", "out.html", "html"),
    ],
)
def test_a_file_is_shown_as_what_its_bytes_are(show, data, name, kind):
    assert show(data, name=name).kind == kind


def test_a_table_has_types_and_says_what_it_left_out(show):
    rows = "".join(f"{i},{i / 2},name{i},true\n" for i in range(250))
    table = show(f"i,half,name,flag\n{rows}".encode(), name="t.csv").table
    assert table is not None
    assert [column.type for column in table.columns] == ["integer", "number", "string", "boolean"]
    assert len(table.rows) == 100 and table.total == 250 and "first 100 of 250 rows" in table.note


def test_a_parquet_file_is_a_table(show, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"x": [1, 2], "y": ["a", None]}), tmp_path / "p")
    table = show((tmp_path / "p").read_bytes(), name="p.parquet").table
    assert table is not None and table.rows == (("1", "a"), ("2", "")) and table.columns[0].type == "int64"


def test_a_folder_lists_its_files(show):
    seen = show({"a/b.txt": b"12345", "c.bin": b"1"}, name="folder")
    assert seen.kind == "folder" and [entry.path for entry in seen.entries] == ["a/b.txt", "c.bin"] and seen.size == 6


def test_what_was_never_written_is_said(show):
    assert show(None).kind == "missing"


def test_an_address_elsewhere_is_said_not_fetched(db):
    seen = preview(Artifact(uri="gs://bucket/x", type="system.Model"))
    assert seen.kind == "missing" and "gs://bucket/x" in seen.note


def test_an_address_that_climbs_out_of_the_store_is_refused(settings, tmp_path):
    settings.ARTIFACTS_DIR = tmp_path / "store"
    (tmp_path / "secret").write_text(json.dumps("x"))
    assert preview(Artifact(uri="minio://../secret", type="system.Artifact")).kind == "missing"
