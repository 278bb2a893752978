"""What an external authorizer's answer means for a request (envoy.service.auth.v3, CheckResponse). Pure.

An answer that cannot be understood allows nothing. What frames a message, and where it goes, is not the authorizer's
to change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from google.protobuf.message import DecodeError

from mesh.refusal import Reason, Refusal
from mesh.route import HeaderModifier
from mesh.xds.pb import extauthz_pb2 as pb
from waypoint import filters
from waypoint.answer import Answer
from waypoint.check import Check
from waypoint.http.events import Headers, RequestHead
from waypoint.plan import Forward

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_\x60|~]{1,256}")
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]{0,16384}")
_MOST: Final = 128
"""Headers that one answer may change."""
_NO_CHANGE: Final = HeaderModifier()


@dataclass(frozen=True, slots=True)
class Advice:
    """What the authorizer wants: the request to go on with these changes, or this answer."""

    denied: Answer | None = None
    request: HeaderModifier = _NO_CHANGE
    response: HeaderModifier = _NO_CHANGE


def read_advice(check: Check, body: bytes, request: RequestHead) -> Advice:
    """What a CheckResponse means for this request."""
    try:
        found = pb.CheckResponse.FromString(body)
    except DecodeError:
        return failed(check, "its answer cannot be read")
    which = found.WhichOneof("http_response")
    if which is None and not found.HasField("status"):
        return failed(check, "its answer says nothing")
    try:
        if found.status.code != 0 or which == "denied_response":
            return Advice(_denied(check, found))
        wanted = found.ok_response
        asked = _changes(wanted.headers, wanted.headers_to_remove, request.headers)
        return Advice(None, asked, _changes(wanted.response_headers_to_add, (), ()))
    except ValueError as fault:
        return failed(check, str(fault))


def changed_by(decision: Forward | Answer, advice: Advice) -> Forward | Answer:
    """The decision with what the authorizer wants changed."""
    if isinstance(decision, Answer):
        return replace(decision, headers=filters.changed(decision.headers, advice.response))
    request = replace(decision.request, headers=filters.changed(decision.request.headers, advice.request))
    return replace(decision, request=request, response_changes=(*decision.response_changes, advice.response))


def failed(check: Check, why: str) -> Advice:
    """What becomes of a request about which nothing was learned: its policy's author has said so beforehand."""
    authorizer = check.authorizer
    if authorizer.fail_open:
        return Advice()
    detail = f"authorizer {authorizer.service}:{authorizer.port} of CUSTOM policy {check.policy}: {why}"
    return Advice(Answer(authorizer.status, refusal=Refusal(Reason.AUTHORIZER_FAILED, detail), policy=check.policy))


def _denied(check: Check, found: pb.CheckResponse) -> Answer:
    wanted = found.denied_response
    status = wanted.status.code if 200 <= wanted.status.code < 600 else 403
    headers = filters.changed((), _changes(wanted.headers, (), ()))
    detail = f"authorizer {check.authorizer.service} of CUSTOM policy {check.policy} denies it"
    return Answer(status, wanted.body, headers, Refusal(Reason.POLICY_DENIED, detail), policy=check.policy)


def _changes(options: Iterable[pb.HeaderValueOption], remove: Iterable[str], there: Headers) -> HeaderModifier:
    """The changes that are wanted; ValueError if one of them is none, or there are too many."""
    given, gone = list(options), list(remove)
    if len(given) + len(gone) > _MOST:
        raise ValueError(f"it wants to change {len(given) + len(gone)} headers")
    put: list[tuple[str, str]] = []
    add: list[tuple[str, str]] = []
    for one in given:
        name = one.header.key.lower()
        text = one.header.raw_value.decode("latin-1") or one.header.value.encode().decode("latin-1")
        if not (_NAME.fullmatch(name) or name.startswith(":")) or not _VALUE.fullmatch(text):
            raise ValueError(f"it wants a header {name[:64]!r} that is none")
        exists = any(field == name.encode() for field, _ in there)
        match _action(one):
            case pb.AppendAction.ADD_IF_ABSENT if exists:
                pass
            case pb.AppendAction.OVERWRITE_IF_EXISTS if not exists:
                pass
            case pb.AppendAction.APPEND_IF_EXISTS_OR_ADD:
                add.append((name, text))
            case _:
                put.append((name, text))
    return HeaderModifier(tuple(put), tuple(add), tuple(name.lower() for name in gone))


def _action(one: pb.HeaderValueOption) -> int:
    """In answers of authorizers, what says nothing overwrites."""
    if one.HasField("append"):
        appends = one.append.value
        return pb.AppendAction.APPEND_IF_EXISTS_OR_ADD if appends else pb.AppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    return one.append_action or pb.AppendAction.OVERWRITE_IF_EXISTS_OR_ADD
