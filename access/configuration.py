"""The settings about who is let in, read from their texts; what cannot be is said when the installation starts.

KFDASH_GROUP_RIGHTS       ml-admins=administer, data-science=run, *=view
KFDASH_PROXY_ADDRESSES    10.0.0.0/8, 127.0.0.1
KFDASH_SERVICE_ACCOUNTS   team-a/default=run, team-b/*=view
"""

from __future__ import annotations

import fnmatch
import importlib.util
import ipaddress
from collections.abc import Iterable
from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from kfdash.rights import Right

MODES = ("accounts", "oidc", "proxy")
ANYBODY = "*"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def check() -> None:
    """Raises ImproperlyConfigured for the first setting that cannot be, or that is missing for the chosen way to log in."""
    mode = settings.AUTH
    if mode and mode not in MODES:
        raise ImproperlyConfigured(f"KFDASH_AUTH is {mode!r}; it may be {', '.join(MODES)}, or not set (loopback alone).")
    group_rights()
    service_accounts()
    networks()
    if mode == "proxy":
        if not settings.PROXY_USER_HEADER:
            raise ImproperlyConfigured("KFDASH_AUTH=proxy needs KFDASH_PROXY_USER_HEADER: the header with the person's name.")
        if not settings.PROXY_ADDRESSES.strip():
            raise ImproperlyConfigured(
                "KFDASH_AUTH=proxy needs KFDASH_PROXY_ADDRESSES: from which addresses the header is believed, such as 10.0.3.7."
            )
    if mode == "oidc":
        for name in ("ISSUER", "CLIENT_ID"):
            if not getattr(settings, f"OIDC_{name}"):
                raise ImproperlyConfigured(f"KFDASH_AUTH=oidc needs KFDASH_OIDC_{name}.")
        if importlib.util.find_spec("authlib") is None:
            raise ImproperlyConfigured("KFDASH_AUTH=oidc needs the extra: pip install 'kfdash[oidc]'.")


def group_rights() -> dict[str, Right]:
    """Right by group of the provider or proxy; `*` stands for everybody. Empty: administrators give rights by hand."""
    return _rights("KFDASH_GROUP_RIGHTS", settings.GROUP_RIGHTS)


def right_by_groups(groups: Iterable[str]) -> Right | None:
    """The highest right that one of the groups has; None where none has any."""
    rights = group_rights()
    return max((rights[group] for group in (*groups, ANYBODY) if group in rights), default=None)


def service_accounts() -> dict[str, Right]:
    """Right by `namespace/name` of a service account, `*` for any part."""
    found = _rights("KFDASH_SERVICE_ACCOUNTS", settings.SERVICE_ACCOUNTS)
    for name in found:
        if name.count("/") != 1:
            raise ImproperlyConfigured(
                f"KFDASH_SERVICE_ACCOUNTS has {name!r}; a service account is namespace/name: team-a/default=run."
            )
    return found


def right_of_account(namespace: str, name: str) -> Right | None:
    """The highest right that an entry gives this service account."""
    rights = service_accounts()
    return max((right for pattern, right in rights.items() if fnmatch.fnmatchcase(f"{namespace}/{name}", pattern)), default=None)


def networks() -> tuple[Network, ...]:
    """Where the proxy is that is believed."""
    return _networks(settings.PROXY_ADDRESSES)


def is_proxy(address: str) -> bool:
    """Whether a request comes straight from the proxy that is believed."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in network for network in networks())


@cache
def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ImproperlyConfigured(
            f"KFDASH_PROXY_ADDRESSES: {error}. Write addresses or networks: 10.0.3.7, 10.1.0.0/16."
        ) from None


@cache
def _rights(setting: str, text: str) -> dict[str, Right]:
    found: dict[str, Right] = {}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, equals, word = part.rpartition("=")
        if not equals or not name.strip() or word.strip().upper() not in Right.__members__:
            words = ", ".join(right.name.lower() for right in Right)
            raise ImproperlyConfigured(f"{setting} has {part!r}; each entry is name=right, and a right is one of {words}.")
        found[name.strip()] = max(found.get(name.strip(), Right.VIEW), Right[word.strip().upper()])
    return found
