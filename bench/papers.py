"""Certificates for Envoy, of the mesh's own root and of the kind that istiod issues, so that it may call our pods."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.lab import Lab, Pod
from mesh import pki
from mesh.identity import Identity
from mesh.refusal import Refusal


def issue(lab: Lab, accounts: Sequence[str], folder: Path) -> None:
    """Write root.pem, and NAME.pem and NAME.key for each service account of the namespace of Envoys."""
    root = _root(lab)
    now = datetime.now(UTC)
    (folder / "root.pem").write_bytes(root.certificate_pem)
    for name in accounts:
        key, identity = pki.new_key(), Identity("cluster.local", "peer", name)
        chain = pki.issue(root, pki.csr(key, identity), identity, timedelta(days=1), now)
        if isinstance(chain, Refusal):
            raise SystemExit(str(chain))
        (folder / f"{name}.pem").write_bytes(chain.certificates)
        (folder / f"{name}.key").write_bytes(pki.key_pem(key))


def _root(lab: Lab) -> pki.Authority:
    pods = lab.get("pods", "istio-system")["items"]
    [name] = [pod["metadata"]["name"] for pod in pods if pod["metadata"]["labels"].get("app") == "istiod"]
    kept = lab.run(Pod("istio-system", name), ("cat", "/run/istiod/state/root.pem")).encode()
    return pki.load_authority(kept, kept)
