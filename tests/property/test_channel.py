"""The channel between workers and supervisor: what is said arrives, however it is cut; garbage is only refused."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.address import Address
from mesh.identity import Identity
from mesh.record import Event
from mesh.refusal import Reason, Refusal
from mesh.snapshot import Drop, Put
from mesh.trace import Step, TraceContext
from mesh.workload import Membership, Port, Service, Workload
from ztunnel.channel.frames import ChannelError, Frames, frame
from ztunnel.channel.message import (
    Ask,
    Forget,
    Hold,
    Report,
    Resolve,
    Resolved,
    Revoked,
    Sign,
    Signed,
    Unsigned,
    Update,
    from_supervisor,
    from_worker,
    to_supervisor,
    to_worker,
)
from ztunnel.channel.naming import Naming, Outcome
from ztunnel.channel.sighting import Sighting

TEXTS = st.text(max_size=20)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
IPS = st.ip_addresses().filter(lambda ip: ip.version == 4 or ip.ipv4_mapped is None).map(lambda ip: ip_address(str(ip)))
ADDRESSES = st.builds(Address, IPS.filter(lambda ip: not getattr(ip, "scope_id", None)), st.integers(1, 65535))
REFUSALS = st.builds(Refusal, st.sampled_from(list(Reason)), TEXTS)
SECONDS = st.floats(0, 1e9, allow_nan=False)
HEXADECIMAL = "0123456789abcdef"
STEPS = st.builds(
    Step,
    st.builds(
        TraceContext,
        st.text(HEXADECIMAL, min_size=32, max_size=32).filter(lambda text: bool(text.strip("0"))),
        st.text(HEXADECIMAL, min_size=16, max_size=16).filter(lambda text: bool(text.strip("0"))),
        st.integers(0, 3),
    ),
    st.just("") | st.text(HEXADECIMAL, min_size=16, max_size=16).filter(lambda text: bool(text.strip("0"))),
)
MOMENTS = st.lists(st.tuples(TEXTS, SECONDS), max_size=16).map(tuple)
TIMES = st.integers(0, 2**63 - 1)
SIGHTINGS = st.builds(
    Sighting,
    event=st.sampled_from(list(Event)),
    outbound=st.booleans(),
    source=st.none() | ADDRESSES,
    destination=st.none() | ADDRESSES,
    peer=st.none() | st.builds(Identity, NAMES, NAMES, NAMES),
    endpoint=TEXTS,
    tunnel=st.none() | ADDRESSES,
    service=TEXTS,
    sent=st.integers(0, 2**63),
    received=st.integers(0, 2**63),
    seconds=SECONDS,
    connect_seconds=st.none() | SECONDS,
    first_byte_seconds=st.none() | SECONDS,
    ending=TEXTS,
    mutual_tls=st.booleans(),
    refusal=st.none() | REFUSALS,
    policy=TEXTS,
    trace=TEXTS,
).flatmap(lambda seen: st.just(seen) | st.builds(replace, st.just(seen), step=STEPS, moments=MOMENTS, ended=TIMES))
QUESTIONS = st.one_of(
    st.builds(Ask, st.lists(IPS, max_size=5).map(tuple)),
    st.builds(Forget, st.lists(IPS, max_size=5).map(tuple)),
    st.builds(Sign, TEXTS),
    st.builds(Hold, st.integers(0, 2**40)),
    st.builds(Report, SIGHTINGS, st.integers(0, 2**40)),
    st.builds(Resolve, NAMES),
    st.builds(Naming, st.sampled_from(list(Outcome)), st.sampled_from(["A", "AAAA", "other"]),
              st.sampled_from(["udp", "tcp"]), SECONDS),
)  # fmt: skip
WORKLOADS = st.builds(
    Workload, uid=NAMES, name=NAMES, namespace=NAMES, addresses=st.lists(IPS, max_size=2).map(tuple),
    services=st.lists(st.builds(Membership, NAMES, st.just((Port(1, 2),))), max_size=2).map(tuple),
)  # fmt: skip
CHANGES = st.one_of(
    st.builds(Put, WORKLOADS),
    st.builds(Put, st.builds(Service, NAMES, NAMES, NAMES)),
    st.builds(Drop, st.sampled_from([Workload, Service]), NAMES),
)
ANSWERS = st.one_of(
    st.builds(
        Update,
        st.none() | NAMES,
        st.lists(CHANGES, max_size=4).map(tuple),
        st.lists(IPS, max_size=4).map(tuple),
        st.booleans(),
    ),
    st.builds(Signed, TEXTS, TEXTS),
    st.builds(Revoked, TEXTS),
    st.builds(Unsigned, REFUSALS),
    st.builds(Resolved, NAMES, st.booleans(), TEXTS, st.lists(IPS, max_size=4).map(tuple)),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["ask", "forget", "sign", "report", "resolve", "naming", "update", "signed", "resolved"])


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(st.lists(QUESTIONS, max_size=4), st.lists(st.integers(0, 10_000), max_size=8))
def test_what_a_worker_says_arrives(said, cuts):
    stream = b"".join(frame(to_supervisor(one)) for one in said)
    frames = Frames(1 << 20)
    assert [from_worker(one) for piece in pieces(stream, cuts) for one in frames.receive(piece)] == said


@given(st.lists(ANSWERS, max_size=4), st.lists(st.integers(0, 10_000), max_size=8))
def test_what_the_supervisor_says_arrives(said, cuts):
    stream = b"".join(frame(to_worker(one)) for one in said)
    frames = Frames(1 << 20)
    assert [from_supervisor(one) for piece in pieces(stream, cuts) for one in frames.receive(piece)] == said


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for(data):
    try:
        for document in Frames(1 << 16).receive(data):
            from_worker(document)
    except ChannelError:
        pass


@given(KINDS, JSON)
def test_a_message_of_the_wrong_shape_is_refused(kind, body):
    for read in (from_worker, from_supervisor):
        with contextlib.suppress(ChannelError):
            read({kind: body})


@given(QUESTIONS, st.data())
def test_a_message_with_one_thing_changed_is_read_or_refused(said, data):
    document = json.loads(json.dumps(to_supervisor(said)))
    ((kind, body),) = document.items()
    name = data.draw(st.sampled_from(sorted(body)))
    body[name] = data.draw(JSON)
    with contextlib.suppress(ChannelError):
        from_worker({kind: body})


@given(QUESTIONS, st.data())
def test_a_message_cut_short_is_waited_for(said, data):
    whole = frame(to_supervisor(said))
    frames = Frames(1 << 20)
    length = data.draw(st.integers(0, len(whole) - 1))
    assert list(frames.receive(whole[:length])) == []
    assert [from_worker(one) for one in frames.receive(whole[length:])] == [said]


@given(st.integers((1 << 16) + 1, (1 << 32) - 1), st.binary(max_size=50))
def test_a_length_beyond_what_is_allowed_is_refused_at_once(length, rest):
    with pytest.raises(ChannelError):
        list(Frames(1 << 16).receive(length.to_bytes(4, "big") + rest))


@given(st.integers(1, 60_000), st.sampled_from(["[", '{"a":', "9", '"']))
def test_deep_and_long_json_is_refused_and_nothing_worse(count, piece):
    body = (piece * count).encode()[: 1 << 16]
    with contextlib.suppress(ChannelError):
        for document in Frames(1 << 16).receive(len(body).to_bytes(4, "big") + body):
            from_worker(document)


def test_a_message_that_is_too_long_is_refused_before_it_is_there():
    frames = Frames(16)
    try:
        list(frames.receive(b"\0\0\0\x11"))
    except ChannelError:
        return
    raise AssertionError("it was waited for")
