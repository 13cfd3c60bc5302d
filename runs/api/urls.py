"""Addresses of the API about runs."""

from __future__ import annotations

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
