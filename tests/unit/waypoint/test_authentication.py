"""Whom a request is from by its token, what its backend gets to see of it, and what ends at the waypoint."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.authentication import ClaimHeader, JwtRule, Place, TokenSource
from mesh.refusal import Reason
from mesh.token import LEEWAY
from tests.tokens_for_tests import Issuer
from waypoint.answer import Answer
from waypoint.authentication import Authentication, Identified, authentication, without_secrets
from waypoint.http.events import RequestHead

ISSUER = Issuer()
BEARER = TokenSource(Place.HEADER, "authorization", "Bearer ")
QUERY = TokenSource(Place.PARAMETER, "access_token")
COOKIE = TokenSource(Place.COOKIE, "session")
RULE = JwtRule("https://issuer.example", ISSUER.jwks, sources=(BEARER, QUERY, COOKIE))
NOW = 1_800_000_000.0
TEXT = ISSUER.jwt(groups=["a", "b"], exp=NOW + 300, evil="x\r\nx-admin: yes")
BOB = "https://issuer.example/somebody"


def request(*headers: tuple[bytes, bytes], path: bytes = b"/") -> RequestHead:
    return RequestHead(b"GET", b"echo", path, headers)


def bearing(text: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + text.encode()


def identified(asked: RequestHead, rule: JwtRule = RULE, now: float = NOW) -> Identified:
    found = Authentication((rule,)).identify(asked, now)
    assert isinstance(found, Identified), found
    return found


def refused(asked: RequestHead, *rules: JwtRule, now: float = NOW) -> Answer:
    found = Authentication(rules or (RULE,)).identify(asked, now)
    assert isinstance(found, Answer), found
    return found


def principal(found: Identified) -> str:
    return found.token.principal if found.token is not None else ""


def test_without_a_token_a_request_goes_on_and_is_from_nobody() -> None:
    plain = request((b"authorization", b"Basic dXNlcjpwYXNz"), (b"cookie", b"other=1"), path=b"/x?a=1")
    assert identified(plain) == Identified(plain)


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (request(bearing(TEXT), (b"x", b"y")), request((b"x", b"y"))),
        (request((b"authorization", b"bearer  " + TEXT.encode())), request()),
        (request(path=b"/a?x=1&access_token=" + TEXT.encode() + b"&y=2"), request(path=b"/a?x=1&y=2")),
        (request(path=b"/a?%61ccess_token=" + TEXT.replace(".", "%2E").encode()), request(path=b"/a")),
        (request((b"cookie", b"a=1; session=" + TEXT.encode() + b"; b=2")), request((b"cookie", b"a=1; b=2"))),
        (request((b"cookie", b'session="' + TEXT.encode() + b'"'), (b"cookie", b"b=2")), request((b"cookie", b"b=2"))),
        (request(bearing(TEXT), bearing(TEXT), path=b"/?access_token=" + TEXT.encode()), request()),
    ],
)
def test_a_valid_token_says_whom_it_is_from_and_goes_no_further(asked: RequestHead, left: RequestHead) -> None:
    found = identified(asked)
    assert principal(found) == BOB
    assert found.request == left


def test_a_token_is_forwarded_where_that_is_asked_for() -> None:
    asked = request(bearing(TEXT), path=b"/?access_token=" + TEXT.encode())
    assert identified(asked, replace(RULE, forward=True)).request == asked


def test_a_backend_is_told_claims_and_a_caller_cannot_forge_them() -> None:
    told = (ClaimHeader("x-groups", ("groups",)), ClaimHeader("x-evil", ("evil",)), ClaimHeader("x-none", ("none",)))
    rule = replace(RULE, claim_headers=told, payload_header="x-payload")
    forged = ((b"x-groups", b"root"), (b"x-payload", b"e30"), (b"x-evil", b"1"), (b"x-none", b"1"))
    assert identified(request(*forged, (b"x", b"y")), rule).request.headers == ((b"x", b"y"),)
    headers = identified(request(bearing(TEXT), *forged), rule).request.headers
    assert headers == ((b"x-groups", b"a,b"), (b"x-payload", TEXT.split(".")[1].encode()))


def test_an_invalid_token_ends_the_request() -> None:
    answer = refused(request(bearing(TEXT), path=b'/a"b?q=1'), now=NOW + 300 + LEEWAY)
    assert (answer.status, answer.text) == (401, "Jwt is expired")
    assert answer.headers == ((b"www-authenticate", b'Bearer realm="http://echo/a%22b", error="invalid_token"'),)
    assert answer.refusal is not None
    assert answer.refusal.reason is Reason.UNAUTHENTICATED
    assert refused(request(bearing(TEXT)), replace(RULE, audiences=("cart",))).status == 403
    assert refused(request(bearing("x"))).status == 401


def test_a_valid_token_does_not_cover_for_an_invalid_one() -> None:
    other = Issuer().jwt()
    for asked in (
        request(bearing(TEXT), bearing(other)),
        request(bearing(other), bearing(TEXT)),
        request(bearing(TEXT), path=b"/?access_token=" + other.encode()),
        request(bearing(TEXT), path=b"/?access_token=" + TEXT.encode() + b"&access_token=" + other.encode()),
    ):
        assert refused(asked).status == 401


def test_the_rule_of_the_tokens_issuer_decides() -> None:
    partner = Issuer()
    rules = (RULE, replace(RULE, issuer="https://partner.example", keys=partner.jwks))
    both = Authentication(rules)
    text = partner.jwt(iss="https://partner.example")
    assert principal(both.identify(request(bearing(text)), NOW)) == "https://partner.example/somebody"  # type: ignore[arg-type]
    assert principal(both.identify(request(bearing(TEXT)), NOW)) == BOB  # type: ignore[arg-type]
    assert refused(request(bearing(partner.jwt())), *rules).text == "Jwt verification fails"
    assert refused(request(bearing(ISSUER.jwt(iss="https://nobody.example"))), *rules).text == (
        "Jwt issuer is not configured"
    )


def test_cve_2026_31837_without_keys_no_token_is_valid_and_there_are_no_others_to_fall_back_to() -> None:
    assert refused(request(bearing(TEXT)), replace(RULE, keys="")).text == "Jwks of the issuer are not available"


def test_a_remembered_token_ends_when_it_should() -> None:
    one = Authentication((RULE,))
    assert isinstance(one.identify(request(bearing(TEXT)), NOW), Identified)
    assert isinstance(one.identify(request(bearing(TEXT)), NOW + 300 + LEEWAY - 1), Identified)
    assert isinstance(one.identify(request(bearing(TEXT)), NOW + 300 + LEEWAY), Answer)


def test_a_token_remembered_from_one_place_is_not_valid_in_another_of_another_rule() -> None:
    strict = replace(RULE, sources=(QUERY,), audiences=("nobody",))
    both = Authentication((replace(RULE, sources=(BEARER,)), strict))
    assert isinstance(both.identify(request(bearing(TEXT)), NOW), Identified)
    assert isinstance(both.identify(request(path=b"/?access_token=" + TEXT.encode()), NOW), Answer)


def test_new_keys_mean_that_every_token_is_verified_anew() -> None:
    old, new = authentication((RULE,)), authentication((replace(RULE, keys=Issuer().jwks),))
    assert authentication((RULE,)) is old
    assert isinstance(old.identify(request(bearing(TEXT)), NOW), Identified)
    assert isinstance(new.identify(request(bearing(TEXT)), NOW), Answer)


def test_many_different_tokens_are_not_even_looked_at() -> None:
    assert refused(request(*(bearing(ISSUER.jwt(n=number)) for number in range(9)))).status == 401


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waypoint.authentication._KEPT", 3)
    one = Authentication((RULE,))
    for number in range(10):
        assert isinstance(one.identify(request(bearing(ISSUER.jwt(n=number))), NOW), Identified)
    assert one.remembered == 3


def test_a_token_in_the_query_is_in_no_log() -> None:
    secret = frozenset({b"access_token"})
    assert without_secrets(b"/a?x=1&access_token=abc&y", secret) == b"/a?x=1&access_token=...&y"
    assert without_secrets(b"/a?%61ccess_token=abc", secret) == b"/a?%61ccess_token=..."
    assert without_secrets(b"/a?b=c", frozenset()) == b"/a?b=c"
