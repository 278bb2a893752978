"""What happens when parts of the mesh go away."""

import json

from demo.processes import Process, of_lab, worker_of
from demo.scene import Scene
from demo.shop import Counted
from demo.steps.plaintext import MARKER
from demo.steps.requests import CATALOG

GAP = 1.0  # seconds
WRITE = "http://catalog/"
STEADILY = "--until-eof --pause 0.02 --timeout 2"


def waypoint_gone(scene: Scene) -> None:
    """A waypoint deleted and made again while requests run: refused in between, never sent past it."""
    with scene.shop.watch("node-1", MARKER) as link:
        reading = scene.shop.start(f"{CATALOG}?pay={MARKER}", STEADILY)
        writing = scene.shop.start(WRITE, f"{STEADILY} -X POST")
        scene.user.type("waypoint delete waypoint -n shop")
        scene.user.wait("the waypoint gone", lambda: refused(scene), seconds=10)
        enforced = policy_status(scene)
        scene.user.type("waypoint create -n shop --wait")
        scene.user.wait("the new one serving", lambda: not refused(scene), seconds=10)
        reads, writes = reading.end(), writing.end()
    scene.stage.tell(f"GET:  {story(reads)}")
    scene.stage.tell(f"POST: {story(writes)}")
    scene.stage.check("while it is missing, requests are refused", gap_in(reads), reads)
    scene.stage.check(
        "the policy's status says that nothing enforces it", enforced["status"] == "False", enforced["message"]
    )
    scene.stage.check("no forbidden request ever came through", "201" not in writes.answers, writes)
    scene.stage.check(
        "nothing crossed the link in clear text", link.marker == 0, f"{link.seen['packets']} packets read"
    )
    after = scene.shop.ask(CATALOG, "-n 50 -H 'x-user: beta' --by version")
    scene.stage.check("the new one routes as the old one did", after.bad == 0 and set(after.by) == {"v2"}, after.by)


def policy_status(scene: Scene) -> dict[str, str]:
    """The condition of policy read-only that tells whether a waypoint enforces it."""
    told = json.loads(scene.user.type("get authorizationpolicy read-only -n shop -o json", shown=False).out)
    found: dict[str, str] = next(one for one in told["status"]["conditions"] if one["type"] == "WaypointAccepted")
    return found


def gap_in(counted: Counted) -> bool:
    """Whether good answers came first and last, and none in between."""
    what = [run[0] == "200" for run in counted.history]
    return what[:1] == what[-1:] == [True] and sum(what) == 2


def refused(scene: Scene) -> bool:
    """Whether a read of the catalog fails now."""
    return scene.shop.ask(CATALOG, "-n 1 --timeout 2", shown=False).bad > 0


def story(counted: Counted) -> str:
    """What came back, in order."""
    return ", then ".join(f"{number} x {what} until {last:.1f} s" for what, number, _, last in counted.history)


def worker_killed(scene: Scene) -> None:
    """kill -9 of one pod's worker: nobody else notices, and its next connection is served."""
    pod = next(pod["metadata"]["name"] for pod in scene.pods() if pod["metadata"]["labels"].get("app") == "web")
    worker = worker_of(pod, of_lab(scene.user))
    if worker is None:
        scene.stage.check(f"{pod} has a worker", held=False)
        return
    others = scene.shop.start(CATALOG, "--until-eof -c 2 --pause 0.01")
    own = scene.shop.start("http://web/version", "--until-eof --pause 0.01 --timeout 2")
    scene.user.type(f"exec --node node-2 -- kill -9 {worker.pid}")
    scene.user.wait("a new worker", lambda: new_worker(scene, pod, worker) is not None)
    scene.shop.ask("http://web/version", "-n 30", shown=False)
    elsewhere, here = others.end(), own.end()
    scene.stage.check("requests between other pods notice nothing", elsewhere.bad == 0, elsewhere)
    gap = longest_gap(here)
    scene.stage.check(f"{pod} is served again within {GAP:.0f} s", gap < GAP, f"{here}; {gap:.2f} s without an answer")
    new = new_worker(scene, pod, worker)
    scene.stage.check("by a new worker", new is not None, f"pid {worker.pid}, then {new and new.pid}")


def supervisors_killed(scene: Scene) -> None:
    """kill -9 of the nodes' supervisors, which hold the mesh's configuration: workers go on with what they know."""
    before = supervisors(scene)
    requests = scene.shop.start("http://web/", "--until-eof -c 2 --pause 0.01")
    scene.user.type(f"exec --node node-1 -- kill -9 {' '.join(map(str, sorted(before)))}")
    scene.user.wait("new supervisors", lambda: len(supervisors(scene) - before) == len(before))
    scene.shop.ask("http://web/", "-n 10", shown=False)
    counted = requests.end()
    scene.stage.check("no request notices", counted.bad == 0, counted)


def supervisors(scene: Scene) -> set[int]:
    """The pids of all nodes' supervisors."""
    return {process.pid for process in of_lab(scene.user) if process.name == "zt-supervisor"}


def new_worker(scene: Scene, pod: str, old: Process) -> Process | None:
    """The worker of the pod, if it is not the old one."""
    found = worker_of(pod, of_lab(scene.user))
    return found if found is not None and found.pid != old.pid else None


def longest_gap(counted: Counted) -> float:
    """The longest time between a good answer and the next one, in seconds."""
    good = [(first, last) for what, _, first, last in counted.history if what == "200"]
    ends = [last for _, last in good[:-1]]
    return (
        max((first - end for end, (first, _) in zip(ends, good[1:], strict=True)), default=0.0)
        if good
        else float("inf")
    )
