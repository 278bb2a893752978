"""Whom a request is from by the tokens in it, as RequestAuthentications have it. Pure; the time is handed in.

A request without a token goes on, and is from nobody. One with a token is from whom a valid token names; if a rule
looks at a token that is valid by no rule, the request ends here: the backend might believe what we do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import itemgetter
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from mesh.authentication import JwtRule, Place, TokenSource
from mesh.refusal import Reason, Refusal
from mesh.token import Fault, Token, verify
from waypoint.answer import Answer
from waypoint.http.events import Headers, RequestHead

_NAME_OF: Final = itemgetter(0)
_KEPT: Final = 1024
"""Valid tokens that are remembered, so that each is verified once."""
_MOST: Final = 8
"""Different tokens of one request."""


@dataclass(frozen=True, slots=True)
class Identified:
    """A request as backends see it, and the token that says whom it is from, if there is one."""

    request: RequestHead
    token: Token | None = None


class Authentication:
    """The rules in force for a callee. It remembers valid tokens, by their hash, until they end."""

    def __init__(self, rules: tuple[JwtRule, ...]) -> None:
        self.sources = [(source, rule) for rule in rules for source in rule.sources]
        """Where tokens are looked for, and by which rule."""
        headers = [one.header for rule in rules for one in rule.claim_headers]
        headers += [rule.payload_header for rule in rules]
        self._ours = frozenset(name.encode() for name in headers if name)
        """The headers that we write: from a caller they would be a forgery."""
        names = {b"cookie" if one.place is Place.COOKIE else one.name.encode() for one, _ in self.sources}
        self._looked_at = self._ours | names
        """Header names; without any of them, and without a query, there is nothing to be done."""
        self._valid: dict[bytes, Token] = {}
        self.parameters = frozenset(
            source.name.encode() for source, _ in self.sources if source.place is Place.PARAMETER
        )
        """The parameters of the query in which tokens are looked for."""

    def identify(self, request: RequestHead, now: float) -> Identified | Answer:
        """Whom a request is from at this time (seconds since the epoch), or why it ends here."""
        if not (self.parameters and b"?" in request.path) and self._looked_at.isdisjoint(
            map(_NAME_OF, request.headers)
        ):
            return Identified(request)
        seen: dict[str, list[tuple[TokenSource, JwtRule]]] = {}
        for source, rule in self.sources:
            for text in _tokens(request, source):
                seen.setdefault(text, []).append((source, rule))
        if len(seen) > _MOST:
            return _refused(request, Fault.FORM)
        proven: Token | None = None
        clean = self._without_ours(request)
        for text, places in seen.items():
            token = self._token(text, [rule for _, rule in places], now)
            if isinstance(token, Fault):
                return _refused(request, token)
            proven = proven or token
            if not token.rule.forward:
                for source, _ in places:
                    clean = _without(clean, source, text)
        return Identified(clean if proven is None else _told(clean, proven), proven)

    @property
    def remembered(self) -> int:
        """How many tokens are remembered."""
        return len(self._valid)

    def _token(self, text: str, rules: list[JwtRule], now: float) -> Token | Fault:
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        known = self._valid.get(digest)
        if known is not None and known.rule in rules:
            if now < known.expires:
                return known
            del self._valid[digest]
        fault = Fault.ISSUER
        for rule in rules:
            found = verify(rule, text, now)
            if isinstance(found, Token):
                if len(self._valid) >= _KEPT:
                    del self._valid[next(iter(self._valid))]
                self._valid[digest] = found
                return found
            fault = fault if found is Fault.ISSUER else found
        return fault

    def _without_ours(self, request: RequestHead) -> RequestHead:
        if self._ours.isdisjoint(name for name, _ in request.headers):
            return request
        return replace(request, headers=tuple(field for field in request.headers if field[0] not in self._ours))


def authentication(rules: tuple[JwtRule, ...]) -> Authentication:
    """The one for these rules, shared by all who are under them."""
    made = _shared.get(rules)
    if made is None:
        if len(_shared) >= _MOST_SHARED:
            _shared.clear()
        made = _shared[rules] = Authentication(rules)
    return made


_MOST_SHARED: Final = 64
_shared: Final[dict[tuple[JwtRule, ...], Authentication]] = {}


def without_secrets(target: bytes, parameters: frozenset[bytes]) -> bytes:
    """A path whose query shows nobody the values of these parameters."""
    path, mark, query = target.partition(b"?")
    if not mark or not parameters:
        return target
    pairs = (pair.partition(b"=") for pair in query.split(b"&"))
    shown = (name + b"=..." if unquote_to_bytes(name) in parameters else name + sign + value
             for name, sign, value in pairs)  # fmt: skip
    return path + mark + b"&".join(shown)


def _tokens(request: RequestHead, source: TokenSource) -> Iterator[str]:
    """What stands in this place; as much as is there, for a backend may take the one or the other."""
    name = source.name.encode()
    if source.place is Place.HEADER:
        for field, value in request.headers:
            if field == name and (text := _after(source.prefix, value)):
                yield text
    elif source.place is Place.PARAMETER:
        for key, value in _parameters(request.path):
            if key == name and value:
                yield value.decode("latin-1")
    else:
        for field, value in request.headers:
            if field == b"cookie":
                yield from (text for key, text in map(_cookie, value.split(b";")) if key == name and text)


def _after(prefix: str, value: bytes) -> str:
    """The token behind the prefix, whose letter case does not count (RFC 9110, section 11.1); "" if it is not there."""
    text = value.decode("latin-1")
    if prefix and not text.lower().startswith(prefix.lower()):
        return ""
    return text[len(prefix) :].strip()


def _parameters(target: bytes) -> Iterator[tuple[bytes, bytes]]:
    _, mark, query = target.partition(b"?")
    if mark:
        for pair in query.split(b"&"):
            name, _, value = pair.partition(b"=")
            yield unquote_to_bytes(name), unquote_to_bytes(value)


def _cookie(pair: bytes) -> tuple[bytes, str]:
    name, _, value = pair.strip().partition(b"=")
    return name.strip(), value.strip().strip(b'"').decode("latin-1")


def _without(request: RequestHead, source: TokenSource, text: str) -> RequestHead:
    """The request without this token in this place."""
    name = source.name.encode()
    if source.place is Place.HEADER:
        kept = (one for one in request.headers if not (one[0] == name and _after(source.prefix, one[1]) == text))
        return replace(request, headers=tuple(kept))
    if source.place is Place.COOKIE:
        return replace(request, headers=tuple(_without_cookie(request.headers, name, text)))
    path, _, query = request.path.partition(b"?")
    own = (name, text.encode("latin-1"))
    pairs = [pair for pair in query.split(b"&") if tuple(map(unquote_to_bytes, pair.partition(b"=")[::2])) != own]
    return replace(request, path=path + b"?" + b"&".join(pairs) if pairs else path)


def _without_cookie(headers: Headers, name: bytes, text: str) -> Iterator[tuple[bytes, bytes]]:
    for field, value in headers:
        if field != b"cookie":
            yield field, value
            continue
        pairs = value.split(b";")
        kept = [pair for pair in pairs if _cookie(pair) != (name, text)]
        if len(kept) == len(pairs):
            yield field, value
        elif kept:
            yield field, b";".join(kept).strip()


def _told(request: RequestHead, token: Token) -> RequestHead:
    """The request with what its backend is to be told of the token."""
    rule = token.rule
    told = [(one.header, ",".join(token.texts(one.claim))) for one in rule.claim_headers]
    if rule.payload_header:
        told.append((rule.payload_header, token.payload))
    fields = tuple((name.encode(), text.encode("utf-8", "replace")) for name, text in told if _may_be_told(text))
    return replace(request, headers=(*request.headers, *fields)) if fields else request


def _may_be_told(text: str) -> bool:
    """Whether a header can carry it; with a line's end in it, it would be more than one header."""
    return bool(text) and not any(character < " " or character == "\x7f" for character in text)


def _refused(request: RequestHead, fault: Fault) -> Answer:
    """RFC 6750, section 3. A token for somebody else is 403, as in Envoy; all the others are 401."""
    refusal = Refusal(Reason.UNAUTHENTICATED, fault.value)
    if fault is Fault.AUDIENCE:
        return Answer(403, fault.value, refusal=refusal)
    path = request.path.partition(b"?")[0]
    realm = quote(b"http://" + request.authority + path, safe="/:@!$&'()*+,;=~-._%[]")
    challenge = f'Bearer realm="{realm}", error="invalid_token"'
    return Answer(401, fault.value, ((b"www-authenticate", challenge.encode()),), refusal)
