"""Fetches a package from a URL: https, known hosts, and never an address of a private network.

The name is resolved once, every address is checked, and the connection goes to a checked address, so that a name that
changes between check and use leads nowhere else. Every redirect is checked in the same way.
"""

from __future__ import annotations

import http.client
import ipaddress
import posixpath
import socket
import ssl
import time
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from django.conf import settings

_MOST_REDIRECTS = 10
_PORTS = {"https": 443, "http": 80}
_MOVED = frozenset((301, 302, 303, 307, 308))
_CHUNK = 64 * 1024


class NotFetched(Exception):
    """A package that could not be fetched. `unreachable`: the network or the other server is the reason, not the URL."""

    def __init__(self, sentence: str, *, unreachable: bool = False) -> None:
        super().__init__(sentence)
        self.unreachable = unreachable


def fetch_package(url: str) -> tuple[bytes, str]:
    """The bytes at a URL and the file name in it. Raises NotFetched."""
    deadline = time.monotonic() + settings.URL_TIMEOUT
    address = url
    for _ in range(_MOST_REDIRECTS + 1):
        parts = _check_url(address)
        moved, data = _get(parts, _check_addresses(parts), deadline)
        if not moved:
            return data, posixpath.basename(unquote(urlsplit(url).path)) or "package"
        address = urljoin(address, moved)
    raise NotFetched(f"{url} redirects more than {_MOST_REDIRECTS} times.")


def _check_url(url: str) -> SplitResult:
    """The parts of a URL that may be fetched."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotFetched(f"{url!r} is no URL.") from None
    host = (parts.hostname or "").lower()
    if parts.scheme not in _PORTS or not host:
        raise NotFetched(f"{url!r} is no URL of a package: it must look like https://host/path/pipeline.yaml.")
    if not settings.URL_CHECKS:
        return parts
    if parts.scheme != "https" and not settings.URL_ALLOW_HTTP:
        raise NotFetched(f"{url!r} is not fetched: the URL must begin with https://.")
    if parts.username or parts.password:
        raise NotFetched(f"The URL on {host} has a name or a password in it; it is not fetched.")
    if port not in (None, _PORTS[parts.scheme]):
        raise NotFetched(f"{url!r} is not fetched: only the default port is allowed.")
    if host not in settings.URL_DOMAINS:
        raise NotFetched(
            f"Packages are not fetched from {host!r}. Allowed hosts are {', '.join(settings.URL_DOMAINS)}; "
            "KFDASH_URL_DOMAINS adds others."
        )
    return parts


def _check_addresses(parts: SplitResult) -> str:
    """An address of the host, none of whose addresses is private, loopback or otherwise not of the public network."""
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        raise NotFetched(f"The host {host!r} cannot be found.", unreachable=True) from None
    if settings.URL_CHECKS and not all(_is_public(address) for address in found):
        raise NotFetched(f"{host!r} is not fetched from: it leads to an address of a private network.")
    return found[0]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None) or parsed
    return bool(inner.is_global and not inner.is_multicast)


def _get(parts: SplitResult, address: str, deadline: float) -> tuple[str, bytes]:
    """Where the server sends us, or the body. One of the two is empty."""
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(host, port)
    try:
        raw = socket.create_connection((address, port), timeout=_left(deadline))
        if parts.scheme == "https":
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
        connection.sock = raw
        connection.request("GET", target, headers={"Accept": "*/*", "User-Agent": "kfdash"})
        response = connection.getresponse()
        if response.status in _MOVED and (location := response.getheader("Location")):
            return location, b""
        if response.status != 200:
            raise NotFetched(f"{host} answers {response.status} {response.reason} for {parts.path!r}.")
        return "", _read_body(response, raw, deadline)
    except TimeoutError:
        raise NotFetched(f"{host} did not send the package within {settings.URL_TIMEOUT} s.", unreachable=True) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotFetched(f"{host} cannot be read: {error}.", unreachable=True) from None
    finally:
        connection.close()


def _read_body(response: http.client.HTTPResponse, raw: socket.socket, deadline: float) -> bytes:
    body = bytearray()
    while True:
        raw.settimeout(_left(deadline))
        chunk = response.read1(_CHUNK)
        if not chunk:
            return bytes(body)
        body += chunk
        if len(body) > settings.UPLOAD_LIMIT:
            raise NotFetched(f"The package is larger than {settings.UPLOAD_LIMIT // (1024 * 1024)} MiB, the most that is taken.")


def _left(deadline: float) -> float:
    """The seconds that are left for the whole fetch."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
