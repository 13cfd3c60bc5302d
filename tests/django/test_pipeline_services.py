"""Uploads as services: names, numbers, what is stored, what is refused."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from pipelines import fetching, services, specifications
from pipelines.models import Pipeline, PipelineVersion, Specification
from pipelines.services import HasVersions, NameTaken
from pipelines.spec.parse import parse_text
from pipelines.spec.problems import Refused

pytestmark = pytest.mark.django_db


def _dag(*tasks: str, component: str = "comp-say") -> dict[str, Any]:
    return {"dag": {"tasks": {task: {"componentRef": {"name": component}, "taskInfo": {"name": task}} for task in tasks}}}


def _spec(name: str = "hello") -> dict[str, Any]:
    return {
        "components": {"comp-say": {"executorLabel": "exec-say"}},
        "deploymentSpec": {"executors": {"exec-say": {"container": {"image": "alpine", "command": ["echo"]}}}},
        "pipelineInfo": {"name": name},
        "root": _dag("say"),
        "schemaVersion": "2.1.0",
    }


def _package(name: str = "hello") -> bytes:
    return json.dumps(_spec(name)).encode()


def _upload(name: str = "p", **fields: Any) -> tuple[Pipeline, PipelineVersion]:
    return services.upload_pipeline(data=_package(), file_name="hello.yaml", name=name, **fields)


def test_an_upload_keeps_the_package_as_it_was_sent_beside_what_was_parsed() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("pipeline.yaml", _package())
    pipeline, version = services.upload_pipeline(data=archive.getvalue(), file_name="hello.zip", by="ada", tags={"a": "b"})
    version.refresh_from_db()
    assert (bytes(version.package), version.package_name) == (archive.getvalue(), "hello.zip")
    assert (pipeline.name, pipeline.tags, pipeline.created_by, version.created_by) == ("hello.zip", {"a": "b"}, "ada", "ada")
    assert (version.number, version.name, version.tags) == (1, "hello.zip", {})
    assert (version.specification.name, version.specification.step_count) == ("hello", 1)


def test_versions_are_numbered_in_their_pipeline_and_share_a_specification() -> None:
    pipeline, first = _upload()
    second = services.upload_version(pipeline=pipeline, data=_package(), file_name="x.yaml")
    third = services.upload_version(pipeline=pipeline, data=_package("other"), file_name="y.yaml")
    _, elsewhere = _upload("q")
    assert [version.number for version in (first, second, third, elsewhere)] == [1, 2, 3, 1]
    assert first.specification == second.specification != third.specification
    services.delete_version(second)
    fourth = services.upload_version(pipeline=pipeline, data=_package(), file_name="z.yaml")
    assert fourth.number == 4


def test_a_name_that_is_taken_is_refused_and_nothing_is_stored() -> None:
    pipeline, _ = _upload()
    with pytest.raises(NameTaken, match="specify a new name"):
        _upload()
    with pytest.raises(NameTaken, match="specify a new name"):
        services.upload_version(pipeline=pipeline, data=_package("new"), file_name="x.yaml", name="p")
    assert (Pipeline.objects.count(), PipelineVersion.objects.count()) == (1, 1)


def test_a_package_and_its_labels_are_refused_together_with_every_problem() -> None:
    with pytest.raises(Refused) as refused:
        services.upload_pipeline(data=b"a: b", file_name="x.yaml", name="n" * 200, tags={"a.b": "v" * 64})
    places = [problem.place for problem in refused.value.problems]
    assert places[:4] == ["name", "display_name", "tags.a.b", "tags.a.b"] and len(places) == 5
    assert not Specification.objects.exists()


def test_a_pipeline_needs_a_name() -> None:
    with pytest.raises(Refused, match="name is required"):
        services.create_pipeline()
    assert services.create_pipeline(display_name="Shown").name == "Shown"


def test_names_are_unique_in_their_namespace_alone() -> None:
    for namespace in ("", "team-a", "team-b"):
        assert _upload(namespace=namespace)[0].namespace == namespace


def test_updates_keep_what_is_not_said() -> None:
    pipeline, version = _upload(tags={"a": "1"})
    services.update_pipeline(pipeline, display_name="New")
    services.update_version(version, tags={"b": "2"})
    pipeline.refresh_from_db()
    version.refresh_from_db()
    assert (pipeline.name, pipeline.display_name, pipeline.tags) == ("p", "New", {"a": "1"})
    assert (version.display_name, version.tags) == ("p", {"b": "2"})
    with pytest.raises(Refused, match="characters"):
        services.update_version(version, display_name="n" * 128)


def test_a_pipeline_goes_with_its_versions_only_when_that_is_said() -> None:
    pipeline, _ = _upload()
    with pytest.raises(HasVersions):
        services.delete_pipeline(pipeline)
    services.delete_pipeline(pipeline, with_versions=True)
    assert not PipelineVersion.objects.exists()
    assert Specification.objects.exists(), "runs may still need it"


# --- specifications -----------------------------------------------------------------------------------------------------


def test_a_specification_is_stored_once_whatever_its_layout() -> None:
    compact = parse_text(json.dumps(_spec()))
    spread = parse_text(json.dumps(dict(reversed(_spec().items())), indent=4))
    assert specifications.store(compact) == specifications.store(spread)
    assert len(specifications.identify(compact.pipeline, compact.platform)) == 64
    assert specifications.store(parse_text(json.dumps(_spec("other")))) != specifications.store(compact)


def test_a_specification_is_parsed_once_in_a_process(django_assert_num_queries: Any) -> None:
    row = specifications.store(parse_text(json.dumps(_spec("remembered"))))
    with django_assert_num_queries(1):
        first = specifications.load(row.pk)
    with django_assert_num_queries(0):
        assert specifications.load(row.pk) is first
    assert first.name == "remembered"
    with pytest.raises(Specification.DoesNotExist):
        specifications.load("0" * 64)


def test_steps_are_counted_over_all_dags() -> None:
    spec = _spec()
    spec["components"]["comp-inner"] = _dag("a", "b")
    spec["components"]["comp-outer"] = _dag("c", "d", component="comp-inner")
    spec["root"] = _dag("first", "second", component="comp-outer")
    assert specifications.store(parse_text(json.dumps(spec))).step_count == 8


# --- fetching -------------------------------------------------------------------------------------------------------------


def test_redirects_are_followed_and_each_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "/a": ("https://raw.githubusercontent.com/b.yaml", b""),
        "/b.yaml": ("", _package()),
        "/c": ("http://10.0.0.1/", b""),
    }
    monkeypatch.setattr(fetching, "_get", lambda parts, address, deadline: answers[parts.path])
    monkeypatch.setattr(fetching.socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("140.82.121.4", 443))])
    assert fetching.fetch_package("https://github.com/a") == (_package(), "a")
    with pytest.raises(fetching.NotFetched, match="https"):
        fetching.fetch_package("https://github.com/c")
    answers["/a"] = ("/a", b"")
    with pytest.raises(fetching.NotFetched, match="more than 10 times"):
        fetching.fetch_package("https://github.com/a")
