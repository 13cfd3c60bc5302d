"""Tags, and the same for many runs at once."""

from __future__ import annotations

import uuid

import pytest

from pipelines.spec.problems import Refused
from runs import models, services
from tests.django.documents import chain
from tests.django.driving import launched, stopped, succeed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]


def three() -> list[models.Run]:
    return [launched(chain(1), tags={"team": "a"}) for _ in range(3)]


def ids(runs) -> list[uuid.UUID]:
    return [run.pk for run in runs]


def tags_of(run: models.Run) -> dict[str, str]:
    return models.Run.objects.values_list("tags", flat=True).get(pk=run.pk)


def test_tags_of_a_run_are_replaced() -> None:
    run = launched(tags={"team": "a"})
    services.set_run_tags(run, {"model": "small", "why": ""})
    assert tags_of(run) == run.tags == {"model": "small", "why": ""}


@pytest.mark.parametrize("tags", [{"": "x"}, {"a.b": "x"}, {"a": "x" * 64}, {"k" * 64: "x"}, {f"k{i}": "" for i in range(21)}])
def test_tags_beyond_the_limits_of_pipelines_are_refused(tags: dict[str, str]) -> None:
    run = launched(tags={"team": "a"})
    with pytest.raises(Refused):
        services.set_run_tags(run, tags)
    assert tags_of(run) == {"team": "a"}


def test_many_runs_are_tagged_at_once_and_those_that_would_have_too_many_are_named() -> None:
    runs = three()
    services.set_run_tags(runs[2], {f"k{i}": "" for i in range(20)})
    bulk = services.tag_runs(ids(runs), add={"model": "small"}, remove=["team"])
    assert bulk.done == [str(runs[0].pk), str(runs[1].pk)] and "at most 20" in bulk.refused[str(runs[2].pk)]
    assert tags_of(runs[0]) == {"model": "small"} and len(tags_of(runs[2])) == 20
    with pytest.raises(Refused):
        services.tag_runs(ids(runs), add={"a.b": ""})


def test_many_runs_are_stopped_at_once_and_those_that_have_ended_are_named() -> None:
    runs = three()
    succeed(runs[0], "root/s0")
    bulk = services.stop_runs([*ids(runs), unknown := uuid.uuid4()], by="ada")
    assert bulk.done == [str(runs[1].pk), str(runs[2].pk)]
    assert bulk.refused == {
        str(runs[0].pk): f"Run #{runs[0].number} has ended: it is SUCCEEDED.",
        str(unknown): "There is no such run.",
    }
    stopped(runs[1], "root/s0")
    assert (runs[1].state, runs[1].stopped_by) == ("CANCELED", "ada")


def test_many_runs_are_archived_restored_and_deleted_at_once() -> None:
    runs = three()
    assert len(services.archive_runs(ids(runs)).done) == 3
    assert set(models.Run.objects.values_list("storage_state", flat=True)) == {"ARCHIVED"}
    assert len(services.restore_runs(ids(runs[:2])).done) == 2
    services.archive_experiment(runs[0].experiment)
    assert set(services.restore_runs(ids(runs)).refused) == {str(key) for key in ids(runs)}
    assert services.delete_runs([*ids(runs[:2]), runs[0].pk]).to_json() == {
        "done": [str(key) for key in ids(runs[:2])],
        "refused": {},
    }
    assert list(models.Run.objects.all()) == [runs[2]]


def test_more_than_a_thousand_runs_at_once_are_refused() -> None:
    with pytest.raises(services.TooMany, match="1,001"):
        services.archive_runs([uuid.uuid4() for _ in range(1001)])
