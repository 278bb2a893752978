"""What a waypoint's Deployment tells it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mesh.settings import SettingsError
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
