"""The Celery application. Jobs are found in each app's `jobs` module; `kfdash.outbox` sends them by name.

Messages are acknowledged early and results are not kept: a job may be lost or run twice, and rows say what is due.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import task_failure, task_prerun
from django.conf import settings
from django.db import close_old_connections
from kombu import Exchange, Queue

from kfdash import trouble

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kfdash.settings")

QUEUES = ("drive", "orders", "io")
KEYS = "kfdash:celery:"  # what stands before the name of a queue in Redis

app = Celery("kfdash")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,
    task_store_errors_even_if_ignored=False,
    task_default_queue="io",
    # Redis keeps no copy of what a worker takes from the first two: that costs two round trips a job, and rows are sent again.
    task_queues=[Queue(name, Exchange(name), routing_key=name, no_ack=name != "io") for name in QUEUES],
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_consumer="kfdash.broker:Consumer",
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    CELERY_DB_REUSE_MAX=sys.maxsize,  # else it closes the database after each job
    broker_transport_options={"global_keyprefix": KEYS, **settings.REDIS_KEEPALIVE},
)
app.autodiscover_tasks(["runs", "pipelines"], related_name="jobs")


@task_failure.connect
def _count_mistakes(exception: BaseException, **about: Any) -> None:
    """A job that broke off: what is in the way is counted by the jobs themselves."""
    trouble.met(exception)


@task_prerun.connect
def _look_at_connections(**about: Any) -> None:
    """A database connection that broke or is too old is made anew, as for each request."""
    close_old_connections()
