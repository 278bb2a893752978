"""`python -m demo`: shows a mesh on this machine and proves each step; exit code 0 when everything held."""

import argparse
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.kills import mesh
from demo.scene import Scene
from demo.stage import Stage
from demo.steps import enrolment, failures, memory, plaintext, policy, requests, upgrade
from demo.user import PROGRAM, CommandFailed, NeverCame, User

STEPS: tuple[tuple[str, Callable[[Scene], None]], ...] = (
    ("A shop on two nodes", plaintext.start),
    ("It works by itself", plaintext.works_by_itself),
    ("Anybody on the link can read it", plaintext.is_readable),
    ("One label puts it into the mesh", enrolment.label),
    ("The same request, on the same link", enrolment.is_unreadable),
    ("Who speaks to whom", enrolment.identities),
    ("Who may connect", policy.deny_strangers),
    ("A waypoint, for requests", requests.create),
    ("One request in ten to the new version", requests.split),
    ("A header decides", requests.by_header),
    ("Who may do what", requests.read_only),
    ("The waypoint goes away and comes back", failures.waypoint_gone),
    ("A worker is killed", failures.worker_killed),
    ("The supervisors of all nodes are killed", failures.supervisors_killed),
    ("What it costs", memory.table),
    ("Every node goes to another version of ztunnel", upgrade.under_load),
)

TRY_NEXT = """
the lab is still up. What to try next:

  export PATH={programs}:$PATH AMBIT_LAB={lab}
  meshctl get pods -n shop
  meshctl exec client -n shop -- python load.py http://catalog/version -n 100 --by version
  meshctl get httproute catalog-split -n shop -o yaml
  meshctl waypoint status -n shop
  meshctl logs ztunnel --node node-2 --tail 20
  meshctl lab status
  meshctl lab down
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the lab up at the end")
    parser.add_argument("--nodes", type=int, default=2, help="how many nodes, at least 2 (default 2)")
    parser.add_argument("--lab", default="demo", help="what to call the lab (default demo)")
    return parser.parse_args()


def play(scene: Scene) -> None:
    """Show every step; stop at the first that cannot go on."""
    for title, show in STEPS:
        scene.stage.step(title)
        try:
            show(scene)
        except (CommandFailed, NeverCame, mesh.NeverCame, subprocess.SubprocessError) as problem:
            scene.stage.check(f"the step '{title}' could be shown", held=False, evidence=problem)
            return


def save_logs(user: User) -> Path:
    """Put what the mesh's parts have logged where it outlives the lab."""
    folder = Path(tempfile.mkdtemp(prefix=f"{user.lab}-"))
    for part in ("lab", "istiod", "ztunnel", "waypoint -n shop"):
        told = user.type(f"logs {part}", shown=False, may_fail=True)
        (folder / f"{part.split()[0]}.log").write_text(told.out + told.err, encoding="utf-8")
    return folder


def close(scene: Scene, *, keep: bool, ended: bool) -> int:
    """Take the lab down unless it is to be kept, say how it went; the exit code."""
    stage, user = scene.stage, scene.user
    logs = save_logs(user) if stage.failed else None
    if keep:
        stage.plain(TRY_NEXT.format(programs=PROGRAM.parent, lab=user.lab))
    else:
        user.type(f"lab down {user.lab}", shown=False, may_fail=True)
    for check in stage.failed:
        stage.plain(f"failed: {check.claim}: {check.evidence}")
    if logs is not None:
        stage.plain(f"the logs of its parts are in {logs}")
    if not ended:
        return 130
    if stage.failed:
        stage.plain(f"demo: {len(stage.failed)} of {len(stage.checks)} checks failed")
        return 1
    stage.tell(f"{time.monotonic() - stage.began:.0f} s")
    stage.plain(f"demo: {len(stage.checks)} checks passed")
    return 0


def main() -> int:
    """Run the demonstration."""
    told = arguments()
    stage = Stage()
    user = User(stage, told.lab)
    if told.lab in user.labs():
        stage.plain(
            f"A lab named {told.lab} is up already. Take it down ({PROGRAM} lab down {told.lab}), or say --lab NAME."
        )
        return 2
    scene, ended = Scene(stage, user, max(2, told.nodes)), False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        play(scene)
        ended = True
    except KeyboardInterrupt:
        stage.plain("interrupted")
    finally:
        code = close(scene, keep=told.keep, ended=ended)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
