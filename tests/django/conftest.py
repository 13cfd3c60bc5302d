"""What tests on rows share: nothing leaves for Celery or Redis."""

from __future__ import annotations

import pytest


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What would have gone to Celery, to Redis and to pages."""
    jobs: list[tuple] = []
    monkeypatch.setattr("kfdash.outbox._send", lambda job, args: jobs.append((job, *args)))
    monkeypatch.setattr("kfdash.outbox.hand_over", lambda run_id, facts: jobs.append(("facts", run_id, facts)))
    monkeypatch.setattr("kfdash.live.publish_run", lambda run_id, message: jobs.append(("live", run_id, message)))
    return jobs
