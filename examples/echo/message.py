"""The protobuf message of the echo service: one string, field 1 (tag 0x0a), for requests and answers alike."""


def encode(said: str) -> bytes:
    """The message's bytes."""
    data = said.encode()
    length, prefix = len(data), bytearray(b"\x0a")
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(prefix + bytes([length])) + data if data else b""


def decode(data: bytes) -> str:
    """The string in the message. Raises ValueError when the message is not of this kind."""
    if not data:
        return ""
    if data[0] != 0x0A:
        raise ValueError(f"expected field 1, a string; the tag is {data[0]:#x}")
    length, at = 0, 1
    for at in range(1, min(len(data), 6)):
        length |= (data[at] & 0x7F) << 7 * (at - 1)
        if not data[at] & 0x80:
            break
    return data[at + 1 : at + 1 + length].decode()
