"""Whether a proxy makes spans and where they go, as an operator says it by OpenTelemetry's environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from mesh import settings
from mesh.sampling import Format, Sampling

MENDS: Final = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "the URL of an OTLP receiver like http://collector.observability:4317",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "the URL of an OTLP receiver of traces, or leave it out",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc or http/protobuf",
    "OTEL_TRACES_SAMPLER_ARG": "the share of new traces to keep, a number from 0 to 1 like 0.01",
    "OTEL_PROPAGATORS": "one or more of tracecontext, b3 and b3multi with commas between",
}
"""For each variable that is read here, what to set it to."""


class Protocol(Enum):
    """How spans are sent."""

    GRPC = "grpc"
    HTTP = "http/protobuf"


@dataclass(frozen=True, slots=True)
class Tracing:
    """The spans of one proxy."""

    sampling: Sampling
    protocol: Protocol
    exporter: Mapping[str, str] = field(repr=False)
    """The environment of the exporter: every OTEL_ variable. There may be a password to the receiver among them."""

    @classmethod
    def read(cls, variables: settings.Variables) -> Tracing | None:
        """Take the settings from an environment whose mends include `MENDS`; None where no receiver is named.

        Faults are left for the environment's `check`.
        """
        everywhere = variables.get("OTEL_EXPORTER_OTLP_ENDPOINT", _url_if_any, "")
        traces = variables.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", _url_if_any, "")
        protocol = variables.get("OTEL_EXPORTER_OTLP_PROTOCOL", Protocol, Protocol.GRPC.value)
        sampling = Sampling(
            variables.get("OTEL_TRACES_SAMPLER_ARG", settings.share, "0.01"),
            variables.get("OTEL_PROPAGATORS", _formats, Format.W3C.value),
        )
        if not (everywhere or traces):
            return None
        return cls(sampling, protocol, variables.beginning("OTEL_"))


def _url_if_any(text: str) -> str:
    return settings.url(text) if text else ""


def _formats(text: str) -> tuple[Format, ...]:
    return tuple(Format(part.strip()) for part in text.split(","))
