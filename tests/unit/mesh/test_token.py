"""Tokens: what is believed, what is not, and that nothing forged ever is."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from mesh.authentication import JwtRule
from mesh.jwks import public_jwks
from mesh.token import LEEWAY, Fault, Token, verify
from tests.tokens_for_tests import Issuer

ISSUER = Issuer()
RULE = JwtRule("https://issuer.example", ISSUER.jwks)
NOW = 1_800_000_000.0


def found(rule: JwtRule, text: str, now: float = NOW) -> Token:
    token = verify(rule, text, now)
    assert isinstance(token, Token), token
    return token


def compact(header: dict[str, Any], claims: object, signature: bytes = b"x") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_a_valid_token_names_its_principal() -> None:
    token = found(RULE, ISSUER.jwt())
    assert token.principal == "https://issuer.example/somebody"
    assert token.expires == float("inf")
    assert found(RULE, ISSUER.jwt(sub=None)).principal == ""


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (RSAKey.generate_key(2048), "RS256"),
        (RSAKey.generate_key(2048), "PS512"),
        (ECKey.generate_key("P-384"), "ES384"),
        (OKPKey.generate_key("Ed25519"), "Ed25519"),
    ],
)
def test_every_kind_of_key_pair_will_do(key: Any, alg: str) -> None:
    issuer = Issuer(key)
    text = jws.serialize_compact({"alg": alg}, json.dumps({"iss": RULE.issuer}), key, [alg])
    assert found(replace(RULE, keys=public_jwks(issuer.jwks)), text).issuer == RULE.issuer


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "none", "None", "RSA-OAEP", "", None, 7, ["ES256"]])
def test_an_algorithm_that_anybody_could_sign_with_is_refused(alg: Any) -> None:
    claims = {"iss": RULE.issuer, "sub": "admin"}
    assert verify(RULE, compact({"alg": alg}, claims), NOW) in {Fault.ALGORITHM, Fault.FORM}


def test_a_public_key_is_no_shared_secret() -> None:
    """Algorithm confusion: signed by HMAC with the public key's own bytes."""
    key = RSAKey.generate_key(2048, {"kid": "one"})
    rule = replace(RULE, keys=public_jwks(Issuer(key).jwks))
    for secret in (key.as_pem(private=False), Issuer(key).jwks.encode()):
        forged = OctKey.import_key(base64.urlsafe_b64encode(secret).decode())
        text = jws.serialize_compact({"alg": "HS256", "kid": "one"}, b'{"iss":"https://issuer.example"}', forged,
                                     ["HS256"])  # fmt: skip
        assert verify(rule, text, NOW) is Fault.ALGORITHM


def test_the_key_in_a_tokens_own_header_is_not_believed() -> None:
    mallory = ECKey.generate_key("P-256", {"kid": "one"})
    header = {"alg": "ES256", "kid": "one", "jwk": mallory.as_dict(private=False)}
    text = jws.serialize_compact(header, b'{"iss":"https://issuer.example","sub":"admin"}', mallory, ["ES256"])
    assert verify(RULE, text, NOW) is Fault.SIGNATURE


def test_a_token_of_another_key_issuer_or_content_is_refused() -> None:
    header, payload, signature = ISSUER.jwt().split(".")
    forged = base64.urlsafe_b64encode(b'{"iss":"https://issuer.example","sub":"admin"}').rstrip(b"=").decode()
    assert verify(RULE, f"{header}.{forged}.{signature}", NOW) is Fault.SIGNATURE
    assert verify(RULE, f"{header}.{payload}.{signature[:-4]}AAAA", NOW) is Fault.SIGNATURE
    assert verify(RULE, Issuer().jwt(), NOW) is Fault.SIGNATURE
    assert verify(RULE, ISSUER.jwt(iss="https://issuer.example/"), NOW) is Fault.ISSUER
    assert verify(RULE, ISSUER.jwt(iss=["https://issuer.example"]), NOW) is Fault.ISSUER
    assert verify(replace(RULE, keys=""), ISSUER.jwt(), NOW) is Fault.KEYS


def test_a_header_that_must_be_understood_is_not_passed_over() -> None:
    text = compact({"alg": "ES256", "crit": ["exp"], "exp": 1}, {"iss": RULE.issuer})
    assert verify(RULE, text, NOW) is Fault.ALGORITHM


def test_time_is_kept_to_with_some_leeway() -> None:
    text = ISSUER.jwt(nbf=NOW, exp=NOW + 300)
    assert found(RULE, text).expires == NOW + 300 + LEEWAY
    assert isinstance(verify(RULE, text, NOW - LEEWAY), Token)
    assert verify(RULE, text, NOW - LEEWAY - 1) is Fault.EARLY
    assert isinstance(verify(RULE, text, NOW + 300 + LEEWAY - 1), Token)
    assert verify(RULE, text, NOW + 300 + LEEWAY) is Fault.EXPIRED


@pytest.mark.parametrize("exp", ["tomorrow", True, [], {}, float("nan"), float("inf"), 10**400, -(10**400)])
def test_a_time_that_is_none_is_refused(exp: Any) -> None:
    claims = json.dumps({"iss": RULE.issuer, "exp": exp})
    text = jws.serialize_compact({"alg": "ES256", "kid": "one"}, claims, ISSUER.key, ["ES256"])
    assert verify(RULE, text, NOW) is Fault.FORM


def test_a_token_must_be_for_one_of_the_audiences_if_there_are_any() -> None:
    rule = replace(RULE, audiences=("shop", "cart"))
    assert isinstance(verify(rule, ISSUER.jwt(aud="cart"), NOW), Token)
    assert isinstance(verify(rule, ISSUER.jwt(aud=["other", "shop"]), NOW), Token)
    for aud in ("sho", ["other"], None, 7, {"shop": 1}):
        assert verify(rule, ISSUER.jwt(aud=aud), NOW) is Fault.AUDIENCE
    assert isinstance(verify(RULE, ISSUER.jwt(aud="anybody"), NOW), Token)


def test_claims_are_read_by_their_path() -> None:
    claims = {"groups": ["a", "b", {"c": 1}], "realm": {"roles": ["x"]}, "age": 7, "vip": True, "scope": "read write",
              "note": "one two", "teams": "p q"}  # fmt: skip
    token = found(replace(RULE, spaced=("teams",)), ISSUER.jwt(**claims))
    assert token.texts(("groups",)) == ("a", "b")
    assert token.texts(("realm", "roles")) == ("x",)
    assert (token.texts(("age",)), token.texts(("vip",))) == (("7",), ("true",))
    assert (token.texts(("scope",)), token.texts(("teams",))) == (("read", "write"), ("p", "q"))
    assert token.texts(("note",)) == ("one two",)
    for missing in (("nothing",), ("realm",), ("age", "x"), ("groups", "a")):
        assert token.texts(missing) == ()


def test_a_token_is_not_shown() -> None:
    text = ISSUER.jwt()
    assert text not in repr(found(RULE, text))
    assert text.split(".")[2] not in repr(found(RULE, text))


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}"))
def test_noise_is_no_token(text: str) -> None:
    assert isinstance(verify(RULE, text, NOW), Fault)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=8,
)


@given(
    json_values | st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "zip"]), json_values),
    json_values | st.dictionaries(st.sampled_from(["iss", "exp", "nbf", "aud", "sub"]), json_values),
)
def test_any_unsigned_json_is_no_token(header: Any, claims: Any) -> None:
    assert isinstance(verify(RULE, compact(header, claims), NOW), Fault)


def test_depth_is_a_fault_and_no_crash() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 5000).rstrip(b"=").decode()
    assert verify(RULE, f"{deep}.{deep}.AAAA", NOW) is Fault.FORM
    assert verify(RULE, "a." + "b" * 20_000 + ".c", NOW) is Fault.FORM


class TestKeys:
    def test_only_what_is_public_goes_on(self) -> None:
        key = ISSUER.key.as_dict(private=False) | {"x5c": ["AAAA"], "note": "hello"}
        (kept,) = json.loads(public_jwks(json.dumps({"keys": [key]})))["keys"]
        assert kept == ISSUER.key.as_dict(private=False)

    def test_cve_2026_31837_a_private_key_is_never_used_nor_passed_on(self) -> None:
        secret = json.dumps(
            {"keys": [ISSUER.key.as_dict(private=False), RSAKey.generate_key(2048).as_dict(private=True)]}
        )
        with pytest.raises(ValueError, match=r"keys\[1\] is secret"):
            public_jwks(secret)
        assert verify(replace(RULE, keys=""), ISSUER.jwt(), NOW) is Fault.KEYS

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "not JSON"),
            ("[]", "list of keys is missing"),
            ('{"keys": {}}', "list of keys is missing"),
            ('{"keys": []}', "no key"),
            ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "secret"),
            ('{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}', "no key"),
            ('{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, 7, null, {"kty": []}]}', "no key"),
            ('{"keys": [' + ",".join(["{}"] * 101) + "]}", "101 keys"),
            ("[" * 100_000, "not JSON"),
        ],
    )
    def test_what_is_no_set_of_public_keys_is_refused(self, text: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            public_jwks(text)

    def test_a_key_that_is_unknown_or_for_something_else_is_passed_over(self) -> None:
        own = ISSUER.key.as_dict(private=False)
        others = [{"kty": "ML-DSA", "x": "AA"}, own | {"use": "enc"}, own | {"kid": 7}]
        assert json.loads(public_jwks(json.dumps({"keys": [*others, own]})))["keys"] == [own]

    def test_equal_sets_are_written_equally(self) -> None:
        own = ISSUER.key.as_dict(private=False)
        assert public_jwks(json.dumps({"keys": [own]})) == public_jwks(
            json.dumps({"keys": [dict(reversed(own.items()))]}, indent=4)
        )
