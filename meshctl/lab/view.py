"""What a container sees of the machine: its programs read-only, and a /run, /tmp, /dev and volumes of its own.

There are no images in a lab. A container's root is assembled from the machine's top-level folders, in a mount
namespace of its own, so anything that runs on the machine runs in a pod, and nothing a pod writes stays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshctl.lab import kernel
from meshctl.lab.exposure import program_folders

_OWN = frozenset({"run", "tmp", "dev", "proc", "sys"})
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or file of the machine shown in the container."""

    source: Path
    target: str
    read_only: bool


def enter_view(staging: Path, start: str, mounts: Sequence[Mount], files: Mapping[str, Path]) -> None:
    """Give the calling process its own root: the machine's, with `mounts` and single `files` laid over it.

    `staging` is an empty folder to assemble it on; `start` is the folder that the process will start in. Raises
    OSError, naming the step, if the kernel refuses one.
    """
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", staging, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    _machine(staging)
    _devices(staging / "dev")
    for folder in _otherwise_hidden([*program_folders(), Path(start)]):
        _lay(staging, Mount(folder, str(folder), read_only=True))
    wanted = [*mounts, *(Mount(source, target, read_only=True) for target, source in files.items())]
    wanted.sort(key=lambda mount: len(Path(mount.target).parts))
    for mount in wanted:  # all places first: an overlay laid later would hide what is mounted below it
        _make_mount_point(staging, _inside(staging, mount.target), folder=mount.source.is_dir())
    for mount in wanted:
        _lay(staging, mount)
    kernel.pivot_root(staging)


def _machine(root: Path) -> None:
    for entry in os.scandir("/"):
        target = root / entry.name
        if entry.name in _OWN or entry.is_file(follow_symlinks=False):
            continue
        if entry.is_symlink():
            target.symlink_to(Path(entry.path).readlink())
        else:
            target.mkdir()
            kernel.bind(entry.path, target, read_only=True)
    for name, mode in (("run", 0o755), ("tmp", 0o1777), ("dev", 0o755), ("proc", 0o555), ("sys", 0o555)):
        (root / name).mkdir()
        (root / name).chmod(mode)
    (root / "run" / "lock").mkdir()
    (root / "run" / "lock").chmod(0o1777)
    kernel.bind("/sys", root / "sys", read_only=True)
    kernel.bind("/proc", root / "proc")
    kernel.bind("/proc/sys", root / "proc" / "sys", read_only=True)


def _devices(folder: Path) -> None:
    """Show the harmless devices only: a pod that runs as root must not reach the machine's disks."""
    for name in _DEVICES:
        (folder / name).touch()
        kernel.bind(f"/dev/{name}", folder / name)
    for name, target in _DEVICE_LINKS.items():
        (folder / name).symlink_to(target)
    (folder / "pts").mkdir()
    kernel.bind("/dev/pts", folder / "pts")
    (folder / "shm").mkdir()
    (folder / "shm").chmod(0o1777)


def _otherwise_hidden(folders: Sequence[Path]) -> list[Path]:
    """Return those that lie below a folder that containers have their own of, and are there to be shown."""
    return [folder for folder in folders if len(folder.parts) > 2 and folder.parts[1] in _OWN and folder.is_dir()]


def _lay(root: Path, mount: Mount) -> None:
    target = _inside(root, mount.target)
    _make_mount_point(root, target, folder=mount.source.is_dir())
    kernel.bind(mount.source, target, read_only=mount.read_only)


def _inside(root: Path, path: str) -> Path:
    """Return where a container's path is below `root`, links followed as the container will follow them."""
    found = root
    for number, part in enumerate(parts := Path(path).parts[1:]):
        found /= part
        if found.is_symlink():
            rest = Path(*parts[number + 1 :]) if parts[number + 1 :] else Path()
            absolute = Path("/", found.parent.relative_to(root)) / found.readlink()
            return _inside(root, os.path.normpath(absolute / rest))
    return found


def _make_mount_point(root: Path, target: Path, *, folder: bool) -> None:
    """Make the place to mount on; if the machine has no such folder, lay a writable overlay over its nearest parent."""
    if target.exists():
        return
    existing = next(parent for parent in target.parents if parent.exists())
    if existing != root and not os.access(existing, os.W_OK):
        _overlay(root, existing)
    target.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        target.mkdir()
    else:
        target.touch()


def _overlay(root: Path, folder: Path) -> None:
    layers = root / "run" / ".layers" / str(len(list((root / "run").glob(".layers/*"))))
    for name in ("upper", "work"):
        (layers / name).mkdir(parents=True)
    options = f"lowerdir={folder},upperdir={layers / 'upper'},workdir={layers / 'work'},userxattr"
    kernel.mount("overlay", folder, "overlay", data=options)
    with contextlib.suppress(OSError):
        (layers / "upper").chmod(folder.stat().st_mode & 0o7777)
