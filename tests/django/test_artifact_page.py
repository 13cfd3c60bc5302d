"""The page of an output, its frame, its image and its download."""

from __future__ import annotations

import io
import re
import tarfile

import pytest
from django.test import Client

from runs import models, services
from tests.django.documents import chain, stored

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return Client(headers={"host": "localhost"})


@pytest.fixture
def artifact(settings, tmp_path, monkeypatch):
    """Makes an output of a run from bytes."""
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, facts: None)
    settings.ARTIFACTS_DIR = tmp_path
    run = services.launch_run(specification=stored(chain()), arguments={})
    models.Task.objects.create(run=run, path="root/s0", parent="root", kind="container", state="SUCCEEDED")

    def make(data: bytes | dict[str, bytes], name: str = "data", type: str = "system.Dataset") -> models.Artifact:
        path = tmp_path / "kfdash" / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            path.mkdir()
            for key, value in data.items():
                (path / key).write_bytes(value)
        return models.Artifact.objects.create(run=run, path="root/s0", name=name, type=type, uri=f"minio://kfdash/{name}")

    return make


def body(response) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_the_page_shows_the_output_where_it_comes_from_and_who_used_it(client, artifact, django_assert_max_num_queries):
    made = artifact(b"a,b\n1,2\n3,4\n")
    models.ArtifactUse.objects.create(artifact=made, run=made.run, path="root/s1", name="data")
    with django_assert_max_num_queries(8):
        page = client.get(f"/artifacts/{made.pk}/").content.decode()
    assert '<td class="num" title="3">3</td>' in page and "made it" in page and "used it" in page


def test_markup_in_names_and_cells_is_text(client, artifact):
    made = artifact(b"a,b\n<script>alert(1)</script>,2\n3,4\n", name="<img src=x>")
    page = client.get(f"/artifacts/{made.pk}/").content.decode()
    assert "<script>alert" not in page and "<img src=x>" not in page


def test_html_is_served_for_a_sandbox_without_origin_or_network(client, artifact):
    made = artifact(b"<script>parent.document</script>", type="system.HTML")
    assert 'sandbox="allow-scripts"' in client.get(f"/artifacts/{made.pk}/").content.decode()
    answer = client.get(f"/artifacts/{made.pk}/content/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'") and "allow-same-origin" not in policy


def test_an_svg_is_an_image_that_runs_nothing(client, artifact):
    answer = client.get(f"/artifacts/{artifact(b'<svg xmlns=...><script/></svg>', name='x.svg').pk}/content/")
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


def test_a_download_is_the_file_and_a_folder_an_archive(client, artifact):
    answer = client.get(f"/artifacts/{artifact(b'12345').pk}/download/")
    assert body(answer) == b"12345" and answer.headers["Content-Disposition"].startswith("attachment")
    folder = artifact({"a.txt": b"A", "b.txt": b"B"}, name="folder")
    packed = body(client.get(f"/artifacts/{folder.pk}/download/"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == ["folder/a.txt", "folder/b.txt"]
    assert body(client.get(f"/artifacts/{folder.pk}/download/?file=b.txt")) == b"B"
    assert client.get(f"/artifacts/{folder.pk}/download/?file=../data").status_code == 404


def test_outputs_of_a_loop_stand_by_index_whichever_iteration_ended_first(client, artifact):
    made = artifact(b"x")
    for index in (10, 2, 0):
        models.Artifact.objects.create(
            run=made.run, path=f"root/loop[{index}]/train", name="m", type="system.Model", uri="minio://kfdash/m"
        )
    page = client.get(f"/artifacts/{made.pk}/").content.decode()
    assert re.findall(r'data-step="([^"]+)"', page) == ["s0", "train[0]", "train[2]", "train[10]"]


def test_numbers_of_a_table_stand_at_the_right_and_are_rounded_but_kept_in_full(client, artifact):
    made = artifact(b"name,x\na,1.1099999999999999\nb,2\n")
    page = client.get(f"/artifacts/{made.pk}/").content.decode()
    assert '<td class="num" title="1.1099999999999999">1.11</td>' in page and '<td title="a">a</td>' in page


def test_an_unknown_output_is_not_found(client):
    assert client.get("/artifacts/99/").status_code == 404
    assert client.get("/artifacts/99/content/").status_code == 404
