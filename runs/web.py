"""Reads web addresses that users name, without being led into the server's own network.

By hand rather than by obstore: each host name is resolved once, all of its addresses are looked at, and the connection goes
to one of those; redirects are followed here, and each is looked at again. Behind a proxy the proxy resolves names.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

_TIMEOUT = 60.0  # seconds without a byte
_CHUNK = 1024 * 1024  # bytes
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)


class NotFetched(Exception):
    """An address cannot be read. The message is for people."""


@dataclass
class Opened:
    """An answer with its body still to be read; `size` in bytes where the server says it."""

    uri: str
    size: int | None
    response: http.client.HTTPResponse

    def chunks(self) -> Iterator[bytes]:
        """The body. Raises NotFetched where it breaks off."""
        read = 0
        while True:
            try:
                chunk = self.response.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise NotFetched(f"{self.uri} broke off after {read:,} bytes: {error}.") from None
            if not chunk:
                break
            read += len(chunk)
            yield chunk
        if self.size is not None and read < self.size:
            raise NotFetched(f"{self.uri} broke off after {read:,} of {self.size:,} bytes.")


@contextlib.contextmanager
def opened(uri: str, *, allow_private: bool = False) -> Iterator[Opened]:
    """The answer of a GET, redirects followed. Raises NotFetched for every other than 200."""
    at = uri
    for _ in range(_MOST_REDIRECTS + 1):
        connection, target = _connect(at, allow_private)
        try:
            response = _ask(connection, target, at)
            if response.status in _REDIRECTS and (location := response.getheader("Location")):
                at = urljoin(at, location)
                continue
            if response.status != 200:
                raise NotFetched(f"{at} answers {response.status} {response.reason}.")
            length = response.getheader("Content-Length", "")
            yield Opened(at, int(length) if length.isdigit() else None, response)
            return
        finally:
            connection.close()
    raise NotFetched(f"{uri} leads through more than {_MOST_REDIRECTS} redirects.")


def _connect(uri: str, allow_private: bool) -> tuple[http.client.HTTPConnection, str]:
    """A connection for an address, and what to ask for on it."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise NotFetched(f"{uri!r} is no web address.") from None
    if parts.scheme not in ("http", "https") or not host or any(ord(char) <= 32 for char in uri):
        raise NotFetched(f"{uri!r} is no web address.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        return _by_proxy(proxy, parts, host, port, path, allow_private)
    addresses = _addresses(host, port, uri, allow_private)
    if parts.scheme == "https":
        return _PinnedHTTPS(host, port, addresses), path
    return _Pinned(host, port, addresses), path


def _by_proxy(
    proxy: str, parts: SplitResult, host: str, port: int, path: str, allow_private: bool
) -> tuple[http.client.HTTPConnection, str]:
    with contextlib.suppress(ValueError):  # a name: the proxy resolves it
        _check(ipaddress.ip_address(host), host, allow_private)
    at = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme == "http":
        plain = http.client.HTTPConnection(at.hostname or "", at.port or 80, timeout=_TIMEOUT)
        return plain, f"http://{parts.netloc.rpartition('@')[2]}{path}"
    tunnel = http.client.HTTPSConnection(at.hostname or "", at.port or 80, timeout=_TIMEOUT, context=ssl.create_default_context())
    tunnel.set_tunnel(host, port)
    return tunnel, path


def _addresses(host: str, port: int, uri: str, allow_private: bool) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotFetched(f"{uri} cannot be read: the name {host!r} is not known ({error}).") from None
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    for address in addresses:
        _check(ipaddress.ip_address(address.partition("%")[0]), host, allow_private)
    return addresses


def _check(address: ipaddress.IPv4Address | ipaddress.IPv6Address, host: str, allow_private: bool) -> None:
    """Refuses this machine, its network, and whatever else is not the public Internet, also in IPv6's clothes."""
    inner = address
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or address
        if address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if not allow_private and (not inner.is_global or inner.is_multicast):
        raise NotFetched(f"{host} lies in the server's own network ({address}); addresses there are not read.")


class _Pinned(http.client.HTTPConnection):
    """A connection to addresses that were looked at, whatever the name resolves to by now."""

    def __init__(self, host: str, port: int, addresses: list[str]) -> None:
        super().__init__(host, port, timeout=_TIMEOUT)
        self.addresses = addresses

    def connect(self) -> None:
        """Tries the addresses in turn."""
        self.sock = _first(self.addresses, self.port)


class _PinnedHTTPS(http.client.HTTPSConnection):
    """As `_Pinned`, with the certificate checked against the name."""

    def __init__(self, host: str, port: int, addresses: list[str]) -> None:
        self.secure = ssl.create_default_context()
        super().__init__(host, port, timeout=_TIMEOUT, context=self.secure)
        self.addresses = addresses

    def connect(self) -> None:
        """Tries the addresses in turn, then TLS."""
        self.sock = self.secure.wrap_socket(_first(self.addresses, self.port), server_hostname=self.host)


def _first(addresses: list[str], port: int) -> socket.socket:
    """A connection to the first address that takes one; the last one's failure is raised."""
    for position, address in enumerate(addresses, 1):
        try:
            made = socket.create_connection((address, port), timeout=10)
        except OSError:
            if position == len(addresses):
                raise
        else:
            made.settimeout(_TIMEOUT)
            return made
    raise OSError("there is no address")


def _ask(connection: http.client.HTTPConnection, target: str, uri: str) -> http.client.HTTPResponse:
    try:
        connection.request("GET", target, headers={"User-Agent": "kfdash", "Accept": "*/*", "Accept-Encoding": "identity"})
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise NotFetched(f"{uri} cannot be read: {error}.") from None
