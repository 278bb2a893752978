"""A mesh with Envoys in pods that are not enrolled: they speak HBONE themselves, with istiod's certificates or others.

shop (in the mesh)   client, other: to call from    echo: plain TCP    web-one, web-two: behind waypoint `waypoint`
legacy (not)         envoy: a client of HBONE, with a port of its loopback for each of its tunnels
                     partner, other-root, other-domain: servers of HBONE, each before an app that gives bytes back
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mesh import pki
from mesh.identity import Identity
from mesh.net.tls import Credentials
from tests.interop.envoy_pod import LOG, OWN, save
from tests.lab_for_tests import FOLDER, Lab

ENVOY = Identity("cluster.local", "legacy", "envoy")
PARTNER = Identity("cluster.local", "legacy", "partner")
CLIENT = Identity("cluster.local", "shop", "client")
ECHO = Identity("cluster.local", "shop", "echo")
WAYPOINT = Identity("cluster.local", "shop", "waypoint")
ELSEWHERE = "elsewhere.example"

TO_ECHO, TO_WEB, OTHER_ROOT_TO_ECHO, OTHER_DOMAIN_TO_ECHO, OTHER_DOMAIN_TO_WEB = map(str, range(9001, 9006))
"""Ports of the loopback in pod envoy."""
PORT = 7000
"""Where all that give bytes back listen."""
_SEND = ("python", f"{FOLDER}/interop/echoed.py", "send")
_PAPERS = "/papers"
_OTHER_ROOT, _OTHER_DOMAIN = f"{_PAPERS}/other-root", f"{_PAPERS}/other-domain"


def sleeper(name: str) -> str:
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop}}
spec:
  serviceAccountName: {name}
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  containers: [{{name: main, command: [sleep, infinity]}}]
"""


def web(version: str) -> str:
    return f"""
---
apiVersion: v1
kind: Service
metadata: {{name: web-{version}, namespace: shop}}
spec: {{selector: {{version: {version}}}, ports: [{{name: http, port: 80, targetPort: 8080, appProtocol: http}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web-{version}, namespace: shop, labels: {{app: web, version: {version}}}}}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    command: [python, netns/meshctl/who.py, "8080", {version}]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
"""


def accounts(*identities: Identity) -> str:
    return "".join(
        f"""
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {one.service_account}, namespace: {one.namespace}}}
"""
        for one in identities
    )


MESH = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{istio.io/dataplane-mode: ambient}}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: legacy}}
{accounts(ENVOY, PARTNER, CLIENT, ECHO, Identity("cluster.local", "shop", "other"))}
{sleeper("client")}{sleeper("other")}
---
apiVersion: v1
kind: Pod
metadata: {{name: echo, namespace: shop, labels: {{app: echo}}}}
spec:
  serviceAccountName: echo
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: echo
    command: [python, interop/echoed.py, serve, "{PORT}"]
    readinessProbe: {{tcpSocket: {{port: {PORT}}}, periodSeconds: 1}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: waypoint, namespace: shop}}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop, labels: {{istio.io/use-waypoint: waypoint}}}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080, appProtocol: http}}]}}
{web("one")}{web("two")}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web, namespace: shop}}
spec:
  parentRefs: [{{group: "", kind: Service, name: web, port: 80}}]
  rules:
  - matches: [{{headers: [{{name: x-canary, value: "yes"}}]}}]
    backendRefs: [{{name: web-two, port: 80}}]
  - backendRefs: [{{name: web-one, port: 80}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: no-admin-for-envoy, namespace: shop}}
spec:
  targetRefs: [{{group: "", kind: Service, name: web}}]
  action: DENY
  rules:
  - from: [{{source: {{principals: [cluster.local/ns/legacy/sa/envoy]}}}}]
    to: [{{operation: {{paths: ["/admin*"]}}}}]
"""

_GIVES_BACK = (
    f'  - {{name: app, command: [python, tests/interop/echoed.py, serve, "{PORT}"], workingDir: {FOLDER.parent}}}'
)


def envoy_pod(name: str, account: str, probed: str, arguments: Sequence[str], papers: Path, behind: str = "") -> str:
    """A pod with an Envoy, ready when its port `probed` is, and what is `behind` it.

    Token and root come as a waypoint gets them. The label says that the pod takes HBONE by itself.
    """
    command = ", ".join(f'"{word}"' for word in ("python", "-m", "tests.interop.envoy_pod", *arguments))
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: legacy, labels: {{networking.istio.io/tunnel: {"http" if behind else "none"}}}}}
spec:
  serviceAccountName: {account}
  nodeName: node-1
  terminationGracePeriodSeconds: 2
  containers:
  - name: envoy
    command: [{command}]
    workingDir: {FOLDER.parent}
    env:
    - {{name: POD_NAMESPACE, valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}}}
    - {{name: SERVICE_ACCOUNT, valueFrom: {{fieldRef: {{fieldPath: spec.serviceAccountName}}}}}}
    readinessProbe: {{exec: {{command: [bash, -c, "echo > /dev/tcp/127.0.0.1/{probed}"]}}, periodSeconds: 1}}
    volumeMounts:
    - {{name: token, mountPath: /var/run/secrets/tokens}}
    - {{name: root, mountPath: /var/run/secrets/istio}}
    - {{name: papers, mountPath: {_PAPERS}}}
{behind}
  volumes:
  - name: token
    projected: {{sources: [{{serviceAccountToken: {{path: istio-token, audience: istio-ca}}}}]}}
  - {{name: root, configMap: {{name: istio-ca-root-cert}}}}
  - {{name: papers, hostPath: {{path: {papers}}}}}
"""


@dataclass(frozen=True)
class Scene:
    """The lab with everything in it."""

    lab: Lab

    def address(self, pod: str, namespace: str = "legacy") -> str:
        """The pod's IP."""
        [found] = self.lab.get("pods", namespace, pod)
        return str(found["status"]["podIP"])

    def send(self, pod: str, namespace: str, host: str, port: str | int = PORT, mib: int = 1) -> bool:
        """Whether all bytes that a pod sends come back, whole and in order."""
        command = (*_SEND, host, str(port), str(mib))
        return self.lab.exec(pod, *command, namespace=namespace, code=None).code == 0

    def through_envoy(self, port: str, mib: int = 1) -> bool:
        """The same through one of Envoy's tunnels."""
        return self.send("envoy", "legacy", "127.0.0.1", port, mib)

    @contextmanager
    def lasting(self, pod: str, namespace: str, host: str, port: str | int = PORT) -> Iterator[None]:
        """A connection that is in use before and after the block, and must not notice."""
        sender = self.lab.start("lab", "exec", pod, "-n", namespace, "--", *_SEND, host, str(port), "1")
        try:
            assert sender.stdout is not None
            assert sender.stdout.readline(), sender.communicate()
            yield
            assert sender.communicate(timeout=20) == ("", "")
            assert sender.returncode == 0
        finally:
            sender.kill()
            sender.wait()

    def curl(self, *arguments: str, pod: str = "envoy", namespace: str = "legacy") -> str:
        """An HTTP answer, with its status in the last line."""
        command = ("curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", *arguments)
        return self.lab.exec(pod, *command, namespace=namespace, code=None).out

    def envoys_log(self) -> str:
        """What Envoy in pod envoy says, its access log among it."""
        return self.lab.exec("envoy", "cat", str(LOG), namespace="legacy").out

    def access(self, node: str, *marks: str) -> list[str]:
        """Lines of the access log of a node's workers that bear all of these."""
        lines = self.lab.logs("ztunnel", "--node", node).splitlines()
        return [line for line in lines if "\taccess\t" in line and all(mark in line for mark in marks)]


def bring_up(lab: Lab, papers: Path) -> Scene:
    """The mesh first, because the Envoys are told its addresses and the forger needs its root."""
    lab.up(MESH)
    scene = Scene(lab)
    lab.wait(lambda: _programmed(lab), "the waypoint")
    forge(_root(lab), papers)
    lab.apply("".join(_envoys(scene, papers)))
    lab.wait(lambda: len(_ready(lab, "legacy")) == 4, "four Envoys")
    return scene


def forge(root: pki.Authority, papers: Path) -> None:
    """Papers of partners that trust the mesh's root, signed by a root of their own, or of another trust domain."""
    now = datetime.now(UTC)
    forger = pki.new_authority("cluster.local", now)
    stranger = Identity(ELSEWHERE, PARTNER.namespace, PARTNER.service_account)
    for folder, authority, identity in (("other-root", forger, PARTNER), ("other-domain", root, stranger)):
        key = pki.new_key()
        chain = pki.issue(authority, pki.csr(key, identity), identity, timedelta(hours=1), now)
        assert isinstance(chain, pki.Chain)
        save(Credentials(identity, pki.key_pem(key), chain.certificates, root.certificate_pem), papers / folder)


def _envoys(scene: Scene, papers: Path) -> Iterator[str]:
    lab = scene.lab
    echo = scene.address("echo", "shop")
    [waypoint] = [
        pod["status"]["podIP"] for pod in lab.get("pods", "shop") if pod["metadata"]["name"].startswith("way")
    ]
    vip = lab.get("svc", "shop", "web")[0]["spec"]["clusterIP"]
    at_echo = (f"{echo}:15008", f"{echo}:{PORT}", str(ECHO))
    at_web = (f"{waypoint}:15008", f"{vip}:80", str(WAYPOINT))
    carried = (
        *("--carry", TO_ECHO, *at_echo, OWN),
        *("--carry", TO_WEB, *at_web, OWN),
        *("--carry", OTHER_ROOT_TO_ECHO, *at_echo, _OTHER_ROOT),
        *("--carry", OTHER_DOMAIN_TO_ECHO, *at_echo, _OTHER_DOMAIN),
        *("--carry", OTHER_DOMAIN_TO_WEB, *at_web, _OTHER_DOMAIN),
    )
    yield envoy_pod("envoy", "envoy", TO_ECHO, carried, papers)
    for name, shown in (("partner", OWN), ("other-root", _OTHER_ROOT), ("other-domain", _OTHER_DOMAIN)):
        serving = ("--serve", f"127.0.0.1:{PORT}", str(CLIENT), shown)
        yield envoy_pod(name, "partner", "15008", serving, papers, _GIVES_BACK)


def _programmed(lab: Lab) -> bool:
    [gateway] = lab.get("gateway", "shop", "waypoint")
    conditions = gateway.get("status", {}).get("conditions", ())
    return any(one["type"] == "Programmed" and one["status"] == "True" for one in conditions)


def _ready(lab: Lab, namespace: str) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in lab.get("pods", namespace)
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
    ]


def _root(lab: Lab) -> pki.Authority:
    """The mesh's own root with its key, as istiod keeps it."""
    [istiod] = lab.pods("istiod", "istio-system")
    name = istiod["metadata"]["name"]
    kept = lab.exec(name, "cat", "/run/istiod/state/root.pem", namespace="istio-system").out.encode()
    return pki.load_authority(kept, kept)
