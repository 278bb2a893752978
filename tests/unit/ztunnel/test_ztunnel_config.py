from ipaddress import ip_address
from pathlib import Path

import pytest

from mesh.settings import SettingsError
from ztunnel.config import Config


def test_a_node_name_is_enough():
    config = Config.read({"NODE_NAME": "node-1"})
    assert config.node_name == "node-1"
    assert (
        config.control_plane.xds_address == config.control_plane.ca_address == "https://istiod.istio-system.svc:15012"
    )
    assert config.inpod_uds == Path("/var/run/ztunnel/ztunnel.sock")
    assert config.trust_domain == "cluster.local"
    assert config.secret_ttl == 86_400
    assert (config.cluster_domain, config.resolv_conf) == ("cluster.local", Path("/etc/resolv.conf"))
    assert config.supervisor_socket == Path("/run/ambit/ztunnel/supervisor.sock")
    assert (config.drain_seconds, config.relieved_seconds) == (5, 3600)


def test_spans_are_made_where_a_receiver_is_named():
    assert Config.read({"NODE_NAME": "node-1"}).tracing is None
    traced = Config.read({"NODE_NAME": "node-1", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}).tracing
    assert traced is not None
    assert traced.sampling.ratio == 0.01


def test_the_grace_period_of_the_pod_leaves_time_for_the_rest():
    assert Config.read({"NODE_NAME": "node-1", "TERMINATION_GRACE_PERIOD_SECONDS": "30"}).drain_seconds == 25


def test_everything_can_be_told():
    config = Config.read(
        {
            "NODE_NAME": "node-1",
            "INPOD_UDS": "/run/cni.sock",
            "XDS_ADDRESS": "https://10.96.0.15:15012",
            "CA_ADDRESS": "http://127.0.0.1:15010",
            "XDS_ROOT_CA": "/etc/root.pem",
            "ALT_XDS_HOSTNAME": "istiod.istio-system.svc",
            "AUTH_TOKEN": "/etc/token",
            "CLUSTER_ID": "west",
            "TRUST_DOMAIN": "Example.ORG",
            "CLUSTER_DOMAIN": "mesh.company",
            "AMBIT_RESOLV_CONF": "/etc/other.conf",
            "NETWORK": "net-1",
            "SECRET_TTL": "1h30m",
            "POD_NAME": "ztunnel-abc",
            "POD_NAMESPACE": "mesh",
            "INSTANCE_IP": "fd00::1",
            "AMBIT_RUN_DIR": "/run/elsewhere",
            "AMBIT_WORKER_CONNECTIONS": "500",
            "CRL_PATH": "/etc/ca-crl.pem",
            "CONNECTION_TERMINATION_DEADLINE": "7s",
            "AMBIT_UPGRADE_DRAIN_DEADLINE": "90s",
        }
    )
    assert config.control_plane.ca_address == "http://127.0.0.1:15010"
    assert config.control_plane.server_name == "istiod.istio-system.svc"
    assert config.trust_domain == "example.org"
    assert config.secret_ttl == 5400
    assert config.instance_ip == ip_address("fd00::1")
    assert config.run_dir == Path("/run/elsewhere")
    assert config.connections == 500
    assert config.crl_path == Path("/etc/ca-crl.pem")
    assert (config.drain_seconds, config.relieved_seconds) == (7, 90)
    assert config.keeper_socket == Path("/run/elsewhere/keeper.sock")


def test_an_empty_variable_is_as_good_as_none():
    config = Config.read({"NODE_NAME": "node-1", "CA_ADDRESS": "", "XDS_ADDRESS": "https://istiod:15012"})
    assert config.control_plane.ca_address == "https://istiod:15012"


@pytest.mark.parametrize(
    ("variable", "text", "fault"),
    [
        ("NODE_NAME", "", "NODE_NAME is not set: set it to the name of this Kubernetes node"),
        ("INPOD_UDS", "cni.sock", "not an absolute path; set it to the absolute path of the CNI agent's socket"),
        ("XDS_ADDRESS", "istiod:15012", "not an http or https URL; set it to a URL like"),
        ("XDS_ADDRESS", "https://istiod", "the URL has no port"),
        ("CA_ADDRESS", "https://istiod:x", "CA_ADDRESS='https://istiod:x'"),
        ("TRUST_DOMAIN", "a/b", "not a trust domain; set it to a domain like cluster.local"),
        ("SECRET_TTL", "0", "not a duration; set it to a duration like 24h"),
        ("SECRET_TTL", "soon", "SECRET_TTL='soon'"),
        ("INSTANCE_IP", "localhost", "set it to the IP address of ztunnel's pod"),
        ("AMBIT_WORKER_CONNECTIONS", "-1", "not a count; set it to a number like 16384"),
        ("TERMINATION_GRACE_PERIOD_SECONDS", "long", "set it to the seconds that ztunnel's pod has to end"),
        ("CONNECTION_TERMINATION_DEADLINE", "x", "set it to a duration like 5s"),
        ("AMBIT_UPGRADE_DRAIN_DEADLINE", "0", "set it to a duration like 1h or 90s"),
        ("POD_NAME", "a b", "a name has letters, digits"),
    ],
)
def test_a_fault_names_the_variable_and_the_mend(variable, text, fault):
    with pytest.raises(SettingsError) as caught:
        Config.read({"NODE_NAME": "node-1", variable: text})
    assert variable in str(caught.value)
    assert fault in str(caught.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(SettingsError) as caught:
        Config.read({"XDS_ADDRESS": "x", "SECRET_TTL": "y"})
    assert [line.split("=")[0].split()[0] for line in str(caught.value).splitlines()] == [
        "XDS_ADDRESS",
        "NODE_NAME",
        "SECRET_TTL",
    ]
