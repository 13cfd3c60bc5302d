"""Lists of the APIs in every order that they offer: page by page, each row once."""

from __future__ import annotations

import random
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from kfdash.wire.listing import Listing
from runs import models
from runs.api.control import OWN_RUNS
from runs.api.inside import ARTIFACTS
from runs.api.runs import RUNS
from tests.django.documents import chain
from tests.django.driving import launched

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]
MANY = 14


@pytest.fixture(autouse=True)
def rows() -> None:
    """Runs and artifacts of which many are alike."""
    chance, first = random.Random(5), launched(chain(1))
    given = {field.attname: getattr(first, field.attname) for field in models.Run._meta.concrete_fields}
    runs = [
        models.Run(
            **given
            | {
                "id": uuid.UUID(int=chance.getrandbits(128)),
                "number": first.number + place,
                "name": chance.choice(("Nightly", "nightly", "train")),
                "description": chance.choice(("", "One", "x" * 300)),
                "state": chance.choice(("FAILED", "SUCCEEDED")),
                "storage_state": chance.choice(("ARCHIVED", "AVAILABLE")),
                "experiment_key": chance.choice((first.experiment_key, uuid.UUID(int=7))),
                "pipeline_key": chance.choice((None, uuid.UUID(int=9))),
                "origin_id": chance.choice((None, first.pk)),
                "created_at": first.created_at - timedelta(seconds=chance.randrange(3)),
                "finished_at": chance.choice((None, first.created_at)),
                "scheduled_at": chance.choice((None, first.created_at)),
            }
        )
        for place in range(1, MANY)
    ]
    models.Run.objects.bulk_create(runs)
    models.Artifact.objects.bulk_create(
        models.Artifact(
            run=chance.choice((None, run)),
            path=chance.choice(("root/a", "root/B")),
            name=chance.choice(("model", "data")),
            type=chance.choice(("system.Model", "system.Dataset")),
            uri=chance.choice(("minio://a", "minio://B/" + "y" * 300)),
        )
        for run in runs
    )


def _walked(client: Client, address: str, order: str, key: str) -> list[str]:
    found: list[str] = []
    query: dict[str, Any] = {"page_size": 4, "sort_by": order}
    while True:
        answer = client.get(address, query).json()
        rows = next(value for value in answer.values() if isinstance(value, list))
        found += [row[key] for row in rows]
        if not (token := answer.get("next_page_token")):
            return found
        query = {"page_size": 4, "page_token": token}


@pytest.mark.parametrize(
    ("address", "listing", "key", "count"),
    [
        ("/apis/v2beta1/runs", RUNS, "run_id", MANY),
        ("/apis/kfdash/v1/runs", OWN_RUNS, "run_id", MANY),
        ("/apis/kfdash/v1/artifacts", ARTIFACTS, "artifact_id", MANY - 1),
    ],
)
def test_each_order_is_walked_to_its_end_with_every_row_once(address: str, listing: Listing, key: str, count: int) -> None:
    client = Client(headers={"host": "localhost"})
    for column in listing.columns:
        up, down = (_walked(client, address, f"{column} {way}", key) for way in ("asc", "desc"))
        assert len(set(up)) == len(up) == count, column
        assert up == down[::-1], column


def test_long_texts_are_compared_whole_though_their_beginnings_are_alike() -> None:
    client = Client(headers={"host": "localhost"})

    def size(operation: str, value: str) -> int:
        asked = f'{{"predicates":[{{"operation":"{operation}","key":"uri","string_value":"{value}"}}]}}'
        return client.get("/apis/kfdash/v1/artifacts", {"filter": asked}).json().get("total_size", 0)

    long = models.Artifact.objects.filter(uri__contains="yyy").count()
    assert size("EQUALS", "minio://b/" + "Y" * 300) == size("GREATER_THAN_EQUALS", "minio://b/" + "y" * 300) == long
    assert size("EQUALS", "minio://b/" + "y" * 299) == size("GREATER_THAN", "minio://b/" + "y" * 300) == 0
    assert size("GREATER_THAN", "minio://b/" + "y" * 299) == size("IS_SUBSTRING", "B/yy") == long
    assert size("LESS_THAN", "minio://b/" + "y" * 299) == MANY - 1 - long
