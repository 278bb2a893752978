from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from istiod_lite.tokens import Caller, read_keys, verify
from mesh.refusal import Refusal
from tests.tokens_for_tests import Issuer

ISSUER = Issuer()
KEYS = read_keys(ISSUER.jwks)


def verdict(token: str, *, later: float = 0) -> Caller | Refusal:
    return verify(token, KEYS, datetime.now(UTC) + timedelta(seconds=later))


def test_a_token_proves_account_pod_and_node() -> None:
    assert verdict(ISSUER.token("shop", "web", node="node-1")) == Caller("shop", "web", "web-1", "node-1")
    assert verdict(ISSUER.token("shop", "web")) == Caller("shop", "web")


@pytest.mark.parametrize(
    ("token", "complaint"),
    [
        ("", "cannot be verified"),
        ("a.b.c", "cannot be verified"),
        (Issuer().token("shop", "web"), "cannot be verified"),
        (ISSUER.token("shop", "web")[:-6] + "AAAAAA", "cannot be verified"),
        (ISSUER.token("shop", "web", audience="vault"), "not for 'istio-ca'"),
        (ISSUER.token("shop", "web", aud=None), "not for 'istio-ca'"),
        (ISSUER.token("shop", "web", lifetime=-1), "has expired"),
        (ISSUER.token("shop", "web", exp=None), "never expires"),
        (ISSUER.token("shop", "web", nbf=4102444800), "not valid yet"),
        (ISSUER.token("shop", "web", sub="alice"), "no service account"),
        (ISSUER.token("shop", "web", sub="system:serviceaccount:shop"), "no service account"),
        (ISSUER.token("shop", "web", sub=7), "no service account"),
        (jwt.encode({"alg": "HS256"}, {"sub": "x"}, OctKey.import_key("s" * 32)), "cannot be verified"),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.", "cannot be verified"),
    ],
)
def test_a_token_that_proves_nothing_is_refused_with_the_reason(token: str, complaint: str) -> None:
    found = verdict(token)
    assert isinstance(found, Refusal)
    assert complaint in found.detail
    assert len(token) < 8 or token not in found.detail, "tokens are secrets"


def test_a_token_ends_when_it_says() -> None:
    token = ISSUER.token("shop", "web", lifetime=60)
    assert isinstance(verdict(token, later=50), Caller)
    assert isinstance(verdict(token, later=61), Refusal)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": 1}', '{"keys": [{}]}', '{"keys": [{"kty": "EC"}]}'])
def test_what_is_no_key_set_is_told_by_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the JSON parser words some of them
        read_keys(text)
