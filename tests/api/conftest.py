"""What tests of the API share: a client that speaks JSON, and small compiled pipelines."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.test import Client


class Api:
    """KFP's API through Django's client: JSON in, status and JSON out."""

    def __init__(self, base: str = "/apis/v2beta1") -> None:
        self.client = Client(raise_request_exception=False, headers={"Host": "localhost"})
        self.base = base

    def get(self, path: str, /, **query: Any) -> tuple[int, Any]:
        """GET."""
        response = self.client.get(self.base + path, query)
        return response.status_code, json.loads(response.content)

    def send(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        """Any method with a JSON body, or with none."""
        data = b"" if body is None else json.dumps(body).encode()
        response = self.client.generic(method, self.base + path, data, "application/json", query_params=query)
        return response.status_code, json.loads(response.content)

    def post(self, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        """POST."""
        return self.send("POST", path, body, **query)

    def upload(self, path: str, text: str | bytes, file_name: str = "pipeline.yaml", **query: Any) -> tuple[int, Any]:
        """POST of a package as a form."""
        data = text.encode() if isinstance(text, str) else text
        file = io.BytesIO(data)
        file.name = file_name
        form = {"uploadfile": file}
        response = self.client.post(self.base + path, form, query_params=query)
        return response.status_code, json.loads(response.content)


@pytest.fixture
def api(db: None) -> Api:
    """KFP's API."""
    return Api()


def spec(name: str = "hello", **parameters: dict[str, Any]) -> dict[str, Any]:
    """A compiled pipeline of one container step; `parameters` are its inputs."""
    found: dict[str, Any] = {
        "components": {"comp-say": {"executorLabel": "exec-say"}},
        "deploymentSpec": {"executors": {"exec-say": {"container": {"image": "alpine", "command": ["echo", "hi"]}}}},
        "pipelineInfo": {"name": name},
        "root": {"dag": {"tasks": {"say": {"componentRef": {"name": "comp-say"}, "taskInfo": {"name": "say"}}}}},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
    }
    if parameters:
        found["root"]["inputDefinitions"] = {"parameters": parameters}
    return found


PLATFORM = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-say": {"imagePullPolicy": "Always"}}}}}}
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def package(name: str = "hello", **parameters: dict[str, Any]) -> str:
    """The same as a package: JSON is YAML."""
    return json.dumps(spec(name, **parameters))
