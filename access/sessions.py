"""Django's database sessions with a column for whose they are, read together with the person: one statement a request."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

from access.models import Session


class SessionStore(DatabaseStore):
    """`owner` is the account that the row names, when it was read."""

    owner: Any = None

    @classmethod
    def get_model_class(cls) -> type[Session]:
        """Our rows."""
        return Session

    def _get_session_from_db(self) -> Session | None:
        rows = Session.objects.select_related("user__person")
        found = rows.filter(session_key=self.session_key, expire_date__gt=timezone.now()).first()
        if found is None:
            self._session_key = None
            return None
        self.owner = found.user
        return found

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        """A row of these data, with the account that is logged in."""
        row = super().create_model_instance(data)
        row.user_id = int(data[SESSION_KEY]) if data.get(SESSION_KEY) else None
        return row
