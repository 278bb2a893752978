"""Which traces are kept, and what a request's next hop is told of them. Pure: randomness is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from mesh import b3
from mesh.record import Event, Record, severe
from mesh.trace import SAMPLED, TRACEPARENT, TRACESTATE, RandomBytes, Step, TraceContext, tracestate

_ALL: Final = 1 << 64
_FIELDS: Final = frozenset({TRACEPARENT, TRACESTATE}) | b3.FIELDS

Headers = tuple[tuple[bytes, bytes], ...]


class Format(Enum):
    """How a trace is told from hop to hop, under the names of OTEL_PROPAGATORS."""

    W3C = "tracecontext"
    B3 = "b3"
    B3_SEVERAL = "b3multi"


_ONLY_W3C: Final = (Format.W3C,)


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is kept. A caller's decision stands; for a new trace its id decides, so that every hop decides alike."""

    ratio: float
    """The share of new traces, from 0 to 1."""
    formats: tuple[Format, ...] = _ONLY_W3C
    """Those that are read, the first that says something counts; and written, all of them."""
    _bound: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """The ratio in whole numbers; the usual formats as the one object that is soon recognised."""
        if self.formats == _ONLY_W3C:
            object.__setattr__(self, "formats", _ONLY_W3C)
        object.__setattr__(self, "_bound", round(self.ratio * _ALL))

    def keeps(self, trace: str) -> bool:
        """Whether a new trace of this id is kept; OpenTelemetry's TraceIdRatioBased decides the same."""
        return int(trace[16:], 16) < self._bound


def heard(fields: Iterable[tuple[bytes, bytes]], formats: Iterable[Format]) -> b3.Heard:
    """What fields about a trace tell of it: the caller's span, and whether that is to be kept."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    single = {name: found[0] for name, found in values.items() if len(found) == 1}
    for one in formats:
        context, wanted = _read(one, values, single)
        if context is not None or wanted is not None:
            return context, wanted
    return None, None


def entered(
    fields: Headers, sampling: Sampling, random: RandomBytes, *, carrier: TraceContext | None = None, first: bool = True
) -> tuple[Step, Headers]:
    """The step that a request makes here, and its fields as the next hop gets them.

    What names no trace continues its connection's (`carrier`) if it is the first request there, and begins one of its
    own if not: a connection that lives for weeks is no trace that anybody can read. Either way the two are linked.
    """
    known = [pair for pair in fields if pair[0] in _FIELDS]
    context: TraceContext | None = None
    wanted: bool | None = None
    if known:
        context, wanted = heard(known, sampling.formats)
        fields = tuple([pair for pair in fields if pair[0] not in _FIELDS])
    if context is None and first and wanted is None and carrier is not None:
        context, wanted = carrier, carrier.sampled
    step = continued(context, wanted, sampling, random, carrier)
    return step, (*fields, *told(step.own, sampling.formats))


def continued(
    parent: TraceContext | None,
    wanted: bool | None,
    sampling: Sampling,
    random: RandomBytes,
    carrier: TraceContext | None = None,
) -> Step:
    """A span of ours after `parent`, or the first of a new trace."""
    link = carrier if carrier is not None and (parent is None or carrier.trace != parent.trace) else None
    if parent is None:
        digits = random(24).hex()
        trace = digits[:32]
        keep = sampling.keeps(trace) if wanted is None else wanted
        return Step(TraceContext(trace, digits[32:], SAMPLED if keep else 0), "", link)
    keep = sampling.keeps(parent.trace) if wanted is None else wanted
    flags = (parent.flags & ~SAMPLED) | (SAMPLED if keep else 0)
    return Step(TraceContext(parent.trace, random(8).hex(), flags, parent.state), parent.span, link)


def told(own: TraceContext, formats: Iterable[Format]) -> Headers:
    """The fields that tell the next hop of our span."""
    if formats is _ONLY_W3C and not own.state:
        return ((TRACEPARENT, own.encode()),)
    fields: list[tuple[bytes, bytes]] = []
    for one in formats:
        match one:
            case Format.W3C:
                fields.append((TRACEPARENT, own.encode()))
                if own.state:
                    fields.append((TRACESTATE, own.state.encode("ascii")))
            case Format.B3:
                fields.extend(b3.single(own))
            case Format.B3_SEVERAL:
                fields.extend(b3.several(own))
    return tuple(fields)


def connection(step: Step | None) -> Headers:
    """The field of a CONNECT that tells of a span, where there is one."""
    return ((TRACEPARENT, step.own.encode()),) if step is not None else ()


def kept(record: Record) -> bool:
    """Whether a record becomes a span that is exported: where its trace is kept, and always where it tells of an error.

    What the caller is answered with 5xx is an error, and so is whatever a proxy refused or lost.
    """
    if record.step is None or record.event is Event.OPENED:
        return False
    if record.step.own.sampled:
        return True
    return severe(record) or (record.http is not None and record.http.status >= 500)


def _read(one: Format, values: dict[bytes, list[bytes]], single: dict[bytes, bytes]) -> b3.Heard:
    match one:
        case Format.W3C:
            state = tracestate(values.get(TRACESTATE, []))
            context = TraceContext.parse(single.get(TRACEPARENT, b""), state)
            return context, None if context is None else context.sampled
        case Format.B3:
            return b3.read_single(single.get(b3.B3, b""))
        case Format.B3_SEVERAL:
            return b3.read_several(single)
