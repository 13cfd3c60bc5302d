"""What changes rows about people, and the activity log. Whatever takes a right away ends sessions and tokens, too."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from access.models import Entry, Person, Session, Source, Token
from kfdash.rights import Right, acting

TOKEN_BEGINS = "kfdash_"
LONGEST_NAME, LONGEST_PASSWORD = 150, 200
_SHOWN = len(TOKEN_BEGINS) + 4


class NotPossible(Exception):
    """What was asked about people cannot be done; the message is for people."""


# --- the activity log ---


def record(*, verb: str, what: str, name: str, detail: str = "", by: str = "") -> None:
    """Adds a row to the activity log: `alice` `deleted` the `run` `training #12`. Where nobody logs in there is no log.

    Without `by` it is who makes the request that is carried out.
    """
    if settings.AUTH:
        by = by or acting()
        Entry.objects.create(by=by[:254], verb=verb[:40], what=what[:40], name=name[:300], detail=detail[:500])


def count_entries(before: datetime) -> int:
    """How many rows of the activity log are older."""
    return Entry.objects.filter(at__lt=before).count()


def remove_entries(before: datetime, *, most: int = 1000) -> int:
    """Removes the oldest rows of the activity log that are older, so many at most; how many there were."""
    oldest = Entry.objects.filter(at__lt=before).order_by("at").values_list("pk", flat=True)[:most]
    return int(Entry.objects.filter(pk__in=list(oldest)).delete()[0])


# --- people ---


def right_of(user: Any) -> Right | None:
    """What an account may do; None for one that is switched off or was given nothing."""
    person = getattr(user, "person", None)
    if not user.is_active:
        return None
    if person is None:  # made by Django's own command
        return Right.ADMINISTER if user.is_superuser else None
    return Right(person.right) if person.right else None


def add_person(*, name: str, right: Right, email: str = "", password: str | None = None, by: str) -> User:
    """An account; without a password, one that is set by a link (`password_link`). Raises NotPossible."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise NotPossible(f"A name has 1 to {LONGEST_NAME} characters that can be printed.")
    try:
        with transaction.atomic():
            user = get_user_model().objects.create_user(name, email or None, password)
            Person.objects.create(user=user, right=right)
            _as_django_has_it(user, right)
            record(by=by, verb="added", what="person", name=name, detail=f"may {right.name.lower()}")
    except IntegrityError:
        raise NotPossible(f"There is already somebody named {name}.") from None
    return user


def ensure_administrator(*, name: str, password: str) -> bool:
    """Makes the administrator of an installation, once: one that is there keeps password and right. Whether it was made."""
    if get_user_model().objects.filter(username=name).exists():
        return False
    try:
        validate_password(password, get_user_model()(username=name))
    except ValidationError as error:
        raise NotPossible(" ".join(error.messages)) from None
    add_person(name=name, right=Right.ADMINISTER, password=password, by="kfdash createadmin")
    return True


def set_right(user: User, right: Right | None, *, by: str) -> None:
    """Gives another right, None for none. Raises NotPossible where nobody would be left who may administer."""
    with transaction.atomic():
        _lock_administrators()
        before = right_of(user)
        Person.objects.update_or_create(user=user, defaults={"right": right or 0})
        _as_django_has_it(user, right)
        _keep_an_administrator()
        record(by=by, verb="changed right of", what="person", name=user.get_username(), detail=f"{_word(before)} → {_word(right)}")


def switch_off(user: User, *, by: str) -> None:
    """Nobody comes in by this account: its sessions end, its tokens are not taken. Raises NotPossible."""
    with transaction.atomic():
        _lock_administrators()
        get_user_model().objects.filter(pk=user.pk).update(is_active=False)
        _keep_an_administrator()
        Session.objects.filter(user=user).delete()
        record(by=by, verb="switched off", what="person", name=user.get_username())


def switch_on(user: User, *, by: str) -> None:
    """The account can be used again."""
    get_user_model().objects.filter(pk=user.pk).update(is_active=True)
    record(by=by, verb="switched on", what="person", name=user.get_username())


def log_out_everywhere(user: User, *, by: str) -> None:
    """Ends all sessions of an account."""
    Session.objects.filter(user=user).delete()
    record(by=by, verb="logged out", what="person", name=user.get_username(), detail="everywhere")


def set_password(user: User, password: str, *, by: str, how: str = "") -> None:
    """Sets a password. Browsers that are logged in are logged out by it."""
    user.set_password(password)
    user.save(update_fields=["password"])
    record(by=by, verb="set the password of", what="person", name=user.get_username(), detail=how)


def password_link(user: User, *, by: str) -> str:
    """Path of the page where a password is set, once, within a day. Who has the link has the account: it is shown once."""
    record(by=by, verb="made a link for", what="person", name=user.get_username(), detail="to set a password")
    key = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("password-set", args=[key, default_token_generator.make_token(user)])


def known_person(*, source: Source, subject: str, name: str, email: str = "", right: Right | None, by_groups: bool) -> User:
    """The account of somebody whom a provider or a proxy knows, made when they come first.

    `right` is what their groups give; it is written where `by_groups`, else it is for a new account alone. A name that
    an account of another source has is not taken over: the newcomer gets one with the source behind it.
    """
    person = Person.objects.select_related("user").filter(source=source, subject=subject).first()
    if person is None:
        return _new_person(source, subject, name, email, right)
    if by_groups and person.right != int(right or 0):
        before = right_of(person.user)
        Person.objects.filter(pk=person.pk).update(right=int(right or 0))
        person.right = int(right or 0)
        _as_django_has_it(person.user, right)
        detail = f"{_word(before)} → {_word(right)} by groups"
        record(by=source.label, verb="changed right of", what="person", name=person.user.get_username(), detail=detail)
    return person.user


def _new_person(source: Source, subject: str, name: str, email: str, right: Right | None) -> User:
    name = "".join(letter for letter in name if letter.isprintable()).strip()[: LONGEST_NAME - 30] or subject[:100]
    names = (name, f"{name} ({source.value})", f"{name} ({hashlib.sha256(subject.encode()).hexdigest()[:8]})")
    for each in names:
        try:
            with transaction.atomic():
                user = get_user_model().objects.create_user(each, email[:254] or None, None)
                Person.objects.create(user=user, right=int(right or 0), source=source, subject=subject)
                _as_django_has_it(user, right)
                record(by=source.label, verb="added", what="person", name=each, detail=f"came first; may {_word(right)}")
                return user
        except IntegrityError:
            if found := Person.objects.select_related("user").filter(source=source, subject=subject).first():
                return found.user  # another request was quicker
    raise NotPossible(f"There are already accounts named {name}.")


def _as_django_has_it(user: User, right: Right | None) -> None:
    """Django's own pages ask for these."""
    administers = right == Right.ADMINISTER
    get_user_model().objects.filter(pk=user.pk).update(is_staff=administers, is_superuser=administers)


def _lock_administrators() -> None:
    """One change after the other: two administrators who switch each other off at once would leave nobody."""
    list(get_user_model().objects.select_for_update().filter(is_superuser=True).order_by("pk").values_list("pk"))


def _keep_an_administrator() -> None:
    active = get_user_model().objects.filter(is_active=True)
    if not active.filter(person__right=Right.ADMINISTER).exists() and not active.filter(person=None, is_superuser=True).exists():
        raise NotPossible("Nobody would be left who may administer. Give somebody else that right first.")


def _word(right: Right | None) -> str:
    return right.name.lower() if right else "nothing"


# --- tokens ---


def make_token(user: User, *, name: str, right: Right, expires_at: datetime | None, by: str) -> str:
    """A token for programs; the text is returned this once, kept is its SHA-256."""
    text = TOKEN_BEGINS + secrets.token_urlsafe(32)
    Token.objects.create(user=user, name=name, digest=digest(text), beginning=text[:_SHOWN], right=right, expires_at=expires_at)
    record(by=by, verb="made", what="token", name=name, detail=f"of {user.get_username()}, may {right.name.lower()}")
    return text


def revoke_token(token: Token, *, by: str) -> None:
    """It is taken no more, from now on."""
    if Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
        record(by=by, verb="revoked", what="token", name=token.name, detail=f"of {token.user.get_username()}")


def digest(text: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(text.encode()).hexdigest()
