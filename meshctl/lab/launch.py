"""Starts a lab's daemon as process 1 of its own namespaces.

Because it is process 1 of a pid namespace, its end, however it comes, ends every process of the lab; the network
and mount namespaces go with the last of them. Nothing is pinned by name, so there is nothing to clean up.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from meshctl.config import program_path
from meshctl.failure import ExitCode, Failure
from meshctl.lab import kernel
from meshctl.lab.place import Place, claim_folder

_NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_FORBIDDING = (
    ("user/max_user_namespaces", "0"),
    ("kernel/unprivileged_userns_clone", "0"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """How a lab is to be: everything the daemon has to know."""

    nodes: int
    bare: bool
    trust_domain: str
    dual: bool = False
    """IPv6 beside IPv4."""
    otlp: str = ""
    """URL of the receiver of spans; empty where none are made."""
    trace_share: float = 1.0


def launch(place: Place, options: Options) -> None:
    """Start the daemon and return once it takes requests. Raises Failure if it cannot."""
    claim_folder(place.root.parent)
    place.root.mkdir(exist_ok=True)
    lock = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(
                f"A lab named '{place.name}' is already up.",
                "Give the new one another name, or take the old one down: meshctl lab down " + place.name,
            ) from None
        _forget_remains(place)
        place.make()
        _start(place, options, lock)
    finally:
        os.close(lock)


def _forget_remains(place: Place) -> None:
    """Remove what a killed daemon left behind; the lock shows that it is gone."""
    place.socket.unlink(missing_ok=True)
    for folder in (place.objects, place.status, place.generated, place.state, place.logs, place.root / "nodes"):
        shutil.rmtree(folder, ignore_errors=True)


def _start(place: Place, options: Options, lock: int) -> None:
    report, reporter = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _enter_namespaces(place, options, lock, reporter)
    os.close(reporter)
    os.waitpid(pid, 0)
    with open(report, "rb") as answers:  # noqa: PTH123  (a descriptor, not a path)
        told = answers.readline()
    if not told:
        raise Failure(f"The lab's daemon ended at once.\n{tail(place.daemon_log)}")
    answer = json.loads(told)
    if "error" in answer:
        code = ExitCode.FORBIDDEN if answer.get("forbidden") else ExitCode.REFUSED
        raise Failure(answer["error"], answer.get("mend", ""), code)


def tail(log: Path, lines: int = 15) -> str:
    """Return the end of a log, indented, or say that it is empty."""
    try:
        found = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        found = []
    return "\n".join(f"    {line}" for line in found) or f"    ({log} is empty)"


def _enter_namespaces(place: Place, options: Options, lock: int, reporter: int) -> NoReturn:
    """Run in a forked copy of `lab up`: make the namespaces, fork process 1 of them, and end."""
    try:
        os.setsid()
        if (uid := os.geteuid()) != 0:
            gid = os.getegid()
            kernel.unshare(kernel.CLONE_NEWUSER)
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
        kernel.unshare(_NAMESPACES)
        if os.fork() == 0:
            _become_daemon(place, options, lock, reporter)
    except OSError as error:
        os.write(reporter, json.dumps(refusal(error)).encode() + b"\n")
    finally:
        os._exit(0)


def _become_daemon(place: Place, options: Options, lock: int, reporter: int) -> None:
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("proc", "/proc", "proc")
    os.chdir("/")
    log = os.open(place.daemon_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    given = {
        "root": str(place.root),
        "nodes": options.nodes,
        "bare": options.bare,
        "trust_domain": options.trust_domain,
        "otlp": options.otlp,
        "trace_share": options.trace_share,
        "dual": options.dual,
        "reporter": reporter,
        "lock": lock,
    }
    told = os.memfd_create("told")
    os.write(told, json.dumps(given).encode())
    os.lseek(told, 0, os.SEEK_SET)
    for number, fd in ((0, told), (1, log), (2, log)):
        os.dup2(fd, number, inheritable=True)
    for fd in (lock, reporter):
        os.set_inheritable(fd, True)
    environment = {"PATH": program_path(), "HOME": "/", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "meshctl.lab.daemon", place.name]
    os.execve(command[0], command, environment)  # noqa: S606


def refusal(error: OSError, settings: Path = Path("/proc/sys")) -> dict[str, object]:
    """Say why this machine does not let us make namespaces; name the setting if one of the known ones forbids it."""
    if os.geteuid() == 0 and error.errno != errno.EPERM:
        return {"error": f"The kernel refused the lab's namespaces: {error.strerror}."}
    for name, forbidding in _FORBIDDING:
        try:
            value = (settings / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if value == forbidding:
            return {
                "error": f"Ordinary users may not make namespaces here: {name.replace('/', '.')} is {value}.",
                "mend": "Run meshctl as root, or have an administrator change that setting.",
                "forbidden": True,
            }
    return {
        "error": f"The kernel refused the lab's namespaces: {error.strerror}.",
        "mend": "Inside a container they are usually forbidden: run meshctl outside of it, or as root.",
        "forbidden": True,
    }
