"""Addresses of the sockets."""

from __future__ import annotations

from django.urls import URLPattern, path

from runs import consumers

websocket_urlpatterns: list[URLPattern] = [
    path("ws/runs/", consumers.RunsConsumer.as_asgi()),  # type: ignore[list-item]
    path("ws/runs/<uuid:run_id>/", consumers.RunConsumer.as_asgi()),  # type: ignore[list-item]
]
