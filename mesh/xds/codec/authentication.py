"""Request authentications as `ambit.authentication.RequestAuthentication`."""

from __future__ import annotations

from typing import Final

from mesh.authentication import ClaimHeader, JwtRule, Place, RequestAuthentication, TokenSource
from mesh.jwks import keys_of
from mesh.policy import Target
from mesh.xds.pb import authentication_pb2 as pb
from mesh.xds.pb import waypoint_pb2

_PLACES: Final = {
    Place.HEADER: pb.Place.HEADER,
    Place.PARAMETER: pb.Place.PARAMETER,
    Place.COOKIE: pb.Place.COOKIE,
}
_PLACE_OF: Final[dict[int, Place]] = {number: place for place, number in _PLACES.items()}


def authentication_message(value: RequestAuthentication) -> pb.RequestAuthentication:
    """The request authentication."""
    return pb.RequestAuthentication(
        name=value.name,
        namespace=value.namespace,
        rules=map(_rule_message, value.rules),
        targets=[waypoint_pb2.Target(kind=one.kind, namespace=one.namespace, name=one.name) for one in value.targets],
    )


def read_authentication(message: pb.RequestAuthentication) -> RequestAuthentication:
    """The request authentication; ValueError with the reason if it cannot be relied on."""
    if not message.name:
        raise ValueError("a request authentication without name")
    return RequestAuthentication(
        name=message.name,
        namespace=message.namespace,
        rules=tuple(map(_rule, message.rules)),
        targets=tuple(Target(one.kind, one.namespace, one.name) for one in message.targets),
    )


def _rule_message(rule: JwtRule) -> pb.JwtRule:
    return pb.JwtRule(
        issuer=rule.issuer,
        keys=rule.keys,
        audiences=rule.audiences,
        sources=[pb.TokenSource(place=_PLACES[one.place], name=one.name, prefix=one.prefix) for one in rule.sources],
        forward=rule.forward,
        payload_header=rule.payload_header,
        claim_headers=[pb.ClaimHeader(header=one.header, claim=one.claim) for one in rule.claim_headers],
        spaced=rule.spaced,
    )


def _rule(message: pb.JwtRule) -> JwtRule:
    keys_of(message.keys)
    return JwtRule(
        issuer=message.issuer,
        keys=message.keys,
        audiences=tuple(message.audiences),
        sources=tuple(map(_source, message.sources)),
        forward=message.forward,
        payload_header=message.payload_header,
        claim_headers=tuple(ClaimHeader(one.header, tuple(one.claim)) for one in message.claim_headers),
        spaced=tuple(message.spaced),
    )


def _source(message: pb.TokenSource) -> TokenSource:
    if message.place not in _PLACE_OF:
        raise ValueError(f"unknown place {message.place} of a token")
    return TokenSource(_PLACE_OF[message.place], message.name, message.prefix)
