"""The Celery application. Jobs are found in each app's `jobs` module; `kfdash.outbox` sends them by name.

Messages are acknowledged early and results are not kept: a job may be lost or run twice, and rows say what is due.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kfdash.settings")

app = Celery("kfdash")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,
    task_store_errors_even_if_ignored=False,
    task_default_queue="io",
    task_create_missing_queues=True,
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_consumer="kfdash.broker:Consumer",
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": "kfdash:celery:", "socket_keepalive": True},
)
app.autodiscover_tasks(["runs", "pipelines"], related_name="jobs")
