"""Puts a pod's capture rules in place, relaxes and removes them, by running nft and ip in its network namespace."""

from __future__ import annotations

import re
import subprocess
from typing import Final

import trio

from ztunnel import capture

_HARMLESS: Final = re.compile(
    r"RTNETLINK answers: (File exists|No such file or directory|No such process)|Command failed -:\d+|"
)


class RulesFailed(Exception):
    """nft or ip refused; the text is what they said."""


async def redirect(namespace: int, *, ipv6: bool, names: bool = True) -> None:
    """Capture the pod's traffic from now on; anew if it is captured already. Raises RulesFailed.

    `names` is whether its questions for names are captured too.
    """
    for version in _versions(ipv6):
        await _route(namespace, version, capture.routing(version))
    await _filter(namespace, capture.ruleset(capture.ISTIO_PROBES, names=names))


async def relax(namespace: int) -> None:
    """Capture no new connection; those that are captured go on. Raises RulesFailed."""
    await _filter(namespace, capture.relaxed_ruleset())


async def remove(namespace: int, *, ipv6: bool) -> None:
    """Leave nothing behind; captured connections that still live end here. Raises RulesFailed."""
    await _filter(namespace, capture.no_ruleset())
    for version in _versions(ipv6):
        await _route(namespace, version, capture.no_routing(version))


def _versions(ipv6: bool) -> tuple[int, ...]:
    return (4, 6) if ipv6 else (4,)


async def _filter(namespace: int, ruleset: str) -> None:
    said = await _run(namespace, ("nft", "-f", "-"), ruleset)
    if said:
        raise RulesFailed(f"nft: {said}")


async def _route(namespace: int, version: int, commands: tuple[str, ...]) -> None:
    said = await _run(
        namespace, ("ip", f"-{version}", "-force", "-batch", "-"), "".join(f"{line}\n" for line in commands)
    )
    bad = [line for line in said.splitlines() if not _HARMLESS.fullmatch(line)]
    if bad:
        raise RulesFailed(f"ip: {'; '.join(bad)}")


async def _run(namespace: int, command: tuple[str, ...], text: str) -> str:
    """What the command complained of; empty if it did not."""
    try:
        done = await trio.run_process(
            ("nsenter", f"--net=/proc/self/fd/{namespace}", *command),
            stdin=text.encode(),
            stdout=subprocess.DEVNULL,
            capture_stderr=True,
            check=False,
            pass_fds=(namespace,),
        )
    except OSError as fault:
        return f"cannot run {' '.join(command)}: {fault}"
    said = (done.stderr or b"").decode(errors="replace").strip()
    return said or (f"exit status {done.returncode}" if done.returncode else "")
