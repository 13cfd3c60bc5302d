"""Addresses of the pages about people."""

from __future__ import annotations

from django.urls import path

from access import views

urlpatterns = [
    path("login/", views.login, name="login"),
    path("logout/", views.logout, name="logout"),
]
