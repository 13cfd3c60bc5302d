"""A page of another site, or one that reaches us by a rebound name, can start nothing."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from kfdash.access import CONTENT_POLICY, ContentPolicyMiddleware, SameSiteMiddleware, SameSiteSockets

requests = RequestFactory()


def answer(method: str = "post", **headers: str) -> HttpResponse:
    request = getattr(requests, method)("/apis/v2beta1/runs", headers={"host": "localhost:8000", **headers})
    return SameSiteMiddleware(lambda _: HttpResponse("done"))(request)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_loopback_names_are_ours(host: str) -> None:
    assert answer("get", host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "localhost:80:80"])
def test_a_rebound_name_is_refused_even_for_reading(host: str) -> None:
    response = answer("get", host=host)
    assert response.status_code == 403
    assert b"KFDASH_ALLOWED_HOSTS" in response.content


def test_a_client_that_is_no_browser_may_write() -> None:
    assert answer().status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://localhost:8000", "sec-fetch-site": "same-origin"},
        {"origin": "http://localhost:8000"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_our_own_pages_may_write(headers: dict[str, str]) -> None:
    assert answer(**headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9000"},
        {"origin": "http://127.0.0.1:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://localhost:8000", "sec-fetch-site": "cross-site"},
        {"origin": "http://localhost:notaport"},
    ],
)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_pages_of_other_origins_may_not_write(method: str, headers: dict[str, str]) -> None:
    assert answer(method, **headers).status_code == 403


def test_pages_of_other_sites_may_link_to_ours() -> None:
    assert answer("get", **{"sec-fetch-site": "cross-site"}).status_code == 200


def test_the_policy_allows_nothing_inline_and_yields_to_a_response_with_its_own() -> None:
    plain = ContentPolicyMiddleware(lambda _: HttpResponse())(requests.get("/"))
    assert plain["Content-Security-Policy"] == CONTENT_POLICY
    assert "unsafe" not in CONTENT_POLICY
    own = HttpResponse(headers={"Content-Security-Policy": "sandbox"})
    assert ContentPolicyMiddleware(lambda _: own)(requests.get("/"))["Content-Security-Policy"] == "sandbox"


def connect(**headers: str) -> list[dict[str, object]]:
    """What the application at the end of a socket's way is told and answers; nothing here waits, so no loop is needed."""
    sent: list[dict[str, object]] = []

    async def app(scope: object, receive: object, send: object) -> None:
        sent.append({"type": "reached"})

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]}
    with pytest.raises(StopIteration):
        SameSiteSockets(app)(scope, lambda: None, send).send(None)
    return sent


@pytest.mark.parametrize(
    ("headers", "reached"),
    [
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, True),
        ({"host": "localhost:8000"}, True),
        ({"host": "localhost:8000", "origin": "http://evil.example"}, False),
        ({"host": "evil.example", "origin": "http://evil.example"}, False),
        ({"host": "localhost:8000", "sec_fetch_site": "cross-site"}, False),
    ],
)
def test_sockets_are_opened_from_our_pages_only(headers: dict[str, str], reached: bool) -> None:
    sent = connect(**headers)
    assert [message["type"] for message in sent] == (["reached"] if reached else ["websocket.close"])
