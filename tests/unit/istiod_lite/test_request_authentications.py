"""RequestAuthentications: strictly read, told to the waypoints they are for, and with a status that is true."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from joserfc.jwk import ECKey

from istiod_lite.compile import Settings, compile_world
from istiod_lite.object import ObjectKey
from istiod_lite.publish import Publication, publish
from istiod_lite.readings import Readings
from istiod_lite.status import statuses
from mesh.authentication import ClaimHeader, JwtRule, Place, RequestAuthentication, TokenSource
from mesh.policy import ClaimMatch, Target, TextMatch, TextMatchKind
from mesh.xds.resource import WAYPOINT_AUTHENTICATION
from tests.tokens_for_tests import Issuer
from tests.unit.istiod_lite.test_statuses import NAMESPACE, READY, SERVICES

ROOT = Path(__file__).parents[3]
EXAMPLE = (ROOT / "examples/tokens/cart.yaml").read_text()
ISSUER = Issuer()
BEARER = TokenSource(Place.HEADER, "authorization", "Bearer ")
QUERY = TokenSource(Place.PARAMETER, "access_token")
KEY = ObjectKey("security.istio.io", "RequestAuthentication", "shop", "a")
CART = "targetRefs: [{group: '', kind: Service, name: cart}]"


def authentication(spec: str, name: str = "a") -> str:
    metadata = f"{{name: {name}, namespace: shop, generation: 3}}"
    return f"apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {metadata}\nspec: {spec}\n"


def rules(more: str = "") -> str:
    return f"jwtRules: [{{issuer: https://issuer.example, jwks: '{ISSUER.jwks}'{more and ', ' + more}}}]"


def rule_of(world_of, more: str) -> JwtRule:
    snapshot = compile_world(world_of(NAMESPACE, SERVICES, authentication(f"{{{CART}, {rules(more)}}}")), Settings())
    return snapshot.authentications["shop/a"].rules[0]


def condition(world_of, *texts: str) -> tuple[str, str, str]:
    [found] = statuses(world_of(NAMESPACE, SERVICES, *texts), Settings())[KEY]["conditions"]
    assert found["observedGeneration"] == 3
    return found["type"], found["status"], found["reason"]


def test_the_example_becomes_what_the_waypoint_believes(world_of) -> None:
    snapshot = compile_world(world_of(NAMESPACE, SERVICES, *READY, EXAMPLE), Settings())
    found = snapshot.authentications["shop/cart"]
    (key,) = json.loads(found.rules[0].keys)["keys"]
    assert (key["kid"], key["kty"]) == ("example", "EC")
    sources, told = (BEARER, QUERY), (ClaimHeader("x-user", ("sub",)),)
    rule = JwtRule("https://issuer.example", found.rules[0].keys, ("cart",), sources, claim_headers=told)
    assert found == RequestAuthentication("cart", "shop", (rule,), (Target("Service", "shop", "cart"),))
    shelf = publish(snapshot, Publication(), Settings().service_key).catalog[WAYPOINT_AUTHENTICATION]
    assert shelf.resources["shop/cart"].seen_by("shop/waypoint")
    assert not shelf.resources["shop/cart"].seen_by("shop/other")
    assert not shelf.resources["shop/cart"].seen_by(None)


def test_every_field_means_something(world_of) -> None:
    found = rule_of(
        world_of,
        "audiences: [x, y], fromHeaders: [{name: X-Jwt, prefix: 'JWT '}, {name: X-Raw}], fromParams: [token], "
        "fromCookies: [session], forwardOriginalToken: true, outputPayloadToHeader: X-Payload, "
        "outputClaimToHeaders: [{header: X-Role, claim: realm.role}], spaceDelimitedClaims: [teams]",
    )
    assert found.sources == (
        TokenSource(Place.HEADER, "x-jwt", "JWT "), TokenSource(Place.HEADER, "x-raw"),
        TokenSource(Place.PARAMETER, "token"), TokenSource(Place.COOKIE, "session"),
    )  # fmt: skip
    assert (found.audiences, found.forward, found.payload_header) == (("x", "y"), True, "x-payload")
    assert (found.claim_headers, found.spaced) == ((ClaimHeader("x-role", ("realm", "role")),), ("teams",))


@pytest.mark.parametrize(
    ("rule", "field", "message"),
    [
        ("{issuer: a}", "jwks", "one of jwks and jwksUri"),
        ("{jwks: JWKS}", "issuer", "required"),
        ("{issuer: a, jwks: '{}'}", "jwks", "list of keys is missing"),
        ("{issuer: a, jwks: '{\"keys\": [{\"kty\": \"oct\", \"k\": \"AA\"}]}'}", "jwks", "secret"),
        ("{issuer: a, jwks: JWKS, fromHeaders: [{prefix: x}]}", "fromHeaders[0].name", "required"),
        ("{issuer: a, jwks: JWKS, fromParams: ['a&b']}", "fromParams[0]", "will not do"),
        ("{issuer: a, jwks: JWKS, outputPayloadToHeader: Authorization}", "outputPayloadToHeader", "of its own"),
        ("{issuer: a, jwks: JWKS, outputClaimToHeaders: [{header: Host, claim: x}]}", "outputClaimToHeaders[0].header",
         "of its own"),
        ("{issuer: a, jwks: JWKS, jwksUri: https://a.example}", "jwks", "one of jwks and jwksUri"),
        ("{issuer: a, jwksUri: file:///etc/passwd}", "jwksUri", "not an address to fetch"),
        ("{issuer: a, jwksUri: 'https://user:secret@a.example/'}", "jwksUri", "not an address to fetch"),
        ("{issuer: a, jwksUri: 'https:///jwks'}", "jwksUri", "not an address to fetch"),
        ("{issuer: a, jwksUri: 'https://a.example:x/'}", "jwksUri", "not an address to fetch"),
        ("{issuer: a, jwksUri: 'http://a.example/ HTTP/1.1'}", "jwksUri", "not an address to fetch"),
        ("{issuer: a, jwks: JWKS, timeouts: 1}", "timeouts", "no such field"),
    ],
)  # fmt: skip
def test_what_cannot_be_believed_is_refused_by_its_field(problems_of, rule: str, field: str, message: str) -> None:
    rule = rule.replace("JWKS", f"'{ISSUER.jwks}'")
    [problem] = problems_of(authentication(f"{{{CART}, jwtRules: [{rule}]}}"))
    assert problem.field == f"spec.jwtRules[0].{field}"
    assert message in problem.message
    assert problem.mend


def test_a_secret_in_a_manifest_is_not_repeated_in_the_complaint(problems_of) -> None:
    key = ECKey.generate_key("P-256").as_dict(private=True)
    [problem] = problems_of(
        authentication(f"{{{CART}, jwtRules: [{{issuer: a, jwks: '{json.dumps({'keys': [key]})}'}}]}}")
    )
    assert "secret" in problem.message
    assert key["d"] not in str(problem)


def test_the_status_tells_whether_anybody_verifies(world_of) -> None:
    bound = authentication(f"{{{CART}, {rules()}}}")
    assert condition(world_of, *READY, bound) == ("WaypointAccepted", "True", "Accepted")
    assert condition(world_of, bound) == ("WaypointAccepted", "False", "WaypointIsNotReady")
    assert condition(world_of, authentication(f"{{{rules()}}}")) == ("WaypointAccepted", "False", "TargetNotFound")


def test_one_that_never_was_good_believes_nobody() -> None:
    bad = authentication(f"{{{CART}, jwtRules: [{{issuer: a}}]}}")
    texts = {f"{number}.yaml": text for number, text in enumerate((NAMESPACE, SERVICES, *READY, bad))}
    world = Readings().update({name: textwrap.dedent(text) for name, text in texts.items()}).world
    (found,) = compile_world(world, Settings()).authentications.values()
    assert found.rules == (JwtRule("", sources=(BEARER, QUERY)),)
    [told] = statuses(world, Settings())[KEY]["conditions"]
    assert (told["status"], told["reason"]) == ("False", "Invalid")
    assert "spec.jwtRules[0].jwks" in told["message"]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("request.auth.claims[iss]", ("iss",)),
        ("request.auth.claims[realm][roles]", ("realm", "roles")),
        ("request.auth.claims[https://example.org/role]", ("https://example.org/role",)),
        ("request.auth.audiences", ("aud",)),
        ("request.auth.presenter", ("azp",)),
    ],
)
def test_a_condition_on_a_claim_is_one_on_its_path(world_of, key: str, path: tuple[str, ...]) -> None:
    policy = authentication(f"{{{CART}, rules: [{{when: [{{key: '{key}', values: [x]}}]}}]}}")
    world = world_of(NAMESPACE, SERVICES, policy.replace("RequestAuthentication", "AuthorizationPolicy"))
    (found,) = compile_world(world, Settings()).policies.values()
    (match,) = found.rules[0].clauses[0].matches
    assert match.claims == (ClaimMatch(path, TextMatch(TextMatchKind.EXACT, "x")),)


@pytest.mark.parametrize(
    "key", ["request.auth.claims", "request.auth.claims[]", "request.auth.claims[a]b", "request.auth.x"]
)
def test_a_condition_that_is_none_is_refused_by_name(problems_of, key: str) -> None:
    policy = authentication(f"{{{CART}, rules: [{{when: [{{key: '{key}', values: [x]}}]}}]}}")
    [problem] = problems_of(policy.replace("RequestAuthentication", "AuthorizationPolicy"))
    assert problem.field == "spec.rules[0].when[0].key"
    assert "request.auth.claims[NAME]" in problem.mend
