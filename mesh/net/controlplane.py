"""How a proxy reaches its control plane: gRPC over TLS, the server known by its root, the caller by its token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    import grpc

_LARGEST_MESSAGE: Final = 200 * 1024 * 1024
_OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),
)

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where istiod listens and how to be known there.

    `address` is `host:port`, with or without `https://`. `server_name` is what the server's certificate must bear
    where that is not the host of the address. Root and token are files: both are read anew for every connection, so
    that their rotation needs nothing more.
    """

    address: str
    root_ca_path: Path
    token_path: Path
    server_name: str = ""
    cluster_id: str = "Kubernetes"

    def channel(self) -> grpc.Channel:
        """A new connection; OSError if the root cannot be read."""
        import grpc  # pods' workers know endpoints by this module and never dial one: they stay small

        options = [*_OPTIONS]
        if self.server_name:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        roots = grpc.ssl_channel_credentials(self.root_ca_path.read_bytes())
        return grpc.secure_channel(self.address.removeprefix("https://"), roots, options)

    def metadata(self) -> Metadata:
        """Who is calling; OSError or UnicodeError if the token cannot be read."""
        token = self.token_path.read_text(encoding="ascii").strip()
        return (("authorization", f"Bearer {token}"), ("clusterid", self.cluster_id))


def reason_of(fault: grpc.RpcError) -> str:
    """Why a call failed, in one line."""
    code, details = getattr(fault, "code", None), getattr(fault, "details", None)
    return f"{code().name}: {details()}" if code is not None and details is not None else str(fault)
