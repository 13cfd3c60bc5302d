"""All addresses: the pages and the APIs of both apps."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from kfdash import home, jump, undone

handler500 = "kfdash.system.unavailable.broken"
urlpatterns = [
    path("", home.home, name="home"),
    path("left-so/", undone.leave_it_so, name="left-so"),
    path("jump/", jump.jump, name="jump"),
    path("", include("access.urls")),
    path("", include("kfdash.system.urls")),
    path("", include("pipelines.urls")),
    path("", include("runs.urls")),
    path("", include("pipelines.api.urls")),
    path("", include("runs.api.urls")),
    path("", include("kfdash.wire.urls")),  # takes every other path under /apis/
    path("admin/", admin.site.urls),
]
