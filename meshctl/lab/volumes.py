"""The folders behind a pod's volumes, filled from ConfigMaps, tokens and the pod itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from meshctl.lab.file import write_whole
from meshctl.lab.podspec import ConfigMaps, Unmet, field_of
from meshctl.manifest import Body

Tokens = Callable[[str, int], str]
"""Issues a token for the pod's service account: audience, seconds."""

_TOKEN_SECONDS = 12 * 3600
_SECRET = 0o600
_OPEN = 0o644


@dataclass(frozen=True, slots=True)
class File:
    """What a file of a volume holds and who may read it."""

    text: str
    mode: int


def token_seconds(pod: Body) -> int | None:
    """Return the shortest life of the tokens in a pod's volumes, None if it has none."""
    lives = [
        int(source["serviceAccountToken"].get("expirationSeconds", _TOKEN_SECONDS))
        for volume in pod["spec"].get("volumes") or ()
        for source in (volume.get("projected") or {}).get("sources") or ()
        if "serviceAccountToken" in source
    ]
    return min(lives, default=None)


def is_writable(volume: Body) -> bool:
    """Return whether containers may write into a volume; what the lab fills is for reading."""
    return "emptyDir" in volume or "hostPath" in volume


def volume_folder(volume: Body, folder: Path) -> Path:
    """Return the folder or file that a volume shows. Raises Unmet if a hostPath is not there."""
    host: Body | None = volume.get("hostPath")
    if host:
        path = Path(str(host["path"]))
        if host.get("type", "").endswith("OrCreate"):
            path.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            raise Unmet(f"volume {volume['name']}: {path} does not exist on this machine")
        return path
    return folder / str(volume["name"])


def fill(pod: Body, folder: Path, config_maps: ConfigMaps, tokens: Tokens, owner: int | None) -> None:
    """Write or rewrite all volumes of a pod; each file changes in one step. Raises Unmet if a source is missing.

    `owner` gets the files that only the pod's own user may read; None where there is one user only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for volume in pod["spec"].get("volumes") or ():
        target = folder / volume["name"]
        if "hostPath" in volume:
            continue
        target.mkdir(exist_ok=True)
        if "emptyDir" in volume:
            target.chmod(0o1777)
            continue
        files = dict(_files(volume, pod, config_maps, tokens))
        for name, file in files.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, file.text, file.mode, owner)
        for stale in {path for path in target.rglob("*") if path.is_file()} - {target / name for name in files}:
            stale.unlink()


def _files(volume: Body, pod: Body, config_maps: ConfigMaps, tokens: Tokens) -> Iterator[tuple[str, File]]:
    if "configMap" in volume:
        yield from _config_map_files(volume["configMap"], config_maps)
    elif "downwardAPI" in volume:
        yield from _downward_files(volume["downwardAPI"], pod)
    elif "projected" in volume:
        for source in volume["projected"].get("sources") or ():
            if "configMap" in source:
                yield from _config_map_files(source["configMap"], config_maps)
            elif "downwardAPI" in source:
                yield from _downward_files(source["downwardAPI"], pod)
            elif "serviceAccountToken" in source:
                wanted = source["serviceAccountToken"]
                seconds = int(wanted.get("expirationSeconds", _TOKEN_SECONDS))
                yield wanted["path"], File(tokens(wanted.get("audience", ""), seconds), _SECRET)
            else:
                raise Unmet(f"volume {volume['name']}: a lab cannot project {', '.join(source)}")
    else:
        kinds = ", ".join(part for part in volume if part != "name")
        raise Unmet(f"volume {volume['name']}: a lab has no volumes of kind {kinds or 'nothing'}")


def _config_map_files(wanted: Body, config_maps: ConfigMaps) -> Iterator[tuple[str, File]]:
    data = config_maps(wanted["name"])
    if data is None:
        if wanted.get("optional"):
            return
        raise Unmet(f"ConfigMap {wanted['name']} does not exist yet")
    items: Mapping[str, str] = {item["key"]: item["path"] for item in wanted.get("items") or ()} or {
        key: key for key in data
    }
    for key, path in items.items():
        if key not in data:
            raise Unmet(f"ConfigMap {wanted['name']} has no key {key}")
        yield path, File(data[key], int(wanted.get("defaultMode", _OPEN)))


def _downward_files(wanted: Body, pod: Body) -> Iterator[tuple[str, File]]:
    for item in wanted.get("items") or ():
        if "fieldRef" in item:
            yield item["path"], File(field_of(pod, item["fieldRef"]["fieldPath"]), _OPEN)
