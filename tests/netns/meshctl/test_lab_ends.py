"""A lab that ends, by a word or by a kill, leaves nothing behind."""

import os
from pathlib import Path

import pytest

from tests.lab_for_tests import Lab
from tests.netns.meshctl.shop import SHOP, ask

pytestmark = pytest.mark.netns


def remains(lab: Lab) -> list[str]:
    """Return what a lab has left on the machine: processes that have one of its names, mounts, namespaces' names."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if lab.name.encode() in words and str(os.getpid()) != folder.name:
            found.append(words.decode())
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if lab.name in line]
    return found


def daemon_of(lab: Lab) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"meshctl.lab.daemon" in words and lab.name.encode() in words:
            return int(folder.name)
    raise AssertionError("the lab has no daemon")


def namespaces(pid: int) -> tuple[int, set[int]]:
    """Return the pid namespace of a daemon and all processes in it."""
    inode = Path(f"/proc/{pid}/ns/pid").stat().st_ino
    return inode, members(inode)


def members(inode: int) -> set[int]:
    """Return the living processes of a pid namespace; one that has ended stays listed until its parent looks."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            dead = " Z " in (folder / "stat").read_text()
            if not dead and (folder / "ns/pid").stat().st_ino == inode:
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def test_down_leaves_nothing(shop: Lab) -> None:
    links = {entry.name for entry in Path("/sys/class/net").iterdir()}
    inode, inside = namespaces(daemon_of(shop))
    assert len(inside) > 4
    root = Path(next(line for line in shop.meshctl("lab", "status").out.splitlines()).split(" in ")[1])
    assert root.exists()
    shop.down()
    assert members(inode) == set()
    assert not root.exists()
    assert {entry.name for entry in Path("/sys/class/net").iterdir()} == links
    assert remains(shop) == []


def test_a_killed_daemon_leaves_nothing_and_the_name_can_be_used_again(shop: Lab) -> None:
    daemon = daemon_of(shop)
    inode, inside = namespaces(daemon)
    assert len(inside) > 4
    os.kill(daemon, 9)
    shop.wait(lambda: not members(inode), "the end of every process")
    assert remains(shop) == []
    assert shop.meshctl("lab", "status", code=3).err.startswith("No lab named")
    shop.up(SHOP, "--bare")
    assert "one" in ask(shop, "http://web/")
