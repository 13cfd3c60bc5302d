"""Addresses of the API about pipelines."""

from __future__ import annotations

from django.urls import path

from pipelines.api import uploads, views

_PIPELINES = "apis/v2beta1/pipelines"

urlpatterns = [
    path(f"{_PIPELINES}", views.PipelinesView.as_view()),
    path(f"{_PIPELINES}/upload", uploads.UploadPipelineView.as_view()),
    path(f"{_PIPELINES}/upload_version", uploads.UploadVersionView.as_view()),
    path(f"{_PIPELINES}/create", views.CreatePipelineView.as_view()),
    path(f"{_PIPELINES}/names/<str:name>", views.PipelineByNameView.as_view()),
    path(f"{_PIPELINES}/<str:pipeline_id>", views.PipelineView.as_view()),
    path(f"{_PIPELINES}/<str:pipeline_id>/versions", views.VersionsView.as_view()),
    path(f"{_PIPELINES}/<str:pipeline_id>/versions/<str:pipeline_version_id>", views.VersionView.as_view()),
]
