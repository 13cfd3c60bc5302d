"""Addresses of the APIs that belong to no app. They come last: the end takes every other path under `/apis/`."""

from __future__ import annotations

from django.urls import path, re_path

from kfdash.wire import views

urlpatterns = [
    path("apis/v2beta1/healthz", views.HealthView.as_view()),
    path("apis/v1beta1/healthz", views.HealthView.as_view(with_store=False, schema=None)),
    path("apis/openapi.json", views.OpenApiView.as_view(), name="openapi"),
    path("apis/", views.operations, name="operations"),
    re_path(r"^apis/.+$", views.UnknownPathView.as_view()),
]
