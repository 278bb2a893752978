"""What a container of a pod is to run: command, environment, user, mounts, worked out from the pod object."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.lab.privilege import CAPABILITIES, USUAL, Privilege
from meshctl.manifest import Body

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")

ConfigMaps = Callable[[str], Mapping[str, str] | None]
"""The data of a ConfigMap of the pod's namespace by name; None if there is none."""


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """Where a container wants a volume, or a file of it."""

    volume: str
    path: str
    sub_path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """Everything needed to start one container."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    folder: str
    privilege: Privilege
    mounts: tuple[VolumeMount, ...]


class Unmet(Exception):
    """A container cannot start yet; the text is what it waits for or what is wrong with it."""


def plan_container(pod: Body, container: Body, config_maps: ConfigMaps, path: str) -> ContainerPlan:
    """Return what to run. Raises Unmet if something it names is not there (yet)."""
    command = [*(container.get("command") or ()), *(container.get("args") or ())]
    if not container.get("command"):
        raise Unmet(f"container {container['name']} has no command: a lab pulls no images, so it needs one")
    env = {"PATH": path, "HOME": "/", "LANG": "C.UTF-8", "HOSTNAME": pod["metadata"]["name"]}
    for source in container.get("envFrom") or ():
        env |= _data_of(source.get("configMapRef") or {}, config_maps)
    for variable in container.get("env") or ():
        env[variable["name"]] = _value(variable, pod, config_maps, env)
    return ContainerPlan(
        name=container["name"],
        command=tuple(expanded(str(word), env) for word in command),
        env=env,
        folder=container.get("workingDir") or "/",
        privilege=_privilege(pod, container),
        mounts=tuple(
            VolumeMount(
                volume=mount["name"],
                path=mount["mountPath"],
                sub_path=mount.get("subPath", ""),
                read_only=bool(mount.get("readOnly")),
            )
            for mount in container.get("volumeMounts") or ()
        ),
    )


def expanded(text: str, env: Mapping[str, str]) -> str:
    """Replace $(NAME) by the variable; an unknown one stays as written, and $$ is a dollar."""

    def replacement(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else env.get(name, match.group(0))

    return _REFERENCE.sub(replacement, text)


def field_of(pod: Body, path: str) -> str:
    """Return what a fieldRef points to. Raises Unmet for a path that a lab does not know."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    if subscript := _SUBSCRIPT.fullmatch(path):
        part, name = subscript.groups()
        return str((metadata.get(part) or {}).get(name, ""))
    fields: dict[str, Any] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "metadata.labels": _listed(metadata.get("labels") or {}),
        "metadata.annotations": _listed(metadata.get("annotations") or {}),
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName"),
        "status.podIP": status.get("podIP"),
        "status.podIPs": ",".join(entry["ip"] for entry in status.get("podIPs", ())),
        "status.hostIP": status.get("hostIP"),
    }
    if path not in fields:
        raise Unmet(f"a lab cannot resolve fieldRef {path}")
    return str(fields[path])


def _listed(pairs: Mapping[str, str]) -> str:
    return "".join(f'{name}="{value}"\n' for name, value in sorted(pairs.items()))


def _value(variable: Body, pod: Body, config_maps: ConfigMaps, env: Mapping[str, str]) -> str:
    source = variable.get("valueFrom")
    if not source:
        return expanded(str(variable.get("value", "")), env)
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    if "configMapKeyRef" in source:
        reference = source["configMapKeyRef"]
        data = _data_of(reference, config_maps)
        if reference["key"] not in data and not reference.get("optional"):
            raise Unmet(f"ConfigMap {reference['name']} has no key {reference['key']}")
        return str(data.get(reference["key"], ""))
    raise Unmet(f"a lab cannot resolve the source of variable {variable['name']}: {', '.join(source)}")


def _data_of(reference: Body, config_maps: ConfigMaps) -> Mapping[str, str]:
    if "name" not in reference:
        raise Unmet("a lab resolves environments from ConfigMaps only")
    data = config_maps(reference["name"])
    if data is None and not reference.get("optional"):
        raise Unmet(f"ConfigMap {reference['name']} does not exist yet")
    return data or {}


def _privilege(pod: Body, container: Body) -> Privilege:
    context = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    changes = context.get("capabilities") or {}
    dropped = {name.removeprefix("CAP_") for name in changes.get("drop") or ()}
    added = {name.removeprefix("CAP_") for name in changes.get("add") or ()}
    kept: frozenset[str] = frozenset() if "ALL" in dropped else USUAL - dropped
    user = int(context.get("runAsUser") or 0)
    return Privilege(user, int(context.get("runAsGroup") or 0), kept | (added & CAPABILITIES.keys()))
