"""How many there are is exact, whatever happens at once: on PostgreSQL from counters, on SQLite by counting."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import close_old_connections, connection, transaction
from django.db.models import F, FloatField, Q, Sum
from django.test import Client

from runs import models, services, tallying
from tests.django.documents import chain
from tests.django.driving import launched

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]
STATES = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED")


@pytest.fixture(autouse=True)
def anew() -> None:
    """Counters are put together whatever was seen of them in another test."""
    tallying._after.clear()


@pytest.fixture
def run() -> models.Run:
    """A run to make others from."""
    return launched(chain(1))


def more(run: models.Run, count: int, **fields: Any) -> list[models.Run]:
    """As many runs like this one, in one statement."""
    last = models.Run.objects.order_by("-number").values_list("number", flat=True)[0]
    rows = [
        models.Run(
            **{field.attname: getattr(run, field.attname) for field in models.Run._meta.concrete_fields}
            | {"id": uuid.uuid4(), "number": last + place}
            | fields
        )
        for place in range(1, count + 1)
    ]
    return models.Run.objects.bulk_create(rows)


def total(where: Q, model: type[Any] = models.RunTally) -> int:
    """What a list says."""
    found = tallying.count_of(model)(where)
    assert (found is None) == (connection.vendor == "sqlite")
    return _COUNTED[model].filter(where).count() if found is None else found


_COUNTED = {models.RunTally: models.Run.objects, models.ArtifactTally: models.Artifact.objects}


def assert_exact() -> None:
    """Every group that counters tell apart has as many rows as they say, and no others are told of."""
    experiments = [Q(experiment_key=key) for key in models.Run.objects.values_list("experiment_key", flat=True).distinct()]
    pipelines = [Q(pipeline_key=key) for key in models.Run.objects.values_list("pipeline_key", flat=True).distinct() if key]
    for of in (Q(), Q(experiment_key=uuid.uuid4()), Q(pipeline_key=None), *experiments, *pipelines):
        for state in (Q(), *(Q(state=state) for state in STATES), ~Q(state="FAILED"), Q(storage_state="ARCHIVED")):
            assert total(of & state) == models.Run.objects.filter(of & state).count(), (of, state)
    for who in ("", "ada", "grace"):
        assert total(Q(created_by=who)) == models.Run.objects.filter(created_by=who).count()


# --- one after the other ----------------------------------------------------------------------------------------------


def test_counters_follow_what_is_made_changed_archived_and_deleted(run: models.Run) -> None:
    assert_exact()
    more(run, 20, created_by="ada", pipeline_key=uuid.uuid4())
    other = services.create_experiment(name="other")
    mine = more(run, 30, state="SUCCEEDED", experiment=other, experiment_key=other.pk, created_by="grace")
    assert_exact()
    models.Run.objects.filter(created_by="ada").update(state="FAILED")
    services.archive_experiment(other)
    services.delete_run(mine[0])
    assert_exact()
    assert total(Q()) == 50
    services.delete_experiment(other)
    models.Run.objects.filter(state="SUCCEEDED").delete()
    assert_exact()


def test_what_is_rolled_back_was_never_counted(run: models.Run) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        more(run, 5)
        raise RuntimeError
    assert total(Q()) == 1


def test_a_change_that_counts_nothing_writes_no_counter(run: models.Run) -> None:
    before = models.RunTally.objects.count()
    models.Run.objects.update(event_number=F("event_number") + 1, reason="?", state=run.state)
    assert models.RunTally.objects.count() == before


def test_artifacts_are_counted_by_name_and_type(run: models.Run) -> None:
    for name, type_ in (("model", "system.Model"), ("model", "system.Artifact"), ("data", "system.Dataset")):
        models.Artifact.objects.create(run=run, path="root/s0", name=name, type=type_, uri="minio://a/b")
    models.Artifact.objects.filter(name="data").update(type="system.Model")
    models.Artifact.objects.filter(type="system.Artifact").delete()
    of = models.ArtifactTally
    assert [total(where, of) for where in (Q(), Q(name="model"), Q(type="system.Model"))] == [2, 1, 2]


def test_the_summary_of_the_cache_adds_hits_and_what_they_saved(run: models.Run) -> None:
    for hits, seconds in ((0, 5.0), (2, 10.0), (1, 2.5)):
        models.CacheEntry.objects.create(
            pipeline_name="p", fingerprint="f", run=run, path="root/s0", outputs={}, seconds=seconds, hits=hits
        )
    assert services.cache_summary() == {"entries": 3, "hits": 3, "saved": 22.5}
    models.CacheEntry.objects.filter(hits=0).update(hits=F("hits") + 4)
    models.CacheEntry.objects.filter(hits=1).delete()
    rows = models.CacheEntry.objects.aggregate(saved=Sum(F("hits") * F("seconds"), output_field=FloatField()))
    assert services.cache_summary() == {"entries": 2, "hits": 6, "saved": rows["saved"]}
    services.evict_before(run.created_at.replace(year=run.created_at.year + 1))
    assert services.cache_summary() == {"entries": 0, "hits": 0, "saved": 0}


def test_counters_that_are_put_together_say_the_same(run: models.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in range(10):
        more(run, 2, created_by="ada" if place % 2 else "grace")
    models.Run.objects.filter(created_by="ada").update(state="FAILED")
    monkeypatch.setattr(tallying, "_LOOSE", 0)
    before = models.RunTally.objects.count()
    assert tallying.fold() == before - models.RunTally.objects.count()
    if tallying.has_counters():
        assert models.RunTally.objects.count() == 2 + 2 + 3 < before
    assert_exact()
    assert tallying.fold() == 0, "there is nothing to put together"


# --- the lists that say it --------------------------------------------------------------------------------------------


def test_lists_say_the_exact_total_with_and_without_filters(run: models.Run) -> None:
    more(run, 7, state="FAILED", created_by="ada")
    more(run, 4, state="SUCCEEDED", storage_state="ARCHIVED")
    client = Client(headers={"host": "localhost"})

    def size(address: str, key: str = "", value: str = "") -> int:
        query = f'?filter={{"predicates":[{{"operation":"EQUALS","key":"{key}","string_value":"{value}"}}]}}' if key else ""
        return client.get(f"{address}{query}").json().get("total_size", 0)

    kfp, own = "/apis/v2beta1/runs", "/apis/kfdash/v1/runs"
    assert size(kfp) == size(own) == 12
    assert size(kfp, "state", "FAILED") == size(own, "state", "failed") == 7
    assert size(kfp, "storage_state", "ARCHIVED") == size(own, "storage_state", "ARCHIVED") == 4
    assert size(kfp, "experiment_id", str(run.experiment_key)) == 12 and size(kfp, "experiment_id", str(uuid.uuid4())) == 0
    assert client.get(f"{kfp}?experiment_id={run.experiment_key}").json()["total_size"] == 12
    assert size(kfp, "name", run.name) == 12 and size(kfp, "name", "another") == 0


def test_rows_are_not_counted_where_counters_say_how_many(
    run: models.Run, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    if not tallying.has_counters():
        pytest.skip("SQLite counts rows")
    client = Client(headers={"host": "localhost"})
    with django_assert_max_num_queries(6) as asked:
        for more in ("", '?filter={"predicates":[{"operation":"EQUALS","key":"state","string_value":"RUNNING"}]}'):
            assert client.get(f"/apis/kfdash/v1/runs{more}").json()["total_size"] == 1
    assert not [one["sql"] for one in asked if 'COUNT(*) AS "__count" FROM "runs_run"' in one["sql"]]


# --- at once ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_counters_stay_exact_while_many_make_change_archive_and_delete_runs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallying, "_LOOSE", 0)
    run = launched(chain(1))
    problems: list[BaseException] = []
    done = threading.Event()

    def work(seed: int) -> None:
        chance = random.Random(seed)
        mine: list[uuid.UUID] = []
        for _ in range(12):
            with transaction.atomic():
                rows = models.Run.objects.filter(pk__in=chance.sample(mine, min(len(mine), 2)))
                match chance.choice(("make", "make", "state", "archive", "delete", "nothing")):
                    case "make":
                        fresh = models.Run(**{field.attname: getattr(run, field.attname) for field in run._meta.concrete_fields})
                        fresh.id, fresh.number = uuid.uuid4(), seed * 1000 + len(mine) + chance.randrange(10**6)
                        fresh.created_by = chance.choice(("ada", "grace"))
                        fresh.save(force_insert=True)
                        mine.append(fresh.pk)
                    case "state":
                        rows.update(state=chance.choice(STATES))
                    case "archive":
                        rows.update(storage_state=chance.choice(("ARCHIVED", "AVAILABLE")))
                    case "delete":
                        rows.delete()
                    case "nothing":
                        rows.update(state="FAILED")
                        transaction.set_rollback(True)

    def fold(seed: int) -> None:
        while not done.wait(0.02):
            tallying._after.clear()
            tallying.fold()
            told = total(Q())
            assert told >= 1, "whoever reads while counters are put together sees all of them"

    def guarded(job: Callable[[int], None], seed: int) -> None:
        try:
            job(seed)
        except BaseException as error:  # told by the test, which waits for all
            problems.append(error)
        finally:
            connection.close()

    folders = [threading.Thread(target=guarded, args=(fold, seed)) for seed in range(2)]
    workers = [threading.Thread(target=guarded, args=(work, seed)) for seed in range(1, 7)]
    for thread in [*folders, *workers]:
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    for thread in folders:
        thread.join()
    close_old_connections()
    assert not problems, problems
    assert_exact()
