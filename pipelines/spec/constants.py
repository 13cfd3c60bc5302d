"""The placeholders that stand for the same text in a whole task: of the run and of the task itself."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from pipelines.spec.values import WORKSPACE_PATH


def rfc3339(at: datetime | None) -> str:
    """A time in UTC, to the second, as KFP writes it; empty for None."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def task_uuid(run_id: str, path: str) -> str:
    """A stable id of a task of a run, for `{{$.pipeline_task_uuid}}`."""
    return str(uuid5(NAMESPACE_URL, f"kfdash:{run_id}:{path}"))


def run_constants(
    *,
    run_id: str,
    run_name: str,
    resource_name: str,
    pipeline_root: str,
    task_key: str,
    task_uuid: str,
    created_at: datetime | None,
    scheduled_at: datetime | None,
) -> dict[str, str]:
    """The placeholders that a run and a task give: whole placeholder → text. `scheduled_at` is None for unscheduled runs."""
    return {
        "{{$.pipeline_job_name}}": run_name,
        "{{$.pipeline_job_resource_name}}": resource_name,
        "{{$.pipeline_job_uuid}}": run_id,
        "{{$.pipeline_task_name}}": task_key,
        "{{$.pipeline_task_uuid}}": task_uuid,
        "{{$.pipeline_root}}": pipeline_root,
        "{{$.pipeline_job_create_time_utc}}": rfc3339(created_at),
        "{{$.pipeline_job_schedule_time_utc}}": rfc3339(scheduled_at or created_at),
        "{{$.workspace_path}}": WORKSPACE_PATH,
    }
