"""Every node's ztunnel is replaced by another installed version, while connections are open and new ones are made."""

import tempfile
from pathlib import Path

from bench.kills import another
from bench.kills.mesh import MANIFESTS, NAMESPACE, Mesh
from demo.processes import WORKER, of_lab
from demo.scene import Scene
from demo.user import PROGRAM

VERSION = "0.2.0"
PARTS = {f"{WORKER}{part}" for part in ("keeper", "supervisor", "zygote")}


def under_load(scene: Scene) -> None:
    """New connections go to new workers; what is open stays with the old ones, and nothing is cut off."""
    mesh = Mesh(scene.user.lab)
    mesh.apply(MANIFESTS)
    scene.user.wait("a server and its callers", lambda: scene.ready(NAMESPACE) and scene.captured(NAMESPACE))
    with tempfile.TemporaryDirectory(prefix="ambit-") as folder:
        Path(folder).chmod(0o755)
        program = another.install(Path(folder) / VERSION, VERSION)
        with mesh.load(clients=8, established=200) as load:
            before = workers(scene)
            told = scene.user.type(f"lab upgrade {program}", timeout=180)
            both = workers(scene)
        for line in told.out.splitlines():
            scene.stage.tell(line)
        scene.stage.check("no new connection is refused", load.told.refused == 0, f"{load.told.served} were served")
        scene.stage.check("no open one is lost", load.told.lost == 0, f"{load.told.established} were open")
        scene.stage.check("every pod has a new worker", len(both - before) == len(before), f"{len(before)} pods")
        scene.stage.check("old workers stay for what is open", bool(both & before), f"{len(both & before)} of them did")
        scene.user.wait("the end of the callers' old worker", lambda: len(mesh.pids("caller")) == 1)
        scene.stage.check("they end with the last of it", held=True, evidence="that of the callers has ended")
        scene.stage.tell("going back is an upgrade, too:")
        back = scene.user.type(f"lab upgrade {PROGRAM.with_name('ztunnel')}", timeout=180)
        for line in back.out.splitlines():
            scene.stage.tell(line)


def workers(scene: Scene) -> set[int]:
    """The pids of all nodes' workers."""
    return {one.pid for one in of_lab(scene.user) if one.name.startswith(WORKER) and one.name not in PARTS}
