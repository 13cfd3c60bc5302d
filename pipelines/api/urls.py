"""Addresses of the API about pipelines."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
