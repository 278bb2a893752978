"""The records of a TLS 1.3 connection whose handshake is done (RFC 8446, section 5).

OpenSSL shakes hands. The records behind the handshake are made and read here, by the AEADs of the `cryptography`
library, straight from and into the relay's buffers: through memory BIOs every byte is copied twice more, and the
interpreter's own OpenSSL may lack the machine's fastest AES.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag

from mesh.net.alerts import FATAL, WARNING, Alert, alert_name

if TYPE_CHECKING:
    from mesh.net.traffickeys import TrafficKeys

LARGEST: Final = 16_384
"""The most plaintext that one record holds."""
_HEAD: Final = 5
_TAG: Final = 16
_GROWTH: Final = _HEAD + 1 + _TAG
"""A record is longer than its plaintext by its head, its type and its tag."""
_LARGEST_BODY: Final = LARGEST + 256
_FULL: Final = LARGEST + _GROWTH
_VERSION: Final = b"\x17\x03\x03"
_FULL_HEAD: Final = _VERSION + (LARGEST + 1 + _TAG).to_bytes(2)
_ALERT: Final = 21
_HANDSHAKE: Final = 22
_DATA: Final = 23
_NEW_SESSION_TICKET: Final = 4
_KEY_UPDATE: Final = 24
_LONGEST_MESSAGE: Final = 65_536
_IDLE: Final = 32
"""Records in a row without data that are borne: a peer may not make us work for nothing."""
_PER_KEY: Final = 1 << 24
"""Records that one key of AES-GCM may protect (RFC 8446, section 5.5)."""


class RecordFault(Exception):
    """The peer's records are at fault, or say that we are. `alert` is what the peer is to be told, if anything."""

    def __init__(self, detail: str, alert: Alert | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.alert = alert


class Records:
    """Both ways of one connection. After a RecordFault only `alert` may be called."""

    __slots__ = ("_client", "_idle", "_message", "_ours", "_theirs", "_update_due", "closed", "torn")

    def __init__(self, ours: TrafficKeys, theirs: TrafficKeys, early: bytes, *, client: bool) -> None:
        self._ours = ours
        self._theirs = theirs
        self._client = client
        self.torn = early
        """The beginning of a record: to be put in front of the bytes that come next."""
        self.closed = False
        """Whether the peer has said that it will send no more."""
        self._message = b""
        self._update_due = False
        self._idle = 0

    def encrypt(self, plain: memoryview, out: memoryview) -> memoryview:
        """Records that carry `plain`, in `out` if they fit. `plain`, if writable, is changed meanwhile and restored."""
        size = len(plain)
        needed = size + (size // LARGEST + 2) * _GROWTH
        if needed > len(out):
            out = memoryview(bytearray(needed))
        at = self._update(out) if self._update_due or self._ours.number >= _PER_KEY else 0
        start = 0
        if not plain.readonly:
            encrypt_into, nonce = self._ours.aead.encrypt_into, self._ours.nonce
            while start + LARGEST < size:
                end = start + LARGEST
                # The record's type belongs behind its plaintext, where the next record's first byte is.
                lent, plain[end] = plain[end], _DATA
                out[at : at + _HEAD] = _FULL_HEAD
                encrypt_into(nonce(), plain[start : end + 1], _FULL_HEAD, out[at + _HEAD : at + _FULL])
                plain[end] = lent
                start, at = end, at + _FULL
        while start < size:
            at = self._seal(bytes(plain[start : start + LARGEST]), _DATA, out, at)
            start += LARGEST
        return out[:at]

    def decrypt(self, cipher: memoryview, plain: memoryview, offset: int) -> int:
        """Write what `cipher` holds into `plain` from `offset` on; returns where it ends. The rest is left in `torn`.

        `plain` must have room for as much as `cipher`.
        """
        at, end = 0, len(cipher)
        decrypt_into, nonce = self._theirs.aead.decrypt_into, self._theirs.nonce
        while end - at >= _HEAD and not self.closed:
            body = at + _HEAD
            size = cipher[at + 3] << 8 | cipher[at + 4]
            _check_head(cipher[at], size)
            after = body + size
            if after > end:
                break
            inner = offset + size - _TAG
            try:
                decrypt_into(nonce(), cipher[body:after], cipher[at:body], plain[offset:inner])
            except InvalidTag:
                raise RecordFault("a record is forged or torn", Alert.BAD_RECORD_MAC) from None
            at = after
            if plain[inner - 1] == _DATA and 1 < inner - offset <= LARGEST + 1:
                offset = inner - 1
                self._idle = 0
            else:
                offset = self._unusual(plain, offset, inner)
                decrypt_into, nonce = self._theirs.aead.decrypt_into, self._theirs.nonce
        self.torn = bytes(cipher[at:])
        return offset

    def alert(self, code: Alert) -> bytes:
        """The record that says so; nothing may follow it."""
        out = memoryview(bytearray(2 + _GROWTH))
        self._seal(bytes((WARNING if code is Alert.CLOSE_NOTIFY else FATAL, code)), _ALERT, out, 0)
        return bytes(out)

    def _seal(self, content: bytes, kind: int, out: memoryview, at: int) -> int:
        body = at + _HEAD
        after = body + len(content) + 1 + _TAG
        head = _VERSION + (after - body).to_bytes(2)
        out[at:body] = head
        self._ours.aead.encrypt_into(self._ours.nonce(), content + bytes((kind,)), head, out[body:after])
        return after

    def _update(self, out: memoryview) -> int:
        """Announce new keys of ours and use them (RFC 8446, section 4.6.3). Whoever asked for it is answered so."""
        self._update_due = False
        at = self._seal(bytes((_KEY_UPDATE, 0, 0, 1, 0)), _HANDSHAKE, out, 0)
        self._ours.update()
        return at

    def _unusual(self, plain: memoryview, offset: int, end: int) -> int:
        """A record that is padded, empty, or carries no data; returns where the data ends now."""
        content = bytes(plain[offset:end]).rstrip(b"\0")
        kind, content = content[-1:], content[:-1]
        if len(content) > LARGEST:
            raise RecordFault("a record holds too much", Alert.RECORD_OVERFLOW)
        if kind == bytes((_DATA,)) and content:
            self._idle = 0
            return offset + len(content)
        self._idle += 1
        if self._idle > _IDLE:
            raise RecordFault("a flood of records without data", Alert.UNEXPECTED_MESSAGE)
        if kind == bytes((_ALERT,)):
            self._heed(content)
        elif kind == bytes((_HANDSHAKE,)) and content:
            self._message += content
            self._read_messages()
        elif kind != bytes((_DATA,)):
            raise RecordFault("a record of a type that has no place here", Alert.UNEXPECTED_MESSAGE)
        return offset

    def _heed(self, content: bytes) -> None:
        if len(content) != 2:
            raise RecordFault("an alert that is none", Alert.DECODE_ERROR)
        code = content[1]
        if code == Alert.CLOSE_NOTIFY:
            self.closed = True
        elif code != Alert.USER_CANCELED:
            raise RecordFault(f"the peer says: {alert_name(code)}")

    def _read_messages(self) -> None:
        while len(self._message) >= 4:
            kind, size = self._message[0], int.from_bytes(self._message[1:4])
            body, rest = self._message[4 : 4 + size], self._message[4 + size :]
            if kind == _KEY_UPDATE and size == 1:
                if len(body) == 1:
                    self._rekey(body[0], last=not rest)
            elif kind != _NEW_SESSION_TICKET or not self._client or size > _LONGEST_MESSAGE:
                raise RecordFault("a handshake message that has no place here", Alert.UNEXPECTED_MESSAGE)
            if len(body) < size:
                return
            self._message = rest  # a ticket is of no use: sessions are not resumed

    def _rekey(self, asks: int, *, last: bool) -> None:
        if not last:
            raise RecordFault("something follows new keys in the same record", Alert.UNEXPECTED_MESSAGE)
        if asks > 1:
            raise RecordFault("a key update that is none", Alert.ILLEGAL_PARAMETER)
        self._theirs.update()
        self._update_due |= bool(asks)


def _check_head(kind: int, size: int) -> None:
    if kind != _DATA:
        raise RecordFault(f"a record of type {kind}", Alert.UNEXPECTED_MESSAGE)
    if size > _LARGEST_BODY:
        raise RecordFault(f"a record of {size} bytes", Alert.RECORD_OVERFLOW)
    if size <= _TAG:
        raise RecordFault(f"a record of {size} bytes", Alert.DECODE_ERROR)
