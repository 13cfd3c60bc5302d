"""The letter with a link to set a password. It goes out beside the request: whether anybody has the address is not told by time."""

from __future__ import annotations

import logging
import threading
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.forms import PasswordResetForm
from django.core.mail import send_mail
from django.db import connections
from django.template.loader import render_to_string

from access.services import record

log = logging.getLogger(__name__)


def can_send() -> bool:
    """Whether there is a server for letters (KFDASH_EMAIL_URL)."""
    return bool(settings.EMAIL_URL)


def send_password_link(email: str, *, origin: str) -> threading.Thread:
    """Sends the link to whoever has this address and a password, if anybody. `origin` is for where KFDASH_PUBLIC_URL is not set."""
    thread = threading.Thread(target=_send, args=(email, settings.PUBLIC_URL or origin), daemon=True)
    thread.start()
    return thread


def _send(email: str, origin: str) -> None:
    try:
        _Letter(origin).send(email)
    except Exception:  # a thread of its own: nobody else would see it
        log.exception("The letter with a link to set a password could not be sent.")
    finally:
        connections.close_all()


class _Letter(PasswordResetForm):
    """Django's choice of accounts, and our words."""

    def __init__(self, origin: str) -> None:
        super().__init__()
        self.origin = origin

    def send(self, email: str) -> None:
        """To everybody with this address."""
        self.cleaned_data = {"email": email}
        parts = urlsplit(self.origin)
        self.save(domain_override=parts.netloc, use_https=parts.scheme == "https")

    def send_mail(self, subject_template_name: str, email_template_name: str, context: Any, *args: Any, **kwargs: Any) -> None:
        """Django's hook."""
        user = context["user"]
        text = render_to_string("access/letter.txt", {**context, "origin": self.origin})
        send_mail("kfdash: set a password", text, None, [user.email])
        record(by=user.get_username(), verb="was sent a link", what="person", name=user.get_username(), detail="to set a password")
