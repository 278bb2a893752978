"""Tokens at a waypoint, seen from outside on loopback."""

from __future__ import annotations

import time

import pytest
import trio

from mesh.authentication import ClaimHeader, JwtRule, Place, RequestAuthentication, TokenSource
from mesh.policy import Action, ClaimMatch, Clause, Match, Policy, Rule, Scope, Target, TextMatch, TextMatchKind
from mesh.refusal import Reason
from tests.http_exchange import Exchange
from tests.tokens_for_tests import Issuer
from tests.waypoint_app import App, header, status, told
from tests.waypoint_ends import service, world
from waypoint.http.events import End, RequestHead, ResponseHead

ECHO = service()
ISSUER = Issuer()
SOURCES = (TokenSource(Place.HEADER, "authorization", "Bearer "), TokenSource(Place.PARAMETER, "access_token"))
RULE = JwtRule("https://issuer.example", ISSUER.jwks, sources=SOURCES, claim_headers=(ClaimHeader("x-user", ("sub",)),))
SHOP = (Target("Service", "shop", "echo"),)
AUTHENTICATION = RequestAuthentication("jwt", "shop", (RULE,), SHOP)


def policy(action: Action, match: Match, name: str = "p") -> Policy:
    return Policy(name, "shop", Scope.TARGET, action, (Rule((Clause((match,)),)),), targets=SHOP)


def bearing(text: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + text.encode()


@pytest.mark.parametrize("http2", [False, True])
async def test_only_who_shows_a_valid_token_gets_in(http2: bool) -> None:
    allow = policy(
        Action.ALLOW, Match(request_principals=(TextMatch(TextMatchKind.PREFIX, "https://issuer.example/"),))
    )
    async with world(ECHO, AUTHENTICATION, allow) as it:
        await it.app(App(), ECHO)
        good = await it.ask("/", "GET", bearing(ISSUER.jwt()), (b"x-user", b"root"), http2=http2)
        none = await it.ask(http2=http2)
        forged = await it.ask("/", "GET", bearing(Issuer().jwt()), http2=http2)
        expired = await it.ask("/?access_token=" + ISSUER.jwt(exp=time.time() - 3600), http2=http2)
        records = await it.recorded(4)
    assert [status(one) for one in (good, none, forged, expired)] == [200, 403, 401, 401]
    seen = dict(told(good)["headers"])  # type: ignore[call-overload]
    assert seen["x-user"] == "somebody"
    assert "authorization" not in seen
    assert header(forged, "www-authenticate") == b'Bearer realm="http://echo/", error="invalid_token"'
    assert [one.refusal.reason for one in records if one.refusal] == [
        Reason.POLICY_DENIED, Reason.UNAUTHENTICATED, Reason.UNAUTHENTICATED
    ]  # fmt: skip
    assert records[3].http is not None
    assert records[3].http.path == "/?access_token=..."


async def test_claims_decide_and_their_absence_denies() -> None:
    allow = policy(
        Action.ALLOW, Match(claims=(ClaimMatch(("realm", "roles"), TextMatch(TextMatchKind.EXACT, "admin")),))
    )
    async with world(ECHO, AUTHENTICATION, allow) as it:
        await it.app(App(), ECHO)
        link = await it.link()
        for realm, expected in ((["admin", "x"], 200), (["user"], 403), ([], 403)):
            token = ISSUER.jwt(realm={"roles": realm})
            assert status(await it.ask("/", "GET", bearing(token), link=link)) == expected
        assert status(await it.ask("/", "GET", bearing(ISSUER.jwt(realm="admin")), link=link)) == 403
        assert status(await it.ask(link=link)) == 403


async def test_a_denial_of_those_without_a_token_is_the_usual_way_to_demand_one() -> None:
    deny = policy(Action.DENY, Match(not_request_principals=(TextMatch(TextMatchKind.PRESENCE),)))
    async with world(ECHO, AUTHENTICATION, deny) as it:
        await it.app(App(), ECHO)
        assert status(await it.ask()) == 403
        assert status(await it.ask("/", "GET", bearing(ISSUER.jwt()))) == 200
        assert status(await it.ask("/", "GET", bearing(ISSUER.jwt(sub=None)))) == 403


async def test_new_keys_count_at_once_also_for_connections_that_live() -> None:
    async with world(ECHO, AUTHENTICATION) as it:
        await it.app(App(), ECHO)
        link, token = await it.link(), ISSUER.jwt()
        assert status(await it.ask("/", "GET", bearing(token), link=link)) == 200
        renewed = JwtRule(RULE.issuer, Issuer().jwks, sources=SOURCES)
        it.put(RequestAuthentication("jwt", "shop", (renewed,), SHOP))
        assert status(await it.ask("/", "GET", bearing(token), link=link)) == 401


async def test_a_pipe_ends_when_its_token_is_believed_no_more() -> None:
    async def serve(exchange: Exchange, head: RequestHead) -> None:
        await exchange.receive()
        await exchange.send(ResponseHead(101, upgrade=b"websocket"))
        await exchange.wait_cut()

    async with world(ECHO, AUTHENTICATION) as it:
        await it.app(App(handler=serve), ECHO)
        pipe = await it.link()
        asked = RequestHead(b"GET", b"echo", b"/chat", (bearing(ISSUER.jwt()),), ends=True, upgrade=b"websocket")
        with pipe.begin(asked) as chat, trio.fail_after(30):
            await chat.send(End())
            assert (await chat.receive()).status == 101
            it.put(RequestAuthentication("jwt", "shop", (JwtRule(RULE.issuer, sources=SOURCES),), SHOP))
            await chat.wait_cut()
        (record,) = await it.recorded(1)
    assert record.refusal is not None
    assert record.refusal.reason is Reason.UNAUTHENTICATED
