"""Addresses of the pages about pipelines."""

from __future__ import annotations

from django.urls import URLPattern, path

from pipelines import views

urlpatterns: list[URLPattern] = [
    path("pipelines/", views.pipeline_list, name="pipeline-list"),
    path("pipelines/upload/", views.upload, name="upload"),
    path("pipelines/samples/<slug:key>/", views.upload_sample, name="upload-sample"),
    path("pipelines/<uuid:pipeline_id>/", views.pipeline_detail, name="pipeline-detail"),
    path("pipelines/<uuid:pipeline_id>/tags/", views.pipeline_tags, name="pipeline-tags"),
    path("pipelines/<uuid:pipeline_id>/delete/", views.pipeline_delete, name="pipeline-delete"),
    path("pipelines/<uuid:pipeline_id>/versions/<uuid:version_id>/", views.version_detail, name="version-detail"),
    path("pipelines/<uuid:pipeline_id>/versions/<uuid:version_id>/package/", views.version_package, name="version-package"),
    path("pipelines/<uuid:pipeline_id>/versions/<uuid:version_id>/delete/", views.version_delete, name="version-delete"),
]
