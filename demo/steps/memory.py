"""What the mesh costs: every process of it, with the memory that is its own."""

from collections import defaultdict

from demo.processes import Process, of_lab
from demo.scene import Scene

MOST = 8 * 1024  # KiB of private memory that an idle worker may have


def table(scene: Scene) -> None:
    """One row for each kind of process."""
    kinds: dict[str, list[Process]] = defaultdict(list)
    for process in of_lab(scene.user):
        kinds[kind_of(process)].append(process)
    rows = [
        [
            kind,
            str(len(them)),
            mebibytes(sum(one.private for one in them) / len(them)),
            mebibytes(sum(one.private for one in them)),
        ]
        for kind, them in sorted(kinds.items())
    ]
    scene.stage.table("private memory", ["process", "number", "each, MiB", "all, MiB"], rows)
    workers = kinds.get("ztunnel worker", [])
    most = max((worker.private for worker in workers), default=0)
    scene.stage.check(
        f"no worker holds more than {mebibytes(MOST)} MiB",
        0 < most <= MOST,
        f"{len(workers)} workers, at most {mebibytes(most)} MiB",
    )


def mebibytes(kibibytes: float) -> str:
    """With one digit."""
    return f"{kibibytes / 1024:.1f}"


def kind_of(process: Process) -> str:
    """What a process is, from its name and command line."""
    if process.name.startswith("zt-"):
        own = process.name.removeprefix("zt-")
        return f"ztunnel {own}" if own in {"keeper", "zygote", "supervisor"} else "ztunnel worker"
    for word, kind in (
        ("ztunnel serve", "ztunnel keeper"),
        ("waypoint serve", "waypoint"),
        ("istiod-lite", "istiod_lite"),
        ("meshctl.lab", "lab daemon"),
    ):
        if word in process.command:
            return kind
    return "applications" if process.command.split(" ")[-1].endswith(".py") else "other"
