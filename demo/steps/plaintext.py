"""Before the mesh: an ordinary shop on two nodes, whose traffic anybody on the link can read."""

from demo.scene import Scene, shown
from demo.shop import EXAMPLES

MARKER = "card-4929-1234-5678-9010"
FRONT = f"http://web/version?pay={MARKER}"


def start(scene: Scene) -> None:
    """Start the lab and the shop in it."""
    scene.user.type(f"lab up {scene.user.lab} --nodes {scene.nodes} -f {shown(EXAMPLES / 'shop.yaml')}")
    pods = scene.pods()
    spread = sorted({pod["spec"]["nodeName"] for pod in pods})
    scene.stage.check("the shop runs", scene.ready(), f"{len(pods)} pods on {', '.join(spread)}")


def works_by_itself(scene: Scene) -> None:
    """HTTP, gRPC and a server-first TCP protocol, without any mesh."""
    answer = scene.shop.ask("http://web/")
    items = answer.last.get("catalog", {}).get("items", {})
    scene.stage.check("web asks catalog (HTTP), reviews (gRPC) and stock (TCP)", answer.bad == 0 and bool(items), items)


def is_readable(scene: Scene) -> None:
    """What a listener between the nodes sees of a request."""
    with scene.shop.watch("node-1", MARKER) as link:
        answer = scene.shop.ask(FRONT)
    scene.stage.check("a request from node-1 to node-2 is answered", answer.bad == 0, answer)
    scene.stage.check(
        "its payload crosses the link between the nodes in clear text", link.marker > 0, "; ".join(link.excerpts)
    )
