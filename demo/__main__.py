"""`python -m demo`: shows a mesh on this machine and proves each step; exit code 0 when everything held."""

import argparse
import signal
import sys
from collections.abc import Callable

from demo.scene import Scene
from demo.stage import Stage
from demo.steps import enrolment, failures, memory, plaintext, policy, requests
from demo.user import CommandFailed, NeverCame, User

LAB = "demo"
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
    ("What it costs", memory.table),
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the lab up at the end")
    parser.add_argument("--nodes", type=int, default=2, help="how many nodes, at least 2 (default 2)")
    return parser.parse_args()


def play(scene: Scene) -> bool:
    """Show every step; stop at the first that cannot go on. Whether everything held."""
    stage = scene.stage
    for title, show in STEPS:
        with stage.step(title):
            try:
                show(scene)
            except (CommandFailed, NeverCame) as problem:
                stage.check(title, False, problem)
                return False
    return not stage.failed


def close(scene: Scene, *, keep: bool) -> None:
    """Say how it went, and take the lab down unless it is to be kept."""
    stage = scene.stage
    stage.console.print()
    if keep:
        stage.tell(KEPT.format(lab=LAB))
    else:
        scene.user.type(f"lab down {LAB}", may_fail=True)
    for check in stage.failed:
        stage.console.print(f"failed: {check.claim}: {check.evidence}", markup=False)


KEPT = "the lab is still up"


def main() -> int:
    """Run the demonstration."""
    told = arguments()
    stage = Stage()
    scene = Scene(stage, User(stage, LAB), max(2, told.nodes))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    held = False
    try:
        held = play(scene)
    finally:
        close(scene, keep=told.keep)
    print(f"demo: {len(stage.checks)} checks passed" if held else f"demo: {len(stage.failed)} checks failed")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
