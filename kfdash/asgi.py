"""The ASGI application: pages and APIs by Django, sockets by Channels."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kfdash.settings")
pages = get_asgi_application()  # sets Django up; consumers import models

from kfdash.access import SameSiteSockets  # noqa: E402
from runs import routing  # noqa: E402

application = ProtocolTypeRouter({"http": pages, "websocket": SameSiteSockets(URLRouter(routing.websocket_urlpatterns))})
