"""Sockets: closed to strangers, and ended within seconds when whoever opened one may not watch any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from django.contrib.auth import get_user_model
from django.test import Client

from access import services, sockets
from access.models import Session, Token
from kfdash.rights import Right
from runs.routing import websocket_urlpatterns
from tests.access.people import HOST, browser, person, token

pytestmark = pytest.mark.django_db(transaction=True)
WITHIN = 3.0  # seconds; a look is every 0.05 of them here
Change = Callable[[], Any]


@pytest.fixture(autouse=True)
def asking(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """People log in, and who may watch is looked at often."""
    settings.AUTH = "accounts"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    monkeypatch.setattr(sockets, "LOOK_EVERY", 0.05)


class Socket(ApplicationCommunicator):
    """A socket of the list of runs."""

    def __init__(self, app: Any, *, session: str = "", bearer: str = "", address: str = "127.0.0.1", **headers: str) -> None:
        given = [(b"host", b"localhost")]
        if session:
            given.append((b"cookie", f"kfdash_session={session}; other=x".encode()))
        if bearer:
            given.append((b"authorization", f"Bearer {bearer}".encode()))
        given += [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "websocket", "path": "/ws/runs/", "headers": given, "query_string": b"", "subprotocols": []}
        super().__init__(app, {**scope, "client": (address, 1)})

    async def opened(self) -> bool:
        """Whether it is let in."""
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(WITHIN))["type"] == "websocket.accept"

    async def ended(self) -> dict[str, Any]:
        """How it is closed; fails where it is not."""
        while True:
            message = await self.receive_output(WITHIN)
            if message["type"] == "websocket.close":
                return message


def on_sockets(scenario: Callable[[Any], Awaitable[None]]) -> None:
    """Runs a scenario with the application that stands before the consumers."""

    async def whole() -> None:
        await asyncio.wait_for(scenario(sockets.RightsSockets(URLRouter(websocket_urlpatterns))), 20)

    async_to_sync(whole)()


def session_of(client: Client) -> str:
    """The key of a browser's session."""
    return client.cookies["kfdash_session"].value


def let_in(**given: Any) -> bool:
    """Whether one with these credentials may open a socket."""
    found = []

    async def scenario(app: Any) -> None:
        socket = Socket(app, **given)
        found.append(await socket.opened())
        if found[0]:
            await socket.send_input({"type": "websocket.disconnect", "code": 1000})
            await socket.wait(WITHIN)
        assert not app.open

    on_sockets(scenario)
    return found[0]


def ends_by(change: Change, **given: Any) -> None:
    """Opens a socket and another's, makes the change, and sees the first close and the second stay."""
    other = token(Right.VIEW)

    async def scenario(app: Any) -> None:
        socket, stays = Socket(app, **given), Socket(app, bearer=other)
        assert await socket.opened() and await stays.opened()
        await asyncio.sleep(0.2)
        assert len(app.open) == 2
        await database_sync_to_async(change)()
        assert (await socket.ended())["code"] == sockets.OVER
        await socket.wait(WITHIN)
        assert len(app.open) == 1 and not stays.future.done()
        await stays.send_input({"type": "websocket.disconnect", "code": 1000})
        await stays.wait(WITHIN)

    on_sockets(scenario)


def test_strangers_open_no_socket() -> None:
    assert not let_in()
    assert not let_in(session="x" * 32)
    assert not let_in(bearer="kfdash_" + "x" * 43)
    assert not let_in(bearer=token(Right.ADMINISTER, expired=True))
    assert not let_in(bearer=token(Right.ADMINISTER, revoked=True))


def test_whoever_may_view_opens_one_by_session_or_token() -> None:
    assert let_in(session=session_of(browser(Right.VIEW)))
    assert let_in(bearer=token(Right.VIEW))


def test_a_token_that_is_not_good_is_not_made_good_by_a_session() -> None:
    assert not let_in(session=session_of(browser(Right.VIEW)), bearer="kfdash_x")


def test_a_stolen_token_that_is_revoked_ends_the_socket_that_it_opened() -> None:
    text = token(Right.VIEW)
    row = Token.objects.get()
    ends_by(lambda: services.revoke_token(row, by="owner"), bearer=text)


def test_an_account_that_is_switched_off_or_left_without_a_right_ends_its_sockets() -> None:
    user = person(Right.VIEW, "ann")
    ends_by(lambda: services.switch_off(user, by="owner"), session=session_of(browser(Right.VIEW, user)))
    user = person(Right.VIEW, "bob")
    ends_by(lambda: services.set_right(user, None, by="owner"), session=session_of(browser(Right.VIEW, user)))


def test_a_log_out_ends_the_sockets_of_that_browser() -> None:
    client = browser(Right.VIEW)
    client.headers = HOST
    ends_by(lambda: client.post("/logout/"), session=session_of(client))
    assert not Session.objects.exists()


def test_a_new_password_ends_the_sockets_of_other_browsers() -> None:
    user = person(Right.VIEW, "ann")
    session = session_of(browser(Right.VIEW, user))
    ends_by(lambda: services.set_password(user, "quite another 42", by="ann"), session=session)


def test_the_header_of_a_proxy_opens_a_socket_from_the_proxy_alone(settings: Any) -> None:
    settings.AUTH, settings.PROXY_ADDRESSES, settings.PROXY_USER_HEADER = "proxy", "10.0.0.0/8", "x-user"
    settings.GROUP_RIGHTS = "*=view"
    assert let_in(address="10.0.0.9", **{"x-user": "ann"})
    assert not let_in(address="192.0.2.9", **{"x-user": "ann"})
    assert not let_in(address="10.0.0.9", x_user="ann")
    assert get_user_model().objects.filter(username="ann").count() == 1


def test_a_socket_that_is_gone_keeps_no_other_from_being_ended() -> None:
    text, second = token(Right.VIEW), token(Right.VIEW)

    async def scenario(app: Any) -> None:
        gone, socket = Socket(app, bearer=text), Socket(app, bearer=second)
        assert await gone.opened() and await socket.opened()

        async def fails(message: dict[str, Any]) -> None:
            raise RuntimeError("Cannot call send once a close message has been sent.")

        next(iter(app.open))._send = fails
        await database_sync_to_async(Token.objects.all().delete)()
        await socket.ended()
        await socket.wait(WITHIN)
        await gone.wait(WITHIN)

    on_sockets(scenario)


def test_one_look_asks_for_many_sockets_at_once(django_assert_max_num_queries: Any) -> None:
    from_tokens = [token(Right.VIEW) for _ in range(5)]
    requests = [
        sockets._as_request({"client": ("", 0), "headers": [(b"authorization", f"Bearer {text}".encode())]}) for text in from_tokens
    ]
    identities = [sockets.identify(request) for request in requests]
    with django_assert_max_num_queries(1):
        assert len(sockets.still_good(identities)) == 5
