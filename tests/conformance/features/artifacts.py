"""Artifacts: metadata, folders, lists, importers, the workspace."""

# ruff: noqa: UP006, UP035, UP045  # the SDK knows these forms only

import json
from typing import Any, List, Optional

from kfp import dsl
from kfp.dsl import Dataset, Input

from tests.conformance.expected.model import Expected
from tests.conformance.features.components import (
    artifact_placeholders,
    curve,
    echo,
    folder_listed,
    folder_made,
    found_in,
    joined,
    kept_elsewhere,
    labelled,
    left_in,
    maybe_read,
    metadata_of,
    moved,
    named_tuple,
    nothing_written,
    read,
    read_two,
    returned,
    told_by_hand,
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


@dsl.pipeline(name="makes-many")
def makes_many() -> List[Dataset]:
    with dsl.ParallelFor(["x", "y", "z"]) as item:
        each = written(s=item)
    return dsl.Collected(each.outputs["out"])


@dsl.pipeline(name="goes-over-many")
def goes_over_many(files: Input[List[Dataset]]):
    with dsl.ParallelFor(files) as one:
        read(data=one)


@dsl.pipeline(name="loops-over-lists")
def loops_over_lists():
    made = makes_many()
    goes_over_many(files=made.output)
    with dsl.ParallelFor(made.output, parallelism=1) as one:
        content = read(data=one)
        with dsl.If(content.output == "y"):
            read_two(first=one, second=one)
    joined(files=made.output)


@dsl.pipeline(name="changed-addresses")
def changed_addresses():
    moved(uri="oci://registry.example/model:1")
    moved(uri="https://example.com/a file")
    moved(uri="s3://another-bucket/place")
    told_by_hand()


@dsl.pipeline(name="takes-an-optional-one")
def takes_an_optional_one(data: Optional[Input[Dataset]] = None):
    maybe_read(data=data)


@dsl.pipeline(name="optional-artifacts")
def optional_artifacts():
    one = written(s="given")
    takes_an_optional_one(data=one.outputs["out"])
    takes_an_optional_one()
    maybe_read()
    several = named_tuple(n=7)
    read(data=several.outputs["data"])
    echo(s=several.outputs["text"])


@dsl.pipeline(name="lists-across-borders")
def lists_across_borders() -> str:
    with dsl.ParallelFor(["a", "b", "c"]) as item:
        each = written(s=item)
    single = written(s="x")
    return takes_lists(files=dsl.Collected(each.outputs["out"]), one=single.outputs["out"], same=single.outputs["out"]).output


@dsl.pipeline(name="imports")
def imports(uri: str):
    fixed = dsl.importer(artifact_uri=uri, artifact_class=Dataset, metadata={"from": "http", "n": [1, 2]})
    read(data=fixed.output)
    new = dsl.importer(artifact_uri=uri, artifact_class=Dataset, reimport=True)
    read_two(first=new.output, second=fixed.output)
    moving = dsl.importer(artifact_uri=echo(s=uri).output, artifact_class=Dataset, metadata={"where": uri})
    read(data=moving.output)


@dsl.pipeline(name="artifacts-on-command-lines")
def artifacts_on_command_lines():
    with dsl.ParallelFor(["x", "y"]) as item:
        each = labelled(s=item)
    one = labelled(s="one")
    artifact_placeholders(data=one.outputs["out"], many=dsl.Collected(each.outputs["out"]))


@dsl.pipeline(name="loop-over-artifacts")
def loop_over_artifacts():
    with dsl.ParallelFor(["x", "y", "z"]) as item:
        each = written(s=item)
    joined(files=dsl.Collected(each.outputs["out"]))


@dsl.pipeline(
    name="shared-folder",
    pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi")),
)
def shared_folder():
    left = left_in(place=dsl.WORKSPACE_PATH_PLACEHOLDER, s="left here")
    found_in(path=left.output)
    found_in(path=f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/sub/file.txt").after(left)


def _iterate_artifacts(document: dict[str, Any]) -> None:
    """`joined` becomes a loop over the list, one artifact at a time: the SDK has no way to write it."""
    components = document["components"]
    files = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}, "isArtifactList": True}
    step = {
        "cachingOptions": {"enableCache": True},
        "componentRef": {"name": "comp-read"},
        "inputs": {"artifacts": {"data": {"componentInputArtifact": "one"}}},
        "taskInfo": {"name": "read"},
    }
    components["comp-read"] = {
        "executorLabel": "exec-read",
        "inputDefinitions": {"artifacts": {"data": {"artifactType": files["artifactType"]}}},
        "outputDefinitions": {"parameters": {"Output": {"parameterType": "STRING"}}},
    }
    components["comp-joined"] = {
        "dag": {"tasks": {"read": step}},
        "inputDefinitions": {"artifacts": {"files": files, "one": {"artifactType": files["artifactType"]}}},
    }
    executors = document["deploymentSpec"]["executors"]
    executors["exec-read"] = executors.pop("exec-joined")
    command, args = executors["exec-read"]["container"]["command"], executors["exec-read"]["container"]["args"]
    args[args.index("joined")] = "read"
    command[-1] = command[-1][: command[-1].index("def joined")] + _READ
    task = document["root"]["dag"]["tasks"]["joined"]
    task["artifactIterator"] = {"items": {"inputArtifact": "files"}, "itemInput": "one"}
    del task["cachingOptions"]


_READ = "def read(data: Input[Dataset]) -> str:\n    with open(data.path) as file:\n        return file.read()\n"


def _told_on_command_lines(seen: Seen) -> None:
    path = "artifact-placeholders"
    if seen.is_cached(path):
        return
    content, file, uri, label, many, target, whole = seen.printed(path)
    (artifact,) = seen.artifacts("labelled-2", "out")
    assert content == "file of one" and label == "one" and file.startswith("/") and target.startswith("/")
    assert uri in (artifact["uri"], file)
    assert [one["metadata"]["k"] for one in json.loads(many)] == ["x", "y"]
    assert json.loads(whole)["inputs"]["artifacts"]["data"]["artifacts"][0]["metadata"]["k"] == "one"


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


def _addresses(seen: Seen) -> None:
    found = [seen.artifacts(path, "out")[0]["uri"] for path in ("moved", "moved-2")]
    assert found == ["oci://registry.example/model:1", "https://example.com/a file"]
    assert "s3://another-bucket/place" in seen.tasks["moved-3"]["reason"], seen.story
    assert set(seen.tasks["told-by-hand"]["outputs"]["artifacts"]) == {"out"}


def _registered_once_or_anew(seen: Seen) -> None:
    (fixed,), (new,) = seen.artifacts("importer", "artifact"), seen.artifacts("importer-2", "artifact")
    assert fixed["uri"] == new["uri"] and fixed["artifact_id"] != new["artifact_id"]
    assert fixed["metadata"] == {"from": "http", "n": [1, 2]}
    (moving,) = seen.artifacts("importer-3", "artifact")
    assert moving["uri"] == moving["metadata"]["where"] == fixed["uri"]


@dsl.pipeline(
    name="imports-into-the-workspace",
    pipeline_config=dsl.PipelineConfig(workspace=dsl.WorkspaceConfig(size="1Gi")),
)
def imports_into_the_workspace(uri: str):
    one = dsl.importer(artifact_uri=uri, artifact_class=Dataset, download_to_workspace=True)
    read(data=one.output)


IMPORTS_INTO_THE_WORKSPACE = Feature(
    imports_into_the_workspace, Expected(ran={"importer": 1, "read": 1}, values={"read.Output": "served"}, passes=1)
)
IMPORTS = Feature(
    imports,
    Expected(
        ran={"importer": 1, "importer-2": 1, "importer-3": 1, "echo": 1, "read": 1, "read-2": 1, "read-two": 1},
        values={"read.Output": "served", "read-2.Output": "served", "read-two.Output": "servedserved"},
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
    "artifacts-on-command-lines": Feature(
        artifacts_on_command_lines,
        Expected(
            ran={"labelled": 2, "labelled-2": 1, "artifact-placeholders": 1},
            texts={"artifact-placeholders.out": ["made"]},
            check=_told_on_command_lines,
        ),
    ),
    "loop-over-artifacts": Feature(
        loop_over_artifacts,
        Expected(ran={"written": 3, "read": 3}, values={"joined[*]/read.Output": ["x", "y", "z"]}),
        change=_iterate_artifacts,
    ),
    "changed-addresses": Feature(
        changed_addresses,
        Expected(
            state="FAILED",
            ran={"moved": 1, "moved-2": 1, "moved-3": 1, "told-by-hand": 1},
            failed=("moved-3",),
            values={"told-by-hand.n": 4, "told-by-hand.s": "from a file"},
            texts={"told-by-hand.out": ["data"]},
            metadata={"told-by-hand.out": {"told": True}},
            check=_addresses,
        ),
    ),
    "loops-over-lists": Feature(
        loops_over_lists,
        Expected(
            ran={"written": 3, "read": 6, "read-two": 1, "joined": 1},
            values={
                "goes-over-many/for-loop-1[*]/read.Output": ["x", "y", "z"],
                "for-loop-1[*]/read.Output": ["x", "y", "z"],
                "for-loop-1[1]/condition-2/read-two.Output": "yy",
                "joined.Output": "x|y|z",
            },
            skipped=("for-loop-1[0]/condition-2", "for-loop-1[2]/condition-2"),
            limits={"for-loop-1": 1},
        ),
    ),
    "optional-artifacts": Feature(
        optional_artifacts,
        Expected(
            ran={"written": 1, "maybe-read": 3, "named-tuple": 1, "read": 1, "echo": 1},
            values={
                "takes-an-optional-one/maybe-read.Output": "given",
                "takes-an-optional-one-2/maybe-read.Output": "nothing given",
                "maybe-read.Output": "nothing given",
                "named-tuple.number": 7,
                "named-tuple.items": [7],
                "read.Output": "7",
                "echo.Output": "7",
            },
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
