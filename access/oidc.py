"""OpenID Connect: what the provider says of somebody becomes an account. Authlib does the protocol.

It finds the provider's addresses and keys by itself, and checks state, nonce, PKCE, signature, issuer, audience and time.
Who somebody is, is the provider's `sub`; the name is only shown. Groups count where KFDASH_GROUP_RIGHTS is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from access import configuration
from access.models import Source
from access.services import NotPossible, known_person

try:
    from authlib.integrations.django_client import OAuth
except ImportError:  # an extra
    OAuth = None

_TIMEOUT = 10  # seconds that the provider may take


@cache
def provider() -> Any:
    """The provider of KFDASH_OIDC_ISSUER; its addresses are read when they are needed first. Raises ImproperlyConfigured."""
    if OAuth is None:
        raise ImproperlyConfigured("KFDASH_AUTH=oidc needs the extra: pip install 'kfdash[oidc]'.")
    known = OAuth()
    known.register(
        name="provider",
        client_id=settings.OIDC_CLIENT_ID,
        client_secret=settings.OIDC_CLIENT_SECRET or None,
        server_metadata_url=f"{settings.OIDC_ISSUER}/.well-known/openid-configuration",
        client_kwargs={"scope": settings.OIDC_SCOPES, "code_challenge_method": "S256", "timeout": _TIMEOUT},
    )
    return known.provider


def account_of(claims: Mapping[str, Any]) -> Any:
    """The account of whom checked claims are about. Raises NotPossible."""
    subject = str(claims.get("sub") or "")
    if not subject:
        raise NotPossible("The provider does not say who this is (no `sub`).")
    given = claims.get(settings.OIDC_GROUPS_CLAIM) or []
    groups = [str(group) for group in given] if isinstance(given, list) else str(given).split()
    return known_person(
        source=Source.OIDC,
        subject=subject[:512],
        name=str(claims.get(settings.OIDC_NAME_CLAIM) or claims.get("email") or subject),
        email=str(claims.get("email") or ""),
        right=configuration.right_by_groups(groups),
        by_groups=bool(configuration.group_rights()),
    )
