"""Sockets are for those who may view, and end with what let them in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator

from access import sockets
from access.models import Session, Token
from access.services import revoke_token, switch_off
from kfdash.rights import Right
from tests.access.people import browser, person, token

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def asking(settings, monkeypatch) -> None:
    settings.AUTH = "accounts"
    monkeypatch.setattr(sockets, "LOOK_EVERY", 0.05)


async def consumer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Accepts and waits for the end."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    assert (await receive())["type"] == "websocket.disconnect"


def connected(headers: list[tuple[bytes, bytes]], then: Any = None) -> list[dict[str, Any]]:
    """What a socket with these headers is sent; `then` is done when it is open."""

    async def play() -> list[dict[str, Any]]:
        scope = {"type": "websocket", "path": "/ws/runs/", "headers": headers, "client": ("127.0.0.1", 1)}
        socket = ApplicationCommunicator(sockets.RightsSockets(consumer), scope)
        await socket.send_input({"type": "websocket.connect"})
        found = [await socket.receive_output(5)]
        if found[0]["type"] == "websocket.accept" and then is not None:
            await asyncio.sleep(0.2)  # looked at, and still good
            assert await socket.receive_nothing(0.01)
            await sync_to_async(then)()
            found.append(await socket.receive_output(5))
        await socket.wait(5) if len(found) > 1 else None
        return found

    return async_to_sync(play)()


def bearer(text: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {text}".encode())]


@pytest.mark.parametrize("who", ["nobody", "expired", "revoked"])
def test_strangers_get_no_socket(who: str) -> None:
    made = {"expired": lambda: token(Right.VIEW, expired=True), "revoked": lambda: token(Right.VIEW, revoked=True)}
    headers = bearer(made[who]()) if who in made else []
    assert [message["type"] for message in connected(headers)] == ["websocket.close"]


def test_a_revoked_token_ends_its_socket() -> None:
    text = token(Right.VIEW)
    found = connected(bearer(text), lambda: revoke_token(Token.objects.get(), by="owner"))
    assert [message["type"] for message in found] == ["websocket.accept", "websocket.close"]


@pytest.mark.parametrize("end", ["log out", "switch off"])
def test_what_ends_a_session_ends_its_sockets(end: str) -> None:
    person(Right.ADMINISTER, "root")
    user = person(Right.VIEW, "ada")
    client = browser(Right.VIEW, user)
    cookie = client.cookies["kfdash_session"].value
    ends = {"log out": lambda: Session.objects.filter(pk=cookie).delete(), "switch off": lambda: switch_off(user, by="root")}
    found = connected([(b"cookie", f"kfdash_session={cookie}".encode())], ends[end])
    assert [message["type"] for message in found] == ["websocket.accept", "websocket.close"]
