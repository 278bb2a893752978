"""What runs in a lab at the moment, for `meshctl lab status` and for `lab up`, which waits until all is ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mesh.enrolment import REDIRECTION
from meshctl.failure import ExitCode, Failure
from meshctl.lab.agent import Agent
from meshctl.lab.endpoints import is_ready
from meshctl.lab.kubelet import Kubelet
from meshctl.lab.network import Node
from meshctl.lab.node_proxy import NodeProxy
from meshctl.lab.privilege import several_users
from meshctl.lab.surroundings import Surroundings
from meshctl.manifest import Body


class Survey:
    """Looks, and changes nothing."""

    def __init__(
        self,
        around: Surroundings,
        kubelet: Kubelet,
        *,
        nodes: Sequence[Node],
        proxies: Mapping[str, NodeProxy],
        agents: Mapping[str, Agent],
    ) -> None:
        self._place = around.place
        self._store = around.store
        self._kubelet = kubelet
        self._nodes = nodes
        self._proxies = proxies
        self._agents = agents

    def pids(self) -> dict[str, list[int]]:
        """Return the first process of every running container by "namespace/pod", numbered as inside the lab."""
        return {
            f"{pod.namespace}/{pod.name}": [pid for box in pod.containers.values() if (pid := box.pid) is not None]
            for pod in self._kubelet.pods
        }

    def proxies(self, name: str | None) -> list[NodeProxy]:
        """Return the ztunnels of all nodes, or that of one. Raises Failure if there is none."""
        if name is not None and name not in self._proxies:
            there = ", ".join(self._proxies) or "none: the lab is bare"
            raise Failure(f"There is no ztunnel on a node {name}.", f"There are: {there}.", ExitCode.ABSENT)
        return [self._proxies[name]] if name is not None else list(self._proxies.values())

    def report(self) -> dict[str, Any]:
        """Return everything about the lab as plain data."""
        pods = [self._pod(body) for body in self._store.of_kind("Pod")]
        waiting = [f"pod {pod['namespace']}/{pod['name']}: {pod['why']}" for pod in pods if pod["why"]]
        nodes = [self._node(node) for node in self._nodes]
        waiting += [f"ztunnel on {node['name']}: {node['why']}" for node in nodes if node["why"]]
        waiting += self._unborn()
        return {
            "name": self._place.name,
            "root": str(self._place.root),
            "one_uid": not several_users(),
            "nodes": nodes,
            "pods": pods,
            "processes": processes(),
            "waiting": waiting,
        }

    def _node(self, node: Node) -> dict[str, Any]:
        found: dict[str, Any] = {"name": node.name, "address": str(node.address), "why": "", "logs": []}
        if proxy := self._proxies.get(node.name):
            found |= {"ztunnel": proxy.pid, "restarts": proxy.restarts, "why": proxy.why}
            found["logs"] = [str(self._place.node_log(node.name))]
        return found

    def _pod(self, body: Body) -> dict[str, Any]:
        metadata, status = body["metadata"], body.get("status", {})
        done = status.get("phase") == "Succeeded"
        why = "" if done or is_ready(body) or "deletionTimestamp" in metadata else self._why_not(body)
        annotations = metadata.get("annotations") or {}
        logs = [
            str(self._place.container_log(metadata["namespace"], metadata["name"], container["name"]))
            for container in body["spec"]["containers"]
        ]
        return {
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "node": body["spec"].get("nodeName", ""),
            "address": status.get("podIP", ""),
            "phase": status.get("phase", "Pending"),
            "ready": is_ready(body),
            "enrolled": annotations.get(REDIRECTION) == "enabled",
            "pids": self.pids().get(f"{metadata['namespace']}/{metadata['name']}", []),
            "why": why,
            "logs": logs,
        }

    def _why_not(self, body: Body) -> str:
        agent = self._agents.get(body["spec"].get("nodeName", ""))
        if agent is not None and (waits := agent.waits_for(body["metadata"]["uid"])):
            return waits
        return _of_containers(body.get("status", {}))

    def _unborn(self) -> list[str]:
        """Return the Deployments that have fewer pods than they ask for."""
        return [
            f"deployment {body['metadata']['namespace']}/{body['metadata']['name']}: pods are being made"
            for body in self._store.of_kind("Deployment")
            if body.get("status", {}).get("updatedReplicas", 0) < int(body["spec"].get("replicas", 1))
        ]


def _of_containers(status: Body) -> str:
    for container in status.get("containerStatuses", ()):
        if waiting := container["state"].get("waiting"):
            return f"{waiting['reason']} {waiting['message']}".strip()
        if "terminated" in container["state"]:
            return f"ended with {container['state']['terminated']['exitCode']}"
    return "runs, but is not ready" if status.get("containerStatuses") else "not started yet"


def processes() -> list[dict[str, Any]]:
    """Return every process of the lab with its memory in bytes: resident, and what is its own alone."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            name = (folder / "comm").read_text(encoding="utf-8").strip()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            memory = _memory(folder)
        except OSError:
            continue
        if command:
            found.append({"pid": int(folder.name), "name": name, "command": command, **memory})
    return sorted(found, key=lambda process: process["pid"])


def _memory(folder: Path) -> dict[str, int]:
    """Read resident and private memory; private needs the kernel's smaps_rollup and may be forbidden: -1."""
    resident = int((folder / "statm").read_text(encoding="ascii").split()[1]) * 4096
    try:
        lines = (folder / "smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return {"resident": resident, "private": -1}
    private = sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024
    return {"resident": resident, "private": private}
