"""Where a lab keeps its files.

Folders that the mesh's unprivileged processes pass through are 0711; what only the owner may read is 0700.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from meshctl.config import labs_folder
from meshctl.failure import ExitCode, Failure

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of one lab and what lies in it."""

    name: str
    root: Path

    @property
    def socket(self) -> Path:
        """Where the daemon takes requests; owner only."""
        return self.root / "lab.sock"

    @property
    def lock(self) -> Path:
        """Held by the daemon as long as it lives."""
        return self.root / "lab.lock"

    @property
    def objects(self) -> Path:
        """One file per object; the daemon writes."""
        return self.root / "objects"

    @property
    def status(self) -> Path:
        """One file per object that has a status from istiod; istiod writes."""
        return self.root / "status"

    @property
    def generated(self) -> Path:
        """Objects that istiod owns; istiod writes, the daemon admits them."""
        return self.root / "generated"

    @property
    def state(self) -> Path:
        """What istiod keeps for itself: its root key."""
        return self.root / "state"

    @property
    def jwks(self) -> Path:
        """The public half of the key that signs service account tokens."""
        return self.root / "token" / "jwks.json"

    @property
    def staging(self) -> Path:
        """An empty folder on which containers assemble what they see; it stays empty for everybody else."""
        return self.root / "staging"

    @property
    def logs(self) -> Path:
        """Logs of the daemon, of node proxies and of containers."""
        return self.root / "logs"

    @property
    def daemon_log(self) -> Path:
        """What the daemon itself has to say."""
        return self.logs / "lab.log"

    def container_log(self, namespace: str, pod: str, container: str) -> Path:
        """Return where a container's output goes."""
        return self.logs / f"{namespace}_{pod}_{container}.log"

    def node_log(self, node: str) -> Path:
        """Return where a node's ztunnel's output goes."""
        return self.logs / f"ztunnel_{node}.log"

    def node(self, node: str) -> Path:
        """Return a node's folder: its CNI agent's socket, its token, the root certificate, ztunnel's run folder."""
        return self.root / "nodes" / node

    def volumes(self, node: str, pod_uid: str) -> Path:
        """Return the folder of a pod's volumes."""
        return self.node(node) / "volumes" / pod_uid

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.root, self.root / "nodes", self.root / "token"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o711)
        for folder in (self.objects, self.status, self.generated, self.state, self.logs, self.staging):
            folder.mkdir(mode=0o700, exist_ok=True)

    def clear(self) -> None:
        """Remove everything a lab left in its folder, and the folder."""
        shutil.rmtree(self.root, ignore_errors=True)


def place(name: str) -> Place:
    """Return where the lab `name` of this user is or would be. Raises Failure on a name that cannot be one."""
    if not NAME.fullmatch(name):
        raise Failure(
            f"'{name}' cannot be a lab's name.",
            "Use at most 30 lower-case letters, digits and dashes.",
            ExitCode.USAGE,
        )
    return Place(name, labs_folder() / name)


def claim_folder(folder: Path) -> None:
    """Make the folder of labs, and refuse one that somebody else made for us.

    Raises Failure if another user owns it: in /tmp anybody can be first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid() or folder.parent.stat().st_uid not in (os.geteuid(), 0):
        raise Failure(f"{folder} belongs to another user.", "Remove it, or set XDG_RUNTIME_DIR.", ExitCode.FORBIDDEN)
    for made in (folder.parent, folder):
        if made.stat().st_uid == os.geteuid():
            made.chmod(0o711 if os.geteuid() == 0 else 0o700)
