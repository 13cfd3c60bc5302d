"""What tests of retention share: a real S3 server."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests import buckets


@pytest.fixture(scope="session")
def s3_server(pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of a running S3 server."""
    with buckets.serving(pathlib.Path(pytestconfig.cache.mkdir("moto"))) as address:
        yield address


@pytest.fixture
def bucket(s3_server: str) -> str:
    """An empty bucket of its own."""
    return buckets.new_bucket(s3_server)
