"""The command line of istiod-lite."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from istiod_lite.compile.settings import Settings
from istiod_lite.fetch import Reach
from mesh.settings import share, url

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Serve:
    """`istiod-lite serve`."""

    manifests: Path
    state: Path
    token_jwks: Path
    settings: Settings
    generated: Path | None
    status: Path | None
    listen: str
    ready_listen: str
    trusted_node_accounts: frozenset[str]
    reach: Reach
    otlp_endpoint: str = ""
    """Where waypoints send their spans; empty where they make none."""
    trace_share: float = 0.01


@dataclass(frozen=True, slots=True)
class Render:
    """`istiod-lite render`."""

    path: Path
    settings: Settings


@dataclass(frozen=True, slots=True)
class Check:
    """`istiod-lite check`; a path of `-` is the standard input."""

    path: Path
    context: Path | None
    settings: Settings


def parse(arguments: Sequence[str] | None = None) -> Serve | Render | Check:
    """Read the command line; leaves the program with a message if it is wrong."""
    given = _parser().parse_args(arguments)
    settings = Settings(given.trust_domain, given.cluster_id, given.network, given.root_namespace)
    if given.verb == "render":
        return Render(given.file, settings)
    if given.verb == "check":
        return Check(given.file, given.context, settings)
    return Serve(
        manifests=given.manifests,
        state=given.state,
        token_jwks=given.token_jwks,
        settings=settings,
        generated=given.generated,
        status=given.status,
        listen=given.listen,
        ready_listen=given.ready_listen,
        trusted_node_accounts=frozenset(given.trusted_node_account or ["istio-system/ztunnel"]),
        otlp_endpoint=given.otlp_endpoint,
        trace_share=given.trace_share,
        reach=Reach(tuple(given.jwks_network), given.jwks_ca),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="istiod-lite", description="The mesh's control plane: manifests in, configuration and certificates out."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    common = _common()
    _add_serve(
        verbs.add_parser("serve", parents=[common], help="run: watch a folder, serve proxies, sign certificates")
    )
    render = verbs.add_parser("render", parents=[common], help="print what proxies would be told, as YAML")
    render.add_argument("-f", "--file", type=Path, required=True, metavar="PATH", help="a manifest or a folder of them")
    check = verbs.add_parser("check", parents=[common], help="say what is wrong with manifests; exit 1 if they are bad")
    check.add_argument(
        "-f", "--file", type=Path, required=True, metavar="PATH", help="a manifest, a folder, or - (stdin)"
    )
    check.add_argument("--context", type=Path, metavar="DIR", help="manifests that are in force already")
    return parser


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    default = Settings()
    group = common.add_argument_group("the mesh")
    group.add_argument(
        "--trust-domain", default=default.trust_domain, help="first part of every identity (%(default)s)"
    )
    group.add_argument("--cluster-id", default=default.cluster_id, help="name of this cluster (%(default)s)")
    group.add_argument("--network", default=default.network, help="name of the pods' network (none)")
    group.add_argument(
        "--root-namespace",
        default=default.root_namespace,
        help="its policies without selector hold for all (%(default)s)",
    )
    return common


def _add_serve(serve: argparse.ArgumentParser) -> None:
    files = serve.add_argument_group("files")
    files.add_argument("--manifests", type=Path, required=True, metavar="DIR", help="what is wanted; watched")
    files.add_argument("--state", type=Path, required=True, metavar="DIR", help="where the root certificate lives")
    files.add_argument(
        "--token-jwks", type=Path, required=True, metavar="FILE", help="keys that verify callers' tokens"
    )
    files.add_argument("--generated", type=Path, metavar="DIR", help="where to write the objects that istiod owns")
    files.add_argument("--status", type=Path, metavar="DIR", help="where to write the objects' status")
    net = serve.add_argument_group("network")
    net.add_argument("--listen", default="0.0.0.0:15012", metavar="ADDR", help="gRPC over TLS (%(default)s)")
    net.add_argument("--ready-listen", default="0.0.0.0:15021", metavar="ADDR", help="GET /healthz/ready (%(default)s)")
    keys = serve.add_argument_group("keys of token issuers (RequestAuthentication, jwksUri)")
    keys.add_argument(
        "--jwks-network",
        action="append",
        default=[],
        type=ip_network,
        metavar="CIDR",
        help="fetch also from here, where otherwise nothing is fetched from: loopback, link-local; may be repeated",
    )
    keys.add_argument("--jwks-ca", type=Path, metavar="FILE", help="certificates to trust besides the system's")
    traces = serve.add_argument_group("traces")
    traces.add_argument(
        "--otlp-endpoint",
        type=_url,
        default="",
        metavar="URL",
        help="OTLP receiver (gRPC) of the waypoints' spans (none)",
    )
    traces.add_argument(
        "--trace-share", type=share, default="0.01", metavar="N", help="of new traces, from 0 to 1 (%(default)s)"
    )
    serve.add_argument(
        "--trusted-node-account",
        action="append",
        metavar="NS/NAME",
        help="may ask for the certificates of its node's pods (istio-system/ztunnel); may be repeated",
    )


def _url(text: str) -> str:
    return url(text) if text else ""
