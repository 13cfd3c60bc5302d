"""Artifacts: metadata, folders, lists, importers, the workspace."""

# ruff: noqa: UP006, UP035  # the SDK knows these forms only

import json
from typing import List

from kfp import dsl
from kfp.dsl import Dataset, Input

from tests.conformance.expected.model import Expected
from tests.conformance.features.components import (
    curve,
    folder_listed,
    folder_made,
    found_in,
    joined,
    kept_elsewhere,
    left_in,
    metadata_of,
    nothing_written,
    read,
    read_two,
    returned,
    with_metadata,
    written,
)
from tests.conformance.features.feature import Feature
from tests.conformance.seen import Seen

_METADATA = {
    "whole": 1,
    "fraction": 2.5,
    "yes": True,
    "no": False,
    "nothing": None,
    "text": 'ü "quoted"\n{{$.x}} \\',
    "list": [1, "a", None, [True]],
    "object": {"a": {"b": [1, {"c": 2.5}]}, "": "empty key"},
    "large": 12345678901234567,
}


@dsl.pipeline(name="metadata-of-all-kinds")
def metadata_of_all_kinds():
    made = with_metadata()
    metadata_of(data=made.outputs["out"])
    curve()


@dsl.pipeline(name="files-and-folders")
def files_and_folders(path: str):
    made = folder_made()
    folder_listed(data=made.outputs["out"])
    kept = kept_elsewhere(path=path)
    read(data=kept.outputs["out"])
    read_two(first=kept.outputs["out"], second=kept.outputs["out"])
    nothing_written()
    read(data=returned(s="by hand").output)


@dsl.pipeline(name="takes-lists")
def takes_lists(files: Input[List[Dataset]], one: Input[Dataset], same: Input[Dataset]) -> str:
    joined(files=files)
    return read_two(first=one, second=same).output


@dsl.pipeline(name="lists-across-borders")
def lists_across_borders() -> str:
    with dsl.ParallelFor(["a", "b", "c"]) as item:
        each = written(s=item)
    single = written(s="x")
    return takes_lists(files=dsl.Collected(each.outputs["out"]), one=single.outputs["out"], same=single.outputs["out"]).output


@dsl.pipeline(name="imports")
def imports(uri: str, again: bool = False):
    fixed = dsl.importer(artifact_uri=uri, artifact_class=Dataset, metadata={"from": "http", "n": [1, 2]})
    read(data=fixed.output)
    new = dsl.importer(artifact_uri=uri, artifact_class=Dataset, reimport=True)
    read_two(first=new.output, second=fixed.output)


@dsl.pipeline(
    name="shared-folder",
    pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi")),
)
def shared_folder():
    left = left_in(place=dsl.WORKSPACE_PATH_PLACEHOLDER, s="left here")
    found_in(path=left.output)
    found_in(path=f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/sub/file.txt").after(left)


def _valid_json(seen: Seen) -> None:
    """What the API tells is JSON in the strict sense, infinite thresholds and all."""
    for path in ("with-metadata", "curve"):
        (artifact,) = seen.artifacts(path, "out")
        text = seen.api.text(f"/apis/kfdash/v1/artifacts/{artifact['artifact_id']}")
        json.loads(text, parse_constant=_refuse)
        assert "Infinity" not in text or '"Infinity"' in text
        assert seen.api.text(f"/artifacts/{artifact['artifact_id']}/")
    points = seen.artifacts("curve", "out")[0]["metadata"]["confidenceMetrics"]
    assert [(one["recall"], one["falsePositiveRate"]) for one in points] == [(0, 0), (0.75, 0.5), (1, 1)]
    assert [one["confidenceThreshold"] for one in points[1:]] == [0.5, 0]


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def _uris(seen: Seen) -> None:
    (artifact,) = seen.artifacts("returned", "Output")
    assert artifact["uri"].endswith("/another") and artifact["metadata"] == {"made": "by hand"}
    (nothing,) = seen.artifacts("nothing-written", "out")
    assert nothing["type"] == "system.Dataset"


def _registered_once_or_anew(seen: Seen) -> None:
    (fixed,), (new,) = seen.artifacts("importer", "artifact"), seen.artifacts("importer-2", "artifact")
    assert fixed["uri"] == new["uri"] and fixed["artifact_id"] != new["artifact_id"]
    assert fixed["metadata"] == {"from": "http", "n": [1, 2]}


IMPORTS = Feature(
    imports,
    Expected(
        ran={"importer": 1, "importer-2": 1, "read": 1, "read-two": 1},
        values={"read.Output": "served", "read-two.Output": "servedserved"},
        check=_registered_once_or_anew,
    ),
)

FEATURES = {
    "metadata-of-all-kinds": Feature(
        metadata_of_all_kinds,
        Expected(
            ran={"with-metadata": 1, "metadata-of": 1, "curve": 1},
            metadata={"with-metadata.out": _METADATA},
            values={"metadata-of.Output": {"found": _METADATA}},
            check=_valid_json,
        ),
    ),
    "files-and-folders": Feature(
        files_and_folders,
        Expected(
            ran={
                "folder-made": 1,
                "folder-listed": 1,
                "kept-elsewhere": 1,
                "read": 1,
                "read-two": 1,
                "nothing-written": 1,
                "returned": 1,
                "read-2": 1,
            },
            arguments={"path": "{folder}/elsewhere.txt"},
            values={
                "folder-listed.Output": ["a.txt", "inner/b.txt"],
                "read.Output": "from elsewhere",
                "read-two.Output": "from elsewherefrom elsewhere",
                "read-2.Output": "by hand",
            },
            texts={"kept-elsewhere.out": ["from elsewhere"]},
            check=_uris,
        ),
    ),
    "lists-across-borders": Feature(
        lists_across_borders,
        Expected(
            ran={"written": 3, "written-2": 1, "joined": 1, "read-two": 1},
            values={"takes-lists/joined.Output": "a|b|c", "takes-lists/read-two.Output": "xx", ".Output": "xx"},
        ),
    ),
    "shared-folder": Feature(
        shared_folder,
        Expected(
            ran={"left-in": 1, "found-in": 1, "found-in-2": 1},
            values={"found-in.Output": "left here", "found-in-2.Output": "left here"},
            passes=1,
        ),
    ),
}
