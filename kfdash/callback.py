"""The address at which pods reach this machine: the one that its route to the cluster has."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pathlib
import socket
from typing import Any
from urllib.parse import urlsplit

import yaml

_ANYWHERE = ("192.0.2.1", 9)  # an address that nobody has: only the route to it is asked for, nothing is sent


def api_server(kubeconfig: str, context: str) -> str:
    """The host of the cluster's API server, by the kubeconfig or by what a pod is told; empty where it is not known."""
    for file in _files(kubeconfig):
        try:
            data = yaml.safe_load(file.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        if isinstance(data, dict) and (server := _server(data, context)):
            with contextlib.suppress(ValueError):
                return urlsplit(server).hostname or ""
    return os.environ.get("KUBERNETES_SERVICE_HOST", "")


def _files(kubeconfig: str) -> list[pathlib.Path]:
    if kubeconfig:
        return [pathlib.Path(name).expanduser() for name in kubeconfig.split(os.pathsep) if name]
    return [pathlib.Path("~/.kube/config").expanduser()]


def _server(data: dict[str, Any], context: str) -> str:
    def named(kind: str, member: str, name: str) -> dict[str, Any]:
        listed = data.get(kind) or []
        found = next((entry for entry in listed if isinstance(entry, dict) and entry.get("name") == name), {})
        inner = found.get(member)
        return inner if isinstance(inner, dict) else {}

    cluster = named("contexts", "context", context or data.get("current-context", "")).get("cluster", "")
    return str(named("clusters", "cluster", cluster).get("server", ""))


def address_towards(host: str) -> str:
    """The address of this machine that its route to `host` has; where that is this machine itself, its usual one.

    Empty where there is no route at all.
    """
    mine = _source((host, 443)) if host else ""
    if not mine or ipaddress.ip_address(mine.partition("%")[0]).is_loopback:
        return _source(_ANYWHERE) or mine
    return mine


def _source(target: tuple[str, int]) -> str:
    """The source address of a datagram to there; none is sent."""
    try:
        found = socket.getaddrinfo(*target, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return ""
    for family, kind, protocol, _, address in found:
        with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    return ""
