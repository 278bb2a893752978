"""What a waypoint's Deployment tells it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mesh.sampling import Format, Sampling
from mesh.settings import SettingsError
from mesh.tracing import Protocol
from waypoint.config import Config

GIVEN = {
    "POD_NAME": "waypoint-abc",
    "POD_NAMESPACE": "shop",
    "SERVICE_ACCOUNT": "waypoint",
    "GATEWAY_NAME": "waypoint",
    "INSTANCE_IP": "10.244.1.9",
    "XDS_ADDRESS": "https://10.96.0.15:15012",
}


def test_the_pod_and_the_gateway_are_told() -> None:
    config = Config.read(GIVEN)
    assert str(config.identity) == "spiffe://cluster.local/ns/shop/sa/waypoint"
    assert (config.gateway.namespace, config.gateway.name) == ("shop", "waypoint")
    assert config.gateway.address == ip_address("10.244.1.9")
    assert config.control_plane.ca_address == config.control_plane.xds_address
    assert config.secret_ttl == 86400


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Config.read({"INSTANCE_IP": "ten", "XDS_ADDRESS": "istiod", "AUTH_TOKEN": "token", "SECRET_TTL": "soon"})
    lines = str(caught.value).splitlines()
    assert {line.partition(" ")[0].partition("=")[0] for line in lines} == {
        "POD_NAME",
        "POD_NAMESPACE",
        "SERVICE_ACCOUNT",
        "GATEWAY_NAME",
        "INSTANCE_IP",
        "XDS_ADDRESS",
        "AUTH_TOKEN",
        "SECRET_TTL",
    }
    assert all("set it to" in line for line in lines)


def test_no_spans_are_made_unless_a_receiver_is_named() -> None:
    assert Config.read({**GIVEN, "OTEL_TRACES_SAMPLER_ARG": "1"}).tracing is None


def test_tracing_is_told_by_the_names_of_opentelemetry() -> None:
    otel = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
        "OTEL_PROPAGATORS": "b3, tracecontext",
    }
    tracing = Config.read({**GIVEN, **otel}).tracing
    assert tracing is not None
    assert tracing.protocol is Protocol.HTTP
    assert tracing.sampling == Sampling(0.01, (Format.B3, Format.W3C))
    assert tracing.exporter == otel
    assert "secret" not in repr(tracing)


def test_faults_of_tracing_are_told_with_their_mends() -> None:
    otel = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "collector",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke",
        "OTEL_TRACES_SAMPLER_ARG": "1.5",
        "OTEL_PROPAGATORS": "jaeger",
    }
    with pytest.raises(SettingsError) as caught:
        Config.read({**GIVEN, **otel})
    assert [line.partition("=")[0] for line in str(caught.value).splitlines()] == list(otel)
