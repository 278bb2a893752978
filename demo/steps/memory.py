"""What the mesh costs: every process of it, with the memory that is its own."""

from collections import defaultdict

from demo.processes import Process, of_lab, worker_of
from demo.scene import Scene, in_mesh


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
    own_workers(scene, kinds["ztunnel worker"])


def own_workers(scene: Scene, workers: list[Process]) -> None:
    """One worker for each pod in the mesh, each under a uid of its own where there are several."""
    pods = [pod for namespace in ("shop", "outside") for pod in scene.pods(namespace) if in_mesh(pod)]
    alone = [pod for pod in pods if worker_of(pod["metadata"]["name"], workers) is None]
    scene.stage.check(
        "every pod in the mesh has a worker of its own",
        len(workers) == len(pods) and not alone,
        f"{len(workers)} workers, at most {mebibytes(max(worker.private for worker in workers))} MiB each",
    )
    if all(worker.uid == 0 for worker in workers):
        scene.stage.tell("an ordinary user's lab has one uid, so the workers share it; as root each has its own")
        return
    owners = {(pod["spec"]["nodeName"], worker_of(pod["metadata"]["name"], workers)) for pod in pods}
    uids = {(node, worker.uid) for node, worker in owners if worker is not None}
    unprivileged = all(uid for _, uid in uids)
    numbers = ", ".join(f"{node} {uid}" for node, uid in sorted(uids))
    scene.stage.check("under a uid of its own on its node", len(uids) == len(workers) and unprivileged, numbers)


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
