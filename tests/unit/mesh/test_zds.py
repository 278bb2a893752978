from dataclasses import replace

import pytest

from mesh import zds

ADD = zds.Add("6f0f2c1e-pod-uid", "web-1", "shop", "web")


@pytest.mark.parametrize(
    "request_", [ADD, replace(ADD, names=False), zds.Keep("u"), zds.Delete("u"), zds.SnapshotSent()]
)
def test_a_request_survives_the_wire(request_):
    assert zds.parse_request(zds.encode_request(request_)) == request_


@pytest.mark.parametrize("error", ["", "no worker: it has no certificate"])
def test_an_ack_survives_the_wire(error):
    assert zds.parse_ack(zds.encode_ack(zds.Ack(error))) == zds.Ack(error)


def test_a_greeting_survives_the_wire():
    assert zds.parse_hello(zds.encode_hello(zds.Hello())) == zds.Hello()


def test_the_bytes_are_those_of_istio():
    assert zds.encode_hello(zds.Hello()) == b"\x08\x01"
    assert zds.encode_request(zds.Add("u", "n", "s", "a")) == b"\x0a\x0e\x0a\x01u\x12\x09\x0a\x01n\x12\x01s\x1a\x01a"
    assert zds.encode_request(zds.Delete("u")) == b"\x12\x03\x12\x01u"
    assert zds.encode_request(zds.SnapshotSent()) == b"\x1a\x00"
    assert zds.encode_request(zds.Keep("u")) == b"\x2a\x03\x0a\x01u"
    assert zds.encode_ack(zds.Ack()) == b"\x0a\x00"


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"", "unknown kind"),
        (b"\xff\xff", "cannot be read"),
        (b"\x0a\x00", "without uid"),
        (b"\x12\x00", "without uid"),
        (b"\x0a\x03\x0a\x01u", "names no pod"),
        (b"\x1a\x00" * 600, "at most 1024"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(packet, why):
    with pytest.raises(zds.ZdsError, match=why):
        zds.parse_request(packet)


def test_a_version_that_does_not_exist_is_refused():
    with pytest.raises(zds.ZdsError, match="only version 1"):
        zds.parse_hello(b"\x08\x07")


def test_a_long_error_still_fits_in_a_packet():
    packet = zds.encode_ack(zds.Ack("ü" * 2000))
    assert len(packet) <= zds.LARGEST_PACKET
    assert zds.parse_ack(packet).error.startswith("üü")


def test_a_request_that_fits_no_packet_is_not_sent():
    with pytest.raises(zds.ZdsError, match="does not fit"):
        zds.encode_request(zds.Keep("u" * 2000))


class TestResync:
    def test_pods_that_the_snapshot_did_not_name_are_released(self):
        resync = zds.Resync()
        for request in (
            zds.Add("a", "a", "ns", "sa"),
            zds.Keep("b"),
            zds.Keep("c"),
            zds.Delete("c"),
            zds.SnapshotSent(),
        ):
            resync.take(request)
        assert resync.complete
        assert resync.unnamed(frozenset("abcd")) == {"c", "d"}

    def test_keep_comes_only_before_the_end_of_the_snapshot(self):
        resync = zds.Resync()
        resync.take(zds.SnapshotSent())
        with pytest.raises(zds.ZdsError, match="after the end"):
            resync.take(zds.Keep("a"))

    def test_there_is_one_end_of_the_snapshot(self):
        resync = zds.Resync()
        resync.take(zds.SnapshotSent())
        with pytest.raises(zds.ZdsError, match="second end"):
            resync.take(zds.SnapshotSent())
