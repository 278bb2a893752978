"""A pod's program that runs a real Envoy with a certificate of the pod's own service account.

It asks istiod for the certificate, over the CA API with the token that the pod was given, as any workload may.
`--carry` makes Envoy tunnel whatever connects to a port of the pod's loopback; `--serve` makes it end tunnels on 15008.
PAPERS is a folder of other credentials to show, or `own`.

    python -m tests.interop.envoy_pod --carry 9001 10.244.1.2:15008 10.244.1.2:7000 spiffe://.../sa/echo own
    python -m tests.interop.envoy_pod --serve 127.0.0.1:7000 spiffe://.../sa/client own
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import trio

from mesh import pki
from mesh.address import Address
from mesh.identity import Identity
from mesh.net.certs import sign
from mesh.net.controlplane import Endpoint
from mesh.net.tls import Credentials
from tests.interop.envoy import Config, hbone_client, hbone_server, run_envoy, together

OWN = "own"
ISTIOD = "istiod.istio-system.svc:15012"
TOKEN, ROOTS = Path("/var/run/secrets/tokens/istio-token"), Path("/var/run/secrets/istio/root-cert.pem")
FOLDER = Path("/tmp/envoy")
LOG = FOLDER / "log"
LOOPBACK, ANY = ip_address("127.0.0.1"), ip_address("0.0.0.0")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    carried = ("PORT", "TUNNEL", "AUTHORITY", "SERVER", "PAPERS")
    parser.add_argument("--carry", action="append", default=[], nargs=5, metavar=carried)
    parser.add_argument("--serve", action="append", default=[], nargs=3, metavar=("UPSTREAM", "CLIENT", "PAPERS"))
    return parser.parse_args()


async def own_credentials() -> Credentials:
    """What istiod certifies. Raises SigningFailed."""
    identity = Identity("cluster.local", os.environ["POD_NAMESPACE"], os.environ["SERVICE_ACCOUNT"])  # noqa: TID251
    key = pki.new_key()
    chain = await sign(Endpoint(ISTIOD, ROOTS, TOKEN), pki.csr(key, identity), identity, 3600, impersonate=False)
    return Credentials(identity, pki.key_pem(key), chain.certificates, chain.roots)


def save(credentials: Credentials, folder: Path) -> None:
    """Write credentials to where a pod's PAPERS may point."""
    folder.mkdir()
    (folder / "key.pem").write_bytes(credentials.key_pem)
    (folder / "chain.pem").write_bytes(credentials.chain_pem)
    (folder / "roots.pem").write_bytes(credentials.roots_pem)


def saved(folder: Path) -> Credentials:
    key, chain, roots = ((folder / name).read_bytes() for name in ("key.pem", "chain.pem", "roots.pem"))
    identity = pki.identity_of(pki.leaf_of(chain))
    assert isinstance(identity, Identity)
    return Credentials(identity, key, chain, roots)


def listeners(asked: argparse.Namespace, own: Credentials) -> Iterator[Config]:
    def papers(name: str) -> Credentials:
        return own if name == OWN else saved(Path(name))

    for port, tunnel, authority, server, shown in asked.carry:
        yield hbone_client(
            FOLDER / port,
            papers(shown),
            Address.parse(tunnel),
            authority,
            [Identity.parse(server)],
            listen=Address(LOOPBACK, int(port)),
            name=port,
        )
    for upstream, client, shown in asked.serve:
        yield hbone_server(
            FOLDER / "server",
            papers(shown),
            Address.parse(upstream),
            accepts=[Identity.parse(client)],
            listen=Address(ANY, 15008),
        )


async def main() -> None:
    asked, own = arguments(), await own_credentials()
    with trio.open_signal_receiver(signal.SIGTERM) as ended:
        async with run_envoy(FOLDER, together(listeners(asked, own))):
            print(f"Envoy serves as {own.identity}", flush=True)
            await anext(ended)


if __name__ == "__main__":
    trio.run(main)
