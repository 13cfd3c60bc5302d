"""Who asks: by the header of a proxy that is believed, a token, or the session of a browser. One statement a request.

`IdentityMiddleware` sets `request.visitor`; `kfdash.rights` decides by it. Credentials that are sent and not good make a
stranger, whatever else came with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from access import configuration, pods
from access.models import Person, Session, Source, Token
from access.services import LONGEST_NAME, TOKEN_BEGINS, NotPossible, digest, known_person, right_of
from kfdash.rights import Right, Visitor

NOT_GOOD = "The token is not one of this kfdash, has expired, or was revoked. Make another on the page Account."
SWITCHED_OFF = "This account is switched off, or has no right to anything yet. An administrator can change that."
_LONGEST_TOKEN = 8192
_USED = timedelta(minutes=1)  # how exactly it is known when a token was last used, and a person last seen


@dataclass(frozen=True)
class Identity:
    """Who asks and by what: `kind` is `session`, `token`, `person` (of a proxy) or `pod`, `key` which one."""

    visitor: Visitor
    user: Any = field(default_factory=AnonymousUser)
    kind: str = ""
    key: Any = None


class IdentityMiddleware(AuthenticationMiddleware):
    """Sets `request.visitor` and `request.user` where people log in; else Django's own user alone."""

    def process_request(self, request: HttpRequest) -> None:
        """Django's hook."""
        super().process_request(request)
        if settings.AUTH:
            found = identify(request)
            request._cached_user = found.user  # type: ignore[attr-defined]  # where Django keeps the user that it found
            request.visitor = found.visitor  # type: ignore[attr-defined]


def identify(request: HttpRequest) -> Identity:
    """Who makes a request (it needs META and session); a stranger where nobody is known."""
    if settings.AUTH == "proxy" and (name := request.META.get(_meta(settings.PROXY_USER_HEADER), "")):
        if configuration.is_proxy(str(request.META.get("REMOTE_ADDR") or "")):
            return _of_proxy(request, name)
        return _stranger("The header of the proxy is believed from the proxy alone (KFDASH_PROXY_ADDRESSES).")
    if header := request.META.get("HTTP_AUTHORIZATION", ""):
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            return _stranger("Only tokens are taken (Authorization: Bearer …).")
        return _of_token(text.strip())
    return _stranger() if settings.AUTH == "proxy" else _of_session(request)


def still_good(identities: Iterable[Identity]) -> set[tuple[str, Any]]:
    """Kind and key of those that would still be let in, all at once: a statement for each kind, however many there are."""
    by_kind: dict[str, set[Any]] = {}
    for each in identities:
        by_kind.setdefault(each.kind, set()).add(each.key)
    good = {("pod", token) for token in by_kind.get("pod", ()) if _of_pod(token).visitor.right}
    if keys := by_kind.get("session"):
        good |= {("session", row.pk) for row in _sessions().filter(pk__in=keys) if _is_good(row)}
    if keys := by_kind.get("token"):
        good |= {("token", row.pk) for row in _tokens().filter(pk__in=keys) if right_of(row.user)}
    if keys := by_kind.get("person"):
        rows = Person.objects.select_related("user").filter(pk__in=keys)
        good |= {("person", row.pk) for row in rows if right_of(row.user)}
    return good


def _stranger(refusal: str = "") -> Identity:
    return Identity(Visitor(refusal=refusal))


# --- tokens ---


def _tokens() -> QuerySet[Token]:
    """Those that are taken at this moment."""
    in_time = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return Token.objects.filter(in_time, revoked_at=None).select_related("user__person")


def _of_token(text: str) -> Identity:
    if len(text) > _LONGEST_TOKEN or not text.isascii():
        return _stranger(NOT_GOOD)
    if text.count(".") == 2:
        return _of_pod(text)
    token = _tokens().filter(digest=digest(text)).first() if text.startswith(TOKEN_BEGINS) else None
    if token is None:
        return _stranger(NOT_GOOD)
    right = right_of(token.user)
    if right is None:
        return _stranger(SWITCHED_OFF)
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _USED:
        Token.objects.filter(pk=token.pk).update(last_used_at=now)
    visitor = Visitor(token.user.get_username(), min(right, Right(token.right)), by_token=True)
    return Identity(visitor, token.user, "token", token.pk)


def _of_pod(text: str) -> Identity:
    if not configuration.service_accounts():
        return _stranger("Tokens of service accounts are not taken here: no account has a right (KFDASH_SERVICE_ACCOUNTS).")
    account = pods.answers.of(text)
    if account.refusal:
        return _stranger(account.refusal)
    name = f"{account.namespace}/{account.name}"
    right = configuration.right_of_account(account.namespace, account.name)
    if right is None:
        return _stranger(f"The service account {name} has no right here (KFDASH_SERVICE_ACCOUNTS).")
    return Identity(Visitor(name, right, by_token=True), kind="pod", key=text)


# --- browsers ---


def _sessions() -> QuerySet[Session]:
    return Session.objects.filter(expire_date__gt=timezone.now()).select_related("user__person")


def _is_good(row: Session) -> bool:
    if row.user is None or not right_of(row.user):
        return False
    kept = row.get_decoded().get(HASH_SESSION_KEY, "")
    return constant_time_compare(kept, row.user.get_session_auth_hash())


def _of_session(request: HttpRequest) -> Identity:
    session: Any = request.session
    kept = session.get(HASH_SESSION_KEY)  # reads the row, with its account
    owner = getattr(session, "owner", None)
    if kept is None or owner is None:
        return _stranger()
    if not constant_time_compare(kept, owner.get_session_auth_hash()):
        session.flush()  # the password was changed elsewhere
        return _stranger()
    right = right_of(owner)
    if right is None:
        return _stranger(SWITCHED_OFF)
    return Identity(Visitor(owner.get_username(), right), owner, "session", session.session_key)


# --- behind a proxy ---


def _meta(header: str) -> str:
    return f"HTTP_{header.upper().replace('-', '_')}"


def _of_proxy(request: HttpRequest, name: str) -> Identity:
    """The person that the proxy names. Groups count where there is a header for them, else everybody has what `*` has."""
    if len(name) > LONGEST_NAME or not name.isprintable() or "," in name:  # two headers of one name arrive with a comma between
        return _stranger("The proxy's header does not name one person.")
    text = request.META.get(_meta(settings.PROXY_GROUPS_HEADER), "") if settings.PROXY_GROUPS_HEADER else ""
    groups = [group.strip() for group in text.replace(";", ",").split(",") if group.strip()]
    by_groups = bool(settings.PROXY_GROUPS_HEADER and configuration.group_rights())
    right = configuration.right_by_groups(groups)
    try:
        user = known_person(source=Source.PROXY, subject=name, name=name, right=right, by_groups=by_groups)
    except NotPossible as error:
        return _stranger(str(error))
    allowed = right_of(user)
    if allowed is None:
        return _stranger(SWITCHED_OFF)
    return Identity(Visitor(user.get_username(), allowed), user, "person", user.pk)
