"""Envoy as the peer: configurations that carry TCP over HBONE, or as it is, with policy, metrics and access log on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HBONE_PORT: Final = 15008
_MANY: Final = 2_000_000
Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What a client's Envoy does with connections to one of its local ports."""

    port: int
    upstream: str
    """IP address that it connects to."""
    target: int
    """The port that is wanted there: reached by a tunnel to HBONE_PORT, or directly."""
    plain: bool = False
    """No HBONE: Envoy's tcp_proxy alone."""
    pooled: bool = True
    """Whether tunnels share connections; else each has a TLS handshake of its own."""


def outbound(name: str, tunnels: Iterable[Tunnel], keys: Path) -> Config:
    """A client-side proxy."""
    listeners, clusters = [], {}
    for one in tunnels:
        kind = "plain" if one.plain else "pooled" if one.pooled else "single"
        cluster = f"{kind}-{one.upstream}" + (f"-{one.target}" if one.plain else "")
        clusters[cluster] = _upstream(cluster, one, name, keys)
        listeners.append(_listener(f"out-{one.port}", one.port, [_carry(one, cluster)]))
    return _config(listeners, clusters.values())


def inbound(name: str, ports: Iterable[int], keys: Path) -> Config:
    """A server-side proxy: CONNECTs to any host with one of these ports go to that port of the loopback."""
    ports = tuple(ports)
    connect = {"upgrade_type": "CONNECT", "connect_config": {}}
    hosts = [
        {
            "name": f"to-{port}",
            "domains": [f"*:{port}"],
            "routes": [
                {
                    "match": {"connect_matcher": {}},
                    "route": {"cluster": f"to-{port}", "timeout": "0s", "upgrade_configs": [connect]},
                }
            ],
        }
        for port in ports
    ]
    manager = _typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="in",
        codec_type="HTTP2",
        http2_protocol_options={"allow_connect": True, "max_concurrent_streams": _MANY},
        upgrade_configs=[{"upgrade_type": "CONNECT"}],
        route_config={"virtual_hosts": hosts},
        access_log=[_access_log("%REQ(:AUTHORITY)% %RESPONSE_CODE%")],
        access_log_options={"flush_access_log_on_new_request": True},
        http_filters=[
            {"name": "rbac", "typed_config": _rbac()},
            {"name": "router", "typed_config": _typed("envoy.extensions.filters.http.router.v3.Router")},
        ],
    )
    listener = _listener("in", HBONE_PORT, [{"name": "http", "typed_config": manager}])
    tls = _tls("Downstream", name, keys, require_client_certificate=True, disable_stateless_session_resumption=True)
    listener["filter_chains"][0]["transport_socket"] = tls
    return _config([listener], [_cluster(f"to-{port}", "127.0.0.1", port) for port in ports])


def write(config: Config, path: Path) -> Path:
    """Put a configuration where Envoy can read it."""
    path.write_text(json.dumps(config, indent=1))
    return path


def _config(listeners: Iterable[Config], clusters: Iterable[Config]) -> Config:
    return {"static_resources": {"listeners": list(listeners), "clusters": list(clusters)}}


def _typed(kind: str, **fields: Any) -> Config:
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def _listener(name: str, port: int, filters: list[Config]) -> Config:
    address = {"socket_address": {"address": "0.0.0.0", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [{"filters": filters}]}


def _carry(tunnel: Tunnel, cluster: str) -> Config:
    tunneling = {"tunneling_config": {"hostname": f"{tunnel.upstream}:{tunnel.target}"}}
    proxy = _typed(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=f"out-{tunnel.port}",
        cluster=cluster,
        access_log=[_access_log("%UPSTREAM_HOST%")],
        access_log_options={"flush_access_log_on_connected": True},
        **({} if tunnel.plain else tunneling),
    )
    return {"name": "tcp", "typed_config": proxy}


def _access_log(what: str) -> Config:
    """As much as ours says of a connection, as often: when it opens and when it ends."""
    told = (
        "%START_TIME% access %ACCESS_LOG_TYPE% src.addr=%DOWNSTREAM_REMOTE_ADDRESS% dst.addr=%UPSTREAM_REMOTE_ADDRESS% "
        'src.identity="%DOWNSTREAM_PEER_URI_SAN%" dst.identity="%UPSTREAM_PEER_URI_SAN%" '
        f'what="{what}" bytes_sent=%BYTES_SENT% bytes_recv=%BYTES_RECEIVED% duration="%DURATION%ms" '
        'flags="%RESPONSE_FLAGS%"\n'
    )
    kind = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
    return {"name": "log", "typed_config": _typed(kind, log_format={"text_format_source": {"inline_string": told}})}


def _upstream(cluster: str, tunnel: Tunnel, name: str, keys: Path) -> Config:
    if tunnel.plain:
        return _cluster(cluster, tunnel.upstream, tunnel.target)
    more = {} if tunnel.pooled else {"common_http_protocol_options": {"max_requests_per_connection": 1}}
    options = _typed(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http2_protocol_options": {"max_concurrent_streams": _MANY}},
        **more,
    )
    return _cluster(cluster, tunnel.upstream, HBONE_PORT) | {
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "transport_socket": _tls("Upstream", name, keys, max_session_keys=0),
    }


def _cluster(name: str, host: str, port: int) -> Config:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
    limits = {"max_connections": 100_000, "max_requests": 100_000, "max_pending_requests": 100_000}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _tls(side: str, name: str, keys: Path, **more: Any) -> Config:
    common: Mapping[str, Any] = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2"],
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(keys / f"{name}.pem")},
                "private_key": {"filename": str(keys / f"{name}.key")},
            }
        ],
        "validation_context": {"trusted_ca": {"filename": str(keys / "root.pem")}},
    }
    context = _typed(f"envoy.extensions.transport_sockets.tls.v3.{side}TlsContext", common_tls_context=common, **more)
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _rbac() -> Config:
    principal = {"authenticated": {"principal_name": {"prefix": "spiffe://cluster.local/"}}}
    policy = {"permissions": [{"any": True}], "principals": [principal]}
    return _typed("envoy.extensions.filters.http.rbac.v3.RBAC", rules={"policies": {"mesh": policy}})
