"""Envoy as the peer: a pair of proxies that carries TCP over HBONE, with certificates like ours and metrics on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HBONE_PORT = 16008


def outbound(name: str, listeners: dict[int, str], upstream: str, keys: Path) -> dict[str, Any]:
    """A client-side proxy: each local port is tunnelled to an authority, over one HTTP/2 connection pool."""
    return _config(
        [
            _listener(f"out-{port}", "127.0.0.1", port, [_tunnel(port, authority)])
            for port, authority in listeners.items()
        ],
        [
            _cluster("hbone", "STRICT_DNS", upstream, HBONE_PORT)
            | {
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _typed(
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        explicit_http_config={"http2_protocol_options": {"max_concurrent_streams": 2_000_000}},
                    )
                },
                "transport_socket": _tls("Upstream", name, keys),
            }
        ],
    )


def inbound(name: str, targets: dict[str, int], keys: Path) -> dict[str, Any]:
    """A server-side proxy: CONNECTs to each authority go to a local port, if the caller is in our trust domain."""
    hosts = [
        {
            "name": f"to-{port}",
            "domains": [authority],
            "routes": [
                {
                    "match": {"connect_matcher": {}},
                    "route": {
                        "cluster": f"to-{port}",
                        "timeout": "0s",
                        "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
                    },
                }
            ],
        }
        for authority, port in targets.items()
    ]
    manager = _typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="in",
        codec_type="HTTP2",
        http2_protocol_options={"allow_connect": True, "max_concurrent_streams": 2_000_000},
        upgrade_configs=[{"upgrade_type": "CONNECT"}],
        route_config={"virtual_hosts": hosts},
        http_filters=[
            {"name": "rbac", "typed_config": _rbac()},
            {"name": "router", "typed_config": _typed("envoy.extensions.filters.http.router.v3.Router")},
        ],
    )
    listener = _listener("in", "0.0.0.0", HBONE_PORT, [{"name": "http", "typed_config": manager}])
    listener["filter_chains"][0]["transport_socket"] = _tls("Downstream", name, keys, require_client_certificate=True)
    return _config([listener], [_cluster(f"to-{port}", "STATIC", "127.0.0.1", port) for port in targets.values()])


def write(config: dict[str, Any], path: Path) -> Path:
    """Put a configuration where Envoy can read it."""
    path.write_text(json.dumps(config, indent=1))
    return path


def _config(listeners: list[dict[str, Any]], clusters: list[dict[str, Any]]) -> dict[str, Any]:
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def _typed(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def _listener(name: str, host: str, port: int, filters: list[dict[str, Any]]) -> dict[str, Any]:
    address = {"socket_address": {"address": host, "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [{"filters": filters}]}


def _tunnel(port: int, authority: str) -> dict[str, Any]:
    proxy = _typed(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=f"out-{port}",
        cluster="hbone",
        tunneling_config={"hostname": authority},
    )
    return {"name": "tcp", "typed_config": proxy}


def _cluster(name: str, kind: str, host: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
    limits = {"max_connections": 100_000, "max_requests": 100_000, "max_pending_requests": 100_000}
    return {
        "name": name,
        "type": kind,
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _tls(side: str, name: str, keys: Path, **more: Any) -> dict[str, Any]:
    common = {
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


def _rbac() -> dict[str, Any]:
    principal = {"authenticated": {"principal_name": {"prefix": "spiffe://cluster.local/"}}}
    policy = {"permissions": [{"any": True}], "principals": [principal]}
    return _typed("envoy.extensions.filters.http.rbac.v3.RBAC", rules={"policies": {"mesh": policy}})
