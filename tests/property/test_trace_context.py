from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.propagators.textmap import DefaultGetter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mesh import b3
from mesh.sampling import Format, Sampling, entered, heard
from mesh.trace import TraceContext, tracestate

hexadecimal = "0123456789abcdef"
names = st.text(hexadecimal, min_size=32, max_size=32).filter(lambda text: bool(text.strip("0")))
spans = st.text(hexadecimal, min_size=16, max_size=16).filter(lambda text: bool(text.strip("0")))
contexts = st.builds(TraceContext, names, spans, st.integers(0, 3))
flags = st.sampled_from(["00", "01", "02", "ff", "0g"])
versions = st.sampled_from(["00", "01", "ff", "0"])
more = st.sampled_from(["", "-x", "x"])
near_misses = st.one_of(
    st.binary(max_size=80),
    st.builds("{}-{}-{}-{}{}".format, versions, names, spans, flags, more).map(str.encode),
)


@given(contexts)
def test_a_traceparent_reads_as_it_was_written(context: TraceContext) -> None:
    assert TraceContext.parse(context.encode()) == context


@given(contexts)
def test_b3_reads_as_it_was_written(context: TraceContext) -> None:
    plain = TraceContext(context.trace, context.span, context.flags & 1)
    assert heard(b3.single(context), (Format.B3,)) == (plain, plain.sampled)
    assert heard(b3.several(context), (Format.B3_SEVERAL,)) == (plain, plain.sampled)


@given(near_misses)
def test_we_read_a_traceparent_as_opentelemetry_does_or_not_at_all(value: bytes) -> None:
    ours = TraceContext.parse(value)
    propagator = TraceContextTextMapPropagator()
    carrier = {"traceparent": value.decode("latin-1")}
    theirs = get_current_span(propagator.extract(carrier, getter=DefaultGetter())).get_span_context()
    if ours is not None:
        assert (int(ours.trace, 16), int(ours.span, 16)) == (theirs.trace_id, theirs.span_id)
        assert ours.sampled == theirs.trace_flags.sampled


@given(names, st.floats(0, 1))
def test_a_new_trace_is_kept_as_opentelemetry_keeps_it(trace: str, ratio: float) -> None:
    theirs = TraceIdRatioBased(ratio).should_sample(None, int(trace, 16), "").decision.is_sampled()
    assert Sampling(ratio).keeps(trace) == theirs


@given(st.lists(st.text(max_size=40).map(lambda text: text.encode("utf-8")), max_size=5))
def test_a_tracestate_is_stable_and_printable(values: list[bytes]) -> None:
    state = tracestate(values)
    assert state.isascii()
    assert state.isprintable()
    assert tracestate([state.encode()]) == state


@given(
    st.lists(st.tuples(st.sampled_from([b"traceparent", b"tracestate", b"b3", b"x-b3-traceid", b"x"]), st.binary())),
    st.lists(st.sampled_from(Format), unique=True, min_size=1).map(tuple),
)
def test_whatever_comes_in_the_next_hop_gets_one_good_trace(
    fields: list[tuple[bytes, bytes]], formats: tuple[Format, ...]
) -> None:
    step, sent = entered(tuple(fields), Sampling(1.0, formats), lambda count: b"\x11" * count)
    context, wanted = heard(sent, formats)
    assert context is not None
    assert (context.trace, context.span, wanted) == (step.own.trace, step.own.span, step.own.sampled)
    assert [pair for pair in sent if pair[0] == b"x"] == [pair for pair in fields if pair[0] == b"x"]
