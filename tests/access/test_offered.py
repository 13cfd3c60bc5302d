"""What somebody may not do is not offered: pages of one who may only view have no such buttons, those of others have."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from kfdash.rights import Right
from pipelines import services
from runs.services import launch_run
from tests.access.people import browser
from tests.django.documents import chain

pytestmark = pytest.mark.django_db
ACTS = re.compile(
    r'data-choose|class="drop[ "]|for=launch|/launch/|data-open="new-exp|/again/"|/stop/|/delete/|/evict/|tags/"|/archive/"'
)


@pytest.fixture
def pages(settings: object, sent: list[tuple]) -> list[str]:
    """Addresses of pages on which something can be done."""
    settings.AUTH = "accounts"  # type: ignore[attr-defined]
    pipeline, version = services.upload_pipeline(data=chain(2).encode(), file_name="p.json", name="a-pipeline")
    run = launch_run(specification=version.specification, version=version, arguments={})
    below = f"/pipelines/{pipeline.pk}/versions/{version.pk}/"
    return ["/", "/runs/", f"/runs/{run.pk}/", "/pipelines/", below, "/experiments/", f"/experiments/{run.experiment_id}/"]


def test_one_who_may_only_view_is_offered_nothing_and_others_are(pages: list[str]) -> None:
    viewer, runner = browser(Right.VIEW), browser(Right.RUN)
    for address in pages:
        found = [set(ACTS.findall(main(client, address))) for client in (viewer, runner)]
        assert not found[0] and found[1], (address, found)


def main(client: Client, address: str) -> str:
    """The page but its navigation and dialogs."""
    answer = client.get(address)
    assert answer.status_code == 200, address
    return str(answer.content.decode().partition("<main")[2].partition("</main>")[0])
