"""One label: the same processes, the same requests, and mutual TLS on the wire."""

import re

from demo.scene import Scene
from demo.steps.plaintext import FRONT, MARKER

HBONE = 15008
APP_PORTS = {8080, 9000, 7000}


def label(scene: Scene) -> None:
    """Put the namespaces into the mesh while requests run."""
    before = processes(scene)
    requests = scene.shop.start("http://web/", "--until-eof -c 2 --pause 0.01")
    for namespace in ("shop", "outside"):
        scene.user.type(f"label namespace {namespace} istio.io/dataplane-mode=ambient")
    took = scene.user.wait("the pods captured", lambda: scene.captured("shop") and scene.captured("outside"))
    scene.stage.tell(f"all pods captured {took:.1f} s later")
    counted = requests.end()
    scene.stage.check("requests that ran meanwhile were all answered", counted.bad == 0, counted)
    after = processes(scene)
    scene.stage.check("no application process was restarted", before == after, f"pids {', '.join(before.values())}")


def processes(scene: Scene) -> dict[str, str]:
    """The pids of the applications, by pod."""
    head, *rows = (line.split() for line in scene.user.type("get pods -n shop", shown=False).out.splitlines())
    pods = [dict(zip(head, row, strict=True)) for row in rows]
    return {pod["NAME"]: pod["PID"] for pod in pods}


def is_unreadable(scene: Scene) -> None:
    """The same request as before, seen from the same place."""
    with scene.shop.watch("node-1", MARKER) as link:
        answer = scene.shop.ask(FRONT)
        whole = scene.shop.ask("http://web/")
    tunnel, ports = link.port(HBONE), sorted(map(int, link.seen["ports"]))
    scene.stage.check("the same request is answered", answer.bad == 0, answer)
    scene.stage.check("so are gRPC and server-first TCP behind it", "items" in whole.last.get("catalog", {}), whole)
    scene.stage.check(
        "its payload is not on the link any more", link.marker == 0, f"{link.seen['packets']} packets read"
    )
    scene.stage.check(
        "and no port of an application", not APP_PORTS & set(ports), f"seen: {', '.join(map(str, ports))}"
    )
    scene.stage.check(
        f"port {HBONE} carries TLS records and nothing else",
        tunnel.get("tls_records", 0) > 0 and tunnel.get("not_tls", 1) == 0,
        f"{tunnel.get('tls_records', 0)} records, {tunnel.get('bytes', 0)} bytes",
    )


def identities(scene: Scene) -> None:
    """Both proxies log who was at the other end, by certificate and not by address."""
    scene.shop.ask(FRONT, shown=False)
    lines = scene.user.type("logs ztunnel --node node-2 --tail 200").out.splitlines()
    peers = [peers_of(line) for line in lines if 'direction="inbound"' in line]
    expected = ("spiffe://cluster.local/ns/shop/sa/client", "spiffe://cluster.local/ns/shop/sa/web")
    scene.stage.check("web's worker saw the client's certificate", expected in peers, " -> ".join(expected))


def peers_of(line: str) -> tuple[str, str]:
    """Source and destination identity of a line of the access log."""
    fields = dict(re.findall(r'(\S+)="([^"]*)"', line))
    return fields.get("src.identity", ""), fields.get("dst.identity", "")
