"""Rows about people: their right, their tokens, where they are logged in, what they did, and wrong passwords."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone

from kfdash.rights import Right


class Source(models.TextChoices):
    """Who says that somebody is who they say."""

    PASSWORD = "accounts", "password"
    OIDC = "oidc", "OpenID Connect"
    PROXY = "proxy", "proxy"


class Person(models.Model):
    """What an account may do, and where it comes from. Name, password and whether it is switched off are Django's user's."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="person")
    right = models.PositiveSmallIntegerField(
        default=0, choices=[(0, "nothing"), *((right.value, right.name.lower()) for right in Right)]
    )
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.PASSWORD)
    subject = models.CharField(max_length=512, blank=True, default="")  # who it is to the source; empty for a password
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "subject"], condition=~models.Q(subject=""), name="person_known_once"),
        ]


class Token(models.Model):
    """A personal token for programs. It is shown once; what is kept is its SHA-256, which is enough for a long random text."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    beginning = models.CharField(max_length=16)  # to tell it from others in a list
    right = models.PositiveSmallIntegerField()  # at most; the person's own counts, too
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)  # to the minute
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["user", "-created_at"], name="token_of_user")]

    @property
    def may(self) -> str:
        """The word for its right."""
        return Right(self.right).name.lower()


class Session(AbstractBaseSession):
    """A browser that is logged in. Whose it is is a column: switching somebody off ends all of theirs."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="sessions")

    @classmethod
    def get_session_store_class(cls) -> type:
        """The store that reads and writes these rows: Django's hook."""
        return import_module(settings.SESSION_ENGINE).SessionStore  # type: ignore[no-any-return]


class Entry(models.Model):
    """Who did what to what, when: the activity log. Names are texts, so that it outlives what it tells of."""

    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=254, blank=True)
    verb = models.CharField(max_length=40)
    what = models.CharField(max_length=40, blank=True)
    name = models.CharField(max_length=300, blank=True)
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["at"], name="entry_by_day"),
            models.Index(fields=["by", "-id"], name="entry_of_somebody"),
            models.Index(fields=["verb", "-id"], name="entry_of_a_kind"),
        ]


class Failures(models.Model):
    """Wrong passwords of late, from one place or for one name (`access.throttle`); `key` is a hash that names it."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    until = models.DateTimeField(db_index=True)  # then they are forgotten
