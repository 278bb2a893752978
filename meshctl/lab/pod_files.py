"""The files of one pod: its volumes, kept fresh, and what a kubelet puts into /etc."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from pathlib import Path

from meshctl.lab import volumes
from meshctl.lab.addressing import DNS
from meshctl.lab.names import resolv_conf
from meshctl.lab.podspec import ContainerPlan, Unmet
from meshctl.lab.privilege import several_users
from meshctl.lab.store import Store
from meshctl.lab.tokens import Bearer, TokenIssuer
from meshctl.lab.view import Mount
from meshctl.manifest import Body


class PodFiles:
    """Reads its pod anew whenever it writes: labels, ConfigMaps and tokens change."""

    def __init__(self, folder: Path, pod: Callable[[], Body], store: Store, issuer: TokenIssuer) -> None:
        self._folder = folder
        self._pod = pod
        self._store = store
        self._issuer = issuer

    def config_map(self, name: str) -> Mapping[str, str] | None:
        """Return the data of a ConfigMap of the pod's namespace, None if there is no such ConfigMap."""
        found = self._store.get("ConfigMap", self._pod()["metadata"]["namespace"], name)
        return None if found is None else (found.get("data") or {})

    def fill(self) -> None:
        """Write all volumes. Raises Unmet if a source is missing."""
        volumes.fill(self._pod(), self._folder, self.config_map, self._token, self._owner())

    def mounts(self, plan: ContainerPlan) -> list[Mount]:
        """Return where a container's volumes are on the machine. Raises Unmet if the pod has no such volume."""
        known = {volume["name"]: volume for volume in self._pod()["spec"].get("volumes") or ()}
        found = []
        for mount in plan.mounts:
            if mount.volume not in known:
                raise Unmet(f"container {plan.name} mounts volume {mount.volume}, which the pod does not have")
            volume = known[mount.volume]
            source = volumes.volume_folder(volume, self._folder) / mount.sub_path
            found.append(Mount(source, mount.path, mount.read_only or not volumes.is_writable(volume)))
        return found

    def etc(self, address: IPv4Address | None) -> dict[str, Path]:
        """Write resolver configuration, hosts and hostname; return them by the path at which a container has them."""
        metadata = self._pod()["metadata"]
        texts = {
            "resolv.conf": resolv_conf(metadata["namespace"], DNS),
            "hosts": f"127.0.0.1 localhost\n::1 localhost\n{address} {metadata['name']}\n",
            "hostname": f"{metadata['name']}\n",
        }
        folder = self._folder / "etc"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
            (folder / name).chmod(0o644)
        return {f"/etc/{name}": folder / name for name in texts}

    async def keep_fresh(self) -> None:
        """Rewrite volumes at half the life of their tokens, and when the objects they come from have changed."""
        life = volumes.token_seconds(self._pod())
        while True:
            before, renewal = self._sources(), time.monotonic() + life / 2 if life else None
            while self._sources() == before and (renewal is None or time.monotonic() < renewal):
                await self._store_changes(None if renewal is None else renewal - time.monotonic())
            with contextlib.suppress(Unmet):
                self.fill()

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _store_changes(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._store.changed(self._store.version)

    def _sources(self) -> object:
        metadata = self._pod()["metadata"]
        maps = [found.get("data") for found in self._store.of_kind("ConfigMap", metadata["namespace"])]
        return maps, metadata.get("labels"), metadata.get("annotations")

    def _owner(self) -> int | None:
        """Return the user whom the pod's secrets belong to: its first container's."""
        if not several_users():
            return None
        spec = self._pod()["spec"]
        context = {**(spec.get("securityContext") or {}), **(spec["containers"][0].get("securityContext") or {})}
        return int(context.get("runAsUser") or 0)

    def _token(self, audience: str, seconds: int) -> str:
        pod = self._pod()
        bearer = Bearer(
            namespace=pod["metadata"]["namespace"],
            service_account=pod["spec"]["serviceAccountName"],
            pod=pod["metadata"]["name"],
            pod_uid=pod["metadata"]["uid"],
            node=pod["spec"]["nodeName"],
        )
        return self._issuer.issue(bearer, audience, int(time.time()), seconds)
