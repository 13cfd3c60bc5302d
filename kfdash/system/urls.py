"""Addresses of the pages for operators."""

from __future__ import annotations

from django.urls import URLPattern, path

from kfdash.system import views

urlpatterns: list[URLPattern] = [
    path("system/", views.system, name="system"),
    path("metrics", views.metrics, name="metrics"),
]
