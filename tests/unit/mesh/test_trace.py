from __future__ import annotations

import pytest

from mesh import b3
from mesh.sampling import Format, Sampling, continued, entered, heard
from mesh.trace import SAMPLED, TraceContext, tracestate

TRACE = "000102030405060708090a0b0c0d0e0f"
SPAN = "1011121314151617"
CALLER = TraceContext(TRACE, SPAN, SAMPLED)
EVERYTHING = Sampling(1.0)
NOTHING = Sampling(0.0)


def dice(count: int) -> bytes:
    return bytes(range(1, count + 1))


def test_a_trace_begins_with_random_bytes() -> None:
    first = TraceContext.of(bytes(range(24)))
    assert first.encode() == f"00-{TRACE}-{SPAN}-00".encode()
    assert TraceContext.parse(first.encode()) == first


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00-" + b"0" * 32 + b"-1011121314151617-00",
        b"00-000102030405060708090a0b0c0d0e0f-" + b"0" * 16 + b"-00",
        b"00-000102030405060708090A0B0C0D0E0F-1011121314151617-00",
        b"ff-000102030405060708090a0b0c0d0e0f-1011121314151617-00",
        b"00-000102030405060708090a0b0c0d0e0f-1011121314151617-00-more",
        b"01-000102030405060708090a0b0c0d0e0f-1011121314151617-00more",
        b"01-000102030405060708090a0b0c0d0e0f-1011121314151617-00-" + b"m" * 500,
        b" 00-000102030405060708090a0b0c0d0e0f-1011121314151617-00",
        b"00-000102030405060708090a0b0c0d0e0f-1011121314151617-00\n",
    ],
)
def test_a_traceparent_that_is_not_well_formed_is_none(value: bytes) -> None:
    assert TraceContext.parse(value) is None


def test_a_later_version_counts_by_the_part_that_is_known() -> None:
    assert TraceContext.parse(f"cc-{TRACE}-{SPAN}-ff-more".encode()) == TraceContext(TRACE, SPAN, 3)


def test_flags_that_nobody_knows_are_not_passed_on() -> None:
    found = TraceContext.parse(f"00-{TRACE}-{SPAN}-ff".encode())
    assert found is not None
    assert found.encode().endswith(b"-03")


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([b"a=1,b=2"], "a=1,b=2"),
        ([b"a=1", b" b=2 "], "a=1,b=2"),
        ([b"tenant@vendor=x y"], "tenant@vendor=x y"),
        ([b"a=1,,b=2"], "a=1,b=2"),
        ([b"a=1,a=2"], ""),
        ([b"A=1"], ""),
        ([b"a=1=2"], ""),
        ([b"a"], ""),
        ([",".join(f"k{n}=v" for n in range(33)).encode()], ""),
        ([b"a=" + b"v" * 600], ""),
        ([], ""),
    ],
)
def test_tracestate_is_one_list_or_nothing(values: list[bytes], state: str) -> None:
    assert tracestate(values) == state


@pytest.mark.parametrize(
    ("fields", "context", "wanted"),
    [
        ([(b"b3", f"{TRACE}-{SPAN}-1".encode())], CALLER, True),
        ([(b"b3", f"{TRACE}-{SPAN}-d-{SPAN}".encode())], CALLER, True),
        ([(b"b3", f"{TRACE}-{SPAN}-0".encode())], TraceContext(TRACE, SPAN), False),
        ([(b"b3", f"{TRACE}-{SPAN}".encode())], TraceContext(TRACE, SPAN), None),
        ([(b"b3", f"{SPAN}-{SPAN}-1".encode())], TraceContext("0" * 16 + SPAN, SPAN, SAMPLED), True),
        ([(b"b3", b"0")], None, False),
        ([(b"b3", b"1-1")], None, None),
        ([(b"b3", ("0" * 32 + "-" + SPAN).encode())], None, None),
        ([(b"x-b3-traceid", TRACE.encode()), (b"x-b3-spanid", SPAN.encode()), (b"x-b3-sampled", b"1")], CALLER, True),
        ([(b"x-b3-traceid", TRACE.upper().encode()), (b"x-b3-spanid", SPAN.encode()), (b"x-b3-flags", b"1")],
         CALLER, True),
        ([(b"x-b3-sampled", b"0")], None, False),
        ([(b"x-b3-traceid", TRACE.encode())], None, None),
    ],
)  # fmt: skip
def test_b3_is_read_as_zipkin_writes_it(
    fields: list[tuple[bytes, bytes]], context: TraceContext | None, wanted: bool | None
) -> None:
    assert heard(fields, (Format.B3, Format.B3_SEVERAL)) == (context, wanted)


def test_b3_is_written_as_it_is_read() -> None:
    assert heard(b3.single(CALLER), (Format.B3,)) == (CALLER, True)
    assert heard(b3.several(CALLER), (Format.B3_SEVERAL,)) == (CALLER, True)


def test_a_request_continues_its_callers_trace_and_the_next_hop_is_told_of_our_span() -> None:
    fields = (
        (b"host", b"a"), (b"traceparent", CALLER.encode()), (b"tracestate", b"a=1"), (b"tracestate", b"b=2"),
    )  # fmt: skip
    step, sent = entered(fields, NOTHING, dice)
    assert (step.own.trace, step.parent, step.own.sampled) == (TRACE, SPAN, True)
    assert sent == ((b"host", b"a"), (b"traceparent", step.own.encode()), (b"tracestate", b"a=1,b=2"))
    assert step.own.span == dice(8).hex()


def test_a_caller_that_does_not_keep_its_trace_is_followed() -> None:
    step, _ = entered(((b"traceparent", TraceContext(TRACE, SPAN).encode()),), EVERYTHING, dice)
    assert not step.own.sampled


def test_what_names_no_trace_begins_one_and_a_state_without_a_trace_is_dropped() -> None:
    step, sent = entered(((b"traceparent", b"garbage"), (b"tracestate", b"a=1")), EVERYTHING, dice)
    assert (step.parent, step.own.sampled) == ("", True)
    assert sent == ((b"traceparent", step.own.encode()),)


def test_two_traceparents_are_none() -> None:
    step, sent = entered(((b"traceparent", CALLER.encode()),) * 2, NOTHING, dice)
    assert step.parent == ""
    assert len(sent) == 1


def test_the_first_request_continues_its_connections_trace_and_later_ones_are_linked_to_it() -> None:
    first, _ = entered((), NOTHING, dice, carrier=CALLER)
    assert (first.own.trace, first.parent, first.link, first.own.sampled) == (TRACE, SPAN, None, True)
    later, _ = entered((), NOTHING, dice, carrier=CALLER, first=False)
    assert (later.parent, later.link, later.own.sampled) == ("", CALLER, False)
    named, _ = entered(((b"traceparent", f"00-{'a' * 32}-{SPAN}-01".encode()),), NOTHING, dice, carrier=CALLER)
    assert (named.parent, named.link) == (SPAN, CALLER)


def test_a_decision_without_ids_counts_for_a_new_trace() -> None:
    step, sent = entered(((b"b3", b"0"),), Sampling(1.0, (Format.B3,)), dice)
    assert not step.own.sampled
    assert sent == ((b"b3", f"{step.own.trace}-{step.own.span}-0".encode()),)


def test_every_format_that_is_asked_for_is_written() -> None:
    _, sent = entered((), Sampling(1.0, (Format.W3C, Format.B3, Format.B3_SEVERAL)), dice)
    assert [name for name, _ in sent] == [b"traceparent", b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled"]


def test_an_open_decision_is_made_by_the_trace_id() -> None:
    assert continued(TraceContext(TRACE, SPAN), None, EVERYTHING, dice).own.sampled
    assert not continued(CALLER, None, NOTHING, dice).own.sampled
