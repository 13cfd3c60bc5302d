"""Jobs are sent by name: the names in the code must be those of jobs that exist."""

from __future__ import annotations

import pathlib
import re

from kfdash.celery import app
from kfdash.outbox import QUEUES

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_NAME = re.compile(r'"((?:runs|pipelines)\.jobs\.\w+)"')


def test_every_job_that_is_sent_exists_and_every_job_is_sent_by_somebody():
    app.loader.import_default_modules()
    known = {name for name in app.tasks if ".jobs." in name}
    sent: set[str] = set(QUEUES)
    for folder in ("kfdash", "runs", "pipelines"):
        for file in (_ROOT / folder).rglob("*.py"):
            if file.name != "jobs.py":
                sent |= set(_NAME.findall(file.read_text()))
    assert sent == known
