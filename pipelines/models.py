"""Rows of pipelines: specifications (immutable, addressed by content), pipelines, versions, drawings."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone


class Specification(models.Model):
    """A pipeline document and its platform document, as parsed JSON. The id is the SHA-256 of both.

    Versions and runs refer to it: a run may come from a package that was never uploaded, and outlives its version.
    """

    id = models.CharField(primary_key=True, max_length=64, editable=False)
    pipeline = models.JSONField(help_text="PipelineSpec, camelCase as KFP writes it")
    platform = models.JSONField(default=dict, blank=True, help_text="PlatformSpec, empty where there is none")
    name = models.CharField(max_length=128, help_text="pipelineInfo.name")
    step_count = models.PositiveIntegerField(default=0, help_text="tasks over all DAGs, groups not counted")
    created_at = models.DateTimeField(default=timezone.now)


class Pipeline(models.Model):
    """A named pipeline; its versions carry the documents."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    namespace = models.CharField(max_length=63, default="", blank=True)
    name = models.CharField(max_length=128)
    display_name = models.CharField(max_length=128)
    description = models.TextField(default="", blank=True)
    tags = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=255, default="", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["namespace", "name"], name="pipeline_name")]
        indexes = [models.Index(fields=["namespace", "-created_at", "-id"], name="pipeline_newest")]


class PipelineVersion(models.Model):
    """A version of a pipeline: the package as it was sent, beside the specification parsed from it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pipeline = models.ForeignKey(Pipeline, on_delete=models.CASCADE, related_name="versions")
    specification = models.ForeignKey(Specification, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField(help_text="counted in the pipeline from 1; `v3` on pages")
    name = models.CharField(max_length=128)
    display_name = models.CharField(max_length=128)
    description = models.TextField(default="", blank=True)
    tags = models.JSONField(default=dict, blank=True)
    package = models.BinaryField(help_text="the bytes that were sent, unchanged")
    package_name = models.CharField(max_length=255, default="")
    package_url = models.TextField(default="", blank=True)
    code_source_url = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.CharField(max_length=255, default="", blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "name"], name="version_name"),
            models.UniqueConstraint(fields=["pipeline", "number"], name="version_number"),
        ]
        indexes = [models.Index(fields=["pipeline", "-created_at", "-id"], name="version_newest")]


class Drawing(models.Model):
    """A laid-out graph: once for each specification, opened groups and whether artifacts are shown."""

    specification = models.ForeignKey(Specification, on_delete=models.CASCADE, related_name="drawings")
    key = models.CharField(max_length=64, help_text="hash of the opened groups and of what is shown")
    layout = models.JSONField(help_text="positions, sizes and edges in points, see pipelines.drawing")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["specification", "key"], name="drawing_key")]
