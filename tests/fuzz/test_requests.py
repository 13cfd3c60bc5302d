"""Requests made from our own OpenAPI document, right and wrong ones: answers as the document says, no error of the server."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.test import Client
from hypothesis import strategies as st

from tests.fuzz import seeds
from tests.fuzz.trying import attempt

schemathesis = pytest.importorskip("schemathesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")

Json = Any
SENT = ("kfdash.outbox._send", "kfdash.outbox.hand_over", "kfdash.live.publish_run")
HELLO = yaml.safe_load((seeds.REPOSITORY / "pipelines" / "samples" / "hello.yaml").read_text())


class Stranger:
    """A client that knows the document, and the ids of things that there are."""

    def __init__(self) -> None:
        self.application = get_wsgi_application()
        self.client = Client(headers={"Host": "localhost"})
        document = json.loads(self.client.get("/apis/openapi.json").content)
        self.operations = [found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()]
        upload = {"uploadfile": SimpleUploadedFile("hello.yaml", json.dumps(HELLO).encode())}
        pipeline = json.loads(self.client.post("/apis/v2beta1/pipelines/upload", upload).content)
        run = self._post("/apis/v2beta1/runs", {"display_name": "x", "pipeline_spec": HELLO})
        self.ids = {
            "run_id": run["run_id"],
            "experiment_id": run["experiment_id"],
            "pipeline_id": pipeline["pipeline_id"],
            "path": "root",
            "node_id": "root",
        }

    def _post(self, path: str, body: Json) -> Json:
        answer = self.client.post(path, json.dumps(body), "application/json")
        assert answer.status_code == 200, answer.content
        return json.loads(answer.content)

    def cases(self) -> st.SearchStrategy[Any]:
        """Requests to any operation, as the document wants them or not; some about things that there are."""
        modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
        right = st.one_of([operation.as_strategy(modes[0]) for operation in self.operations])
        wrong = st.one_of([operation.as_strategy(modes[1]) for operation in self.operations if _has_input(operation)])
        return st.tuples(st.one_of(right, right, wrong), st.booleans())

    def is_answered(self, case: tuple[Any, bool]) -> str:
        """Sends a request and takes back what it did. The answer is no error of the server, and as the document says."""
        request, known = case
        if known:
            for given in (request.path_parameters, request.query):
                given.update({name: value for name, value in self.ids.items() if name in given})
        with transaction.atomic():
            answer = request.call(app=self.application, base_url="http://localhost")
            transaction.set_rollback(True)
        request.validate_response(answer, checks=[checks.response_schema_conformance])
        assert answer.status_code < 500, (request.as_curl_command(), answer.text[:3000])
        return str(answer.status_code)


def _has_input(operation: Any) -> bool:
    return bool(list(operation.iter_parameters()) or operation.body)


@contextlib.contextmanager
def a_stranger() -> Iterator[Stranger]:
    """A stranger, nothing that is sent to anybody, and in the end nothing that stays."""
    signals = (request_started, request_finished)  # these would close the connection, as they do between real requests
    with contextlib.ExitStack() as stack, transaction.atomic():
        for name in SENT:
            stack.enter_context(mock.patch(name))
        stranger = Stranger()  # Django's client connects them anew
        for signal in signals:
            signal.disconnect(close_old_connections)
        try:
            yield stranger
        finally:
            transaction.set_rollback(True)
            for signal in signals:
                signal.connect(close_old_connections)


@pytest.mark.django_db
def test_whatever_is_asked_of_the_api_it_answers_as_its_document_says() -> None:
    endings = fuzz(100, start=1)
    assert endings["200"] > 5 and endings["400"] > 5, endings


def fuzz(count: int, start: int) -> Counter[str]:
    """Many cases; how they ended."""
    with a_stranger() as stranger:
        return attempt(stranger.cases(), stranger.is_answered, count=count, start=start)
