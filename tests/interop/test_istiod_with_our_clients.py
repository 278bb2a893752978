"""istiod-lite as a process, and the proxies' own xDS and certificate clients against it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
import trio
import yaml

from mesh import pki
from mesh.identity import Identity
from mesh.net import ads, certs
from mesh.snapshot import Snapshot
from mesh.xds.codec import Rejection
from mesh.xds.node import WAYPOINT, ZTUNNEL, Node
from mesh.xds.resource import NODE_TYPES, WAYPOINT_TYPES
from tests.istiod_for_tests import PATIENCE, Istiod, pod, running, service, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from mesh.net.tls import Credentials
    from mesh.snapshot import Change

pytestmark = pytest.mark.interop

WEB = Identity("cluster.local", "shop", "web")
NODE = Node(ZTUNNEL, "ztunnel-1", "istio-system", metadata={"NODE_NAME": "node-1"})
NAMESPACE = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-front, namespace: shop}
spec: {action: ALLOW, rules: [{from: [{source: {principals: ["cluster.local/ns/shop/sa/front"]}}]}]}
"""


@pytest.fixture
def istiod(tmp_path: Path) -> Iterator[Istiod]:
    with running(
        tmp_path,
        namespace=NAMESPACE,
        web=service("web", "10.96.0.20") + "\n---\n" + pod("web-1", "10.244.1.5"),
        policy=POLICY,
    ) as started:
        yield started


def ztunnel_token(istiod: Istiod, **changes: object) -> str:
    return istiod.issuer.token("istio-system", "ztunnel", **{"node": "node-1", **changes})


class Proxy:
    """What a proxy does with xDS: keep a snapshot, refuse what it does not like."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.disliked: set[str] = set()
        self.batches: list[list[Change]] = []
        self.connected: list[bool] = []
        self.synced = trio.Event()
        self._changed = trio.Event()

    def take(self, changes: list[Change]) -> Sequence[Rejection]:
        self.snapshot = self.snapshot.apply(changes)
        self.batches.append(changes)
        self._stir()
        seen = {uid for uid in self.snapshot.workloads if any(name in uid for name in self.disliked)}
        return [Rejection(uid, "I do not like it") for uid in seen]

    def connection(self, up: bool) -> None:
        self.connected.append(up)
        self._stir()

    def all_answered(self) -> None:
        self.synced.set()
        self._stir()

    def _stir(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, condition: object) -> None:
        with trio.fail_after(PATIENCE):
            while not condition():
                await self._changed.wait()

    def pods(self) -> set[str]:
        return {one.name for one in self.snapshot.workloads.values()}


@asynccontextmanager
async def following(endpoint: ads.XdsEndpoint, types: Sequence[str] = NODE_TYPES) -> AsyncIterator[Proxy]:
    proxy = Proxy()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(ads.subscribe, connected=proxy.connection, synced=proxy.all_answered), endpoint, types, proxy.take
        )
        yield proxy
        nursery.cancel_scope.cancel()


async def test_a_node_learns_the_mesh_and_every_change_of_it(istiod: Istiod) -> None:
    async with following(istiod.xds(ztunnel_token(istiod), NODE)) as node:
        with trio.fail_after(PATIENCE):
            await node.synced.wait()
        assert node.pods() == {"web-1"}
        assert [one.name for one in node.snapshot.endpoints("shop/web.shop.svc.cluster.local")] == ["web-1"]
        assert node.snapshot.workload_at("", IPv4Address("10.244.1.5")).identity == WEB
        assert set(node.snapshot.policies) == {"shop/only-front"}

        istiod.write("second.yaml", pod("web-2", "10.244.2.5", node="node-2"))
        await node.until(lambda: node.pods() == {"web-1", "web-2"})
        assert [len(node.batches[-1])] == [1], "only what changed is pushed"

        (istiod.manifests / "second.yaml").unlink()
        (istiod.manifests / "policy.yaml").unlink()
        await node.until(lambda: node.pods() == {"web-1"} and not node.snapshot.policies)


async def test_a_restart_of_istiod_costs_nothing_and_changes_meanwhile_arrive(istiod: Istiod) -> None:
    root = (istiod.state / "root-cert.pem").read_bytes()
    istiod.write("second.yaml", pod("web-2", "10.244.2.5"))
    async with following(istiod.xds(ztunnel_token(istiod), NODE)) as node:
        await node.until(lambda: node.pods() == {"web-1", "web-2"} and node.synced.is_set())
        await trio.to_thread.run_sync(partial(istiod.stop, kill=True))
        await node.until(lambda: node.connected == [True, False])
        assert node.pods() == {"web-1", "web-2"}, "what is known stays in force"

        (istiod.manifests / "second.yaml").unlink()
        istiod.write("third.yaml", pod("web-3", "10.244.3.5"))
        before = len(node.batches)
        await trio.to_thread.run_sync(istiod.start)
        await node.until(lambda: node.pods() == {"web-1", "web-3"})
        assert node.connected[-1] is True
        resent = [change for batch in node.batches[before:] for change in batch]
        assert all("web-1" not in repr(change) for change in resent), "nothing that is held is sent again"
    assert (istiod.state / "root-cert.pem").read_bytes() == root


async def test_what_a_proxy_refuses_is_reported_and_the_rest_stays_in_force(istiod: Istiod) -> None:
    async with following(istiod.xds(ztunnel_token(istiod), NODE)) as node:
        await node.until(node.synced.is_set)
        node.disliked.add("odd")
        istiod.write("more.yaml", pod("odd-1", "10.244.1.6"), pod("web-2", "10.244.1.7"))
        await node.until(lambda: "web-2" in node.pods())
        await trio.to_thread.run_sync(
            wait_until, lambda: "refuses Kubernetes//Pod/shop/odd-1: I do not like it" in istiod.log, "istiod logs it"
        )
        node.disliked.clear()
        istiod.write("last.yaml", pod("web-3", "10.244.1.8"))
        await node.until(lambda: "web-3" in node.pods())


async def test_a_bad_manifest_keeps_its_last_good_meaning(istiod: Istiod) -> None:
    async with following(istiod.xds(ztunnel_token(istiod), NODE)) as node:
        await node.until(node.synced.is_set)
        good = node.snapshot.policies["shop/only-front"]
        istiod.write("policy.yaml", POLICY.replace("principals", "principles"))
        await trio.to_thread.run_sync(wait_until, lambda: "principles" in istiod.log, "istiod complains")
        complaint = next(line for line in istiod.log.splitlines() if "principles" in line)
        assert "policy.yaml" in complaint
        assert "AuthorizationPolicy shop/only-front" in complaint
        istiod.write("second.yaml", pod("web-2", "10.244.2.5"))
        await node.until(lambda: "web-2" in node.pods())
        assert node.snapshot.policies["shop/only-front"] == good

        istiod.write("policy.yaml", POLICY.replace('front"', 'back"'))
        await node.until(lambda: node.snapshot.policies["shop/only-front"] != good)


GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}, namespace: shop, uid: uid-{name}}}
spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]}}
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: shop}}
spec:
  parentRefs: [{{group: "", kind: Service, name: {name}}}]
  rules: [{{backendRefs: [{{name: {name}, port: 80}}]}}]
"""


async def test_a_waypoint_sees_only_what_concerns_its_services(istiod: Istiod) -> None:
    istiod.write(
        "waypoints.yaml",
        *(GATEWAY.format(name=name) for name in ("ours", "theirs")),
        service("cart", "10.96.0.21", "{istio.io/use-waypoint: ours}"),
        service("bank", "10.96.0.22", "{istio.io/use-waypoint: theirs}"),
        *(ROUTE.format(name=name) for name in ("cart", "bank")),
        POLICY.replace("only-front", "at-cart").replace(
            "spec: {", "spec: {targetRefs: [{kind: Service, group: '', name: cart}], "
        ),
    )
    node = Node(WAYPOINT, "ours-1", "shop", metadata={"GATEWAY_NAME": "ours"})
    async with following(istiod.xds(istiod.issuer.token("shop", "ours"), node), WAYPOINT_TYPES) as waypoint:
        await waypoint.until(
            lambda: len(waypoint.snapshot.routes) == 1 and "shop/at-cart" in waypoint.snapshot.policies
        )
        assert {one.name for one in waypoint.snapshot.routes.values()} == {"cart"}
        istiod.write("label.yaml", service("spare", "10.96.0.23"))
        moved = (istiod.manifests / "waypoints.yaml").read_text().replace("use-waypoint: theirs", "use-waypoint: ours")
        istiod.write("waypoints.yaml", moved)
        await waypoint.until(lambda: {one.name for one in waypoint.snapshot.routes.values()} == {"cart", "bank"})
        istiod.write("waypoints.yaml", moved.replace("use-waypoint: ours", "use-waypoint: theirs"))
        await waypoint.until(lambda: not waypoint.snapshot.routes and "shop/at-cart" not in waypoint.snapshot.policies)

    impostor = Node(WAYPOINT, "ours-1", "shop", metadata={"GATEWAY_NAME": "ours"})
    async with following(istiod.xds(istiod.issuer.token("elsewhere", "ours"), impostor), WAYPOINT_TYPES) as outsider:
        await trio.to_thread.run_sync(wait_until, lambda: "which calls itself waypoint" in istiod.log, "it is refused")
        assert not outsider.batches


async def test_istiod_writes_what_waypoints_need_and_what_became_of_objects(istiod: Istiod) -> None:
    istiod.write("waypoint.yaml", GATEWAY.format(name="gate"))
    deployment = istiod.generated / "Deployment_shop_gate.yaml"
    await trio.to_thread.run_sync(wait_until, deployment.exists, "the waypoint is wanted")
    gateway = istiod.status / "Gateway_shop_gate.yaml"
    await trio.to_thread.run_sync(wait_until, gateway.exists, "its status is told")
    status = yaml.safe_load(gateway.read_text())
    assert status["metadata"] == {"name": "gate", "namespace": "shop"}
    assert {one["type"]: one["status"] for one in status["status"]["conditions"]}["Accepted"] == "True"
    root = yaml.safe_load((istiod.generated / "ConfigMap_shop_istio-ca-root-cert.yaml").read_text())
    assert root["data"]["root-cert.pem"] == (istiod.state / "root-cert.pem").read_text()

    written = gateway.stat().st_mtime_ns
    (istiod.generated / "Service_shop_gone.yaml").write_text("left over from a former process")
    await trio.to_thread.run_sync(istiod.stop)
    await trio.to_thread.run_sync(istiod.start)
    assert gateway.stat().st_mtime_ns == written, "an unchanged status is not written again"
    assert not (istiod.generated / "Service_shop_gone.yaml").exists()

    (istiod.manifests / "waypoint.yaml").unlink()
    await trio.to_thread.run_sync(wait_until, lambda: not deployment.exists() and not gateway.exists(), "they go too")


async def test_a_node_proxy_gets_certificates_for_the_pods_of_its_node(istiod: Istiod) -> None:
    given: list[Credentials] = []
    endpoint = istiod.ca(ztunnel_token(istiod))

    async def sign(csr: bytes, identity: Identity) -> pki.Chain:
        return await certs.sign(endpoint, csr, identity, 3600, impersonate=True)

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(certs.keep, sign, WEB, lambda new: (given.append(new), nursery.cancel_scope.cancel()))
    leaf = pki.leaf_of(given[0].chain_pem)
    assert pki.identity_of(leaf) == WEB
    assert given[0].roots_pem == (istiod.state / "root-cert.pem").read_bytes()
    leaf.verify_directly_issued_by(pki.leaf_of(given[0].roots_pem))


async def test_a_node_that_is_ahead_of_the_folder_need_not_ask_twice(istiod: Istiod) -> None:
    cart = Identity("cluster.local", "shop", "cart")
    chains: list[pki.Chain] = []

    async def ask() -> None:
        endpoint = istiod.ca(ztunnel_token(istiod))
        chains.append(await certs.sign(endpoint, pki.csr(pki.new_key(), cart), cart, 3600, impersonate=True))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(0.2)
        istiod.write("cart.yaml", pod("cart-1", "10.244.1.9", app="cart"))
    assert pki.identity_of(pki.leaf_of(chains[0].certificates)) == cart


async def test_anybody_gets_a_certificate_of_its_own_identity(istiod: Istiod) -> None:
    key = pki.new_key()
    own = Identity("cluster.local", "shop", "gate")
    token = istiod.issuer.token("shop", "gate")
    chain = await certs.sign(istiod.ca(token), pki.csr(key, own), own, 3600, impersonate=False)
    assert pki.identity_of(pki.leaf_of(chain.certificates)) == own


@pytest.mark.parametrize(
    ("who", "identity", "complaint"),
    [
        ({"namespace": "istio-system", "account": "ztunnel", "node": "node-2"}, WEB, "runs on node node-2"),
        ({"namespace": "istio-system", "account": "ztunnel"}, WEB, "names no node"),
        ({"namespace": "shop", "account": "ztunnel", "node": "node-1"}, WEB, "is no node proxy"),
        (
            {"namespace": "istio-system", "account": "ztunnel", "node": "node-1"},
            Identity("cluster.local", "shop", "admin"),
            "no pod of spiffe://cluster.local/ns/shop/sa/admin runs",
        ),
        (
            {"namespace": "istio-system", "account": "ztunnel", "node": "node-1"},
            Identity("other.example", "shop", "web"),
            "not of trust domain",
        ),
        ({"namespace": "shop", "account": "web", "lifetime": -1}, WEB, "expired"),
        ({"namespace": "shop", "account": "web", "audience": "vault"}, WEB, "not for 'istio-ca'"),
    ],
)
async def test_nobody_gets_a_certificate_that_is_not_due(
    istiod: Istiod, who: dict[str, str], identity: Identity, complaint: str
) -> None:
    endpoint = istiod.ca(istiod.issuer.token(**who))
    with pytest.raises(certs.SigningFailed, match=complaint):
        await certs.sign(endpoint, pki.csr(pki.new_key(), identity), identity, 3600, impersonate=True)


async def test_a_token_of_another_issuer_opens_no_door(
    istiod: Istiod, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Istiod(tmp_path_factory.mktemp("stranger"))
    token = stranger.issuer.token("istio-system", "ztunnel", node="node-1")
    with pytest.raises(certs.SigningFailed, match="UNAUTHENTICATED"):
        await certs.sign(istiod.ca(token), pki.csr(pki.new_key(), WEB), WEB, 3600, impersonate=True)
    async with following(istiod.xds(token, NODE)) as node:
        await trio.to_thread.run_sync(wait_until, lambda: istiod.log.count("refused") >= 2, "the stream is refused")
        assert not node.batches
        istiod.token_file(ztunnel_token(istiod))
        await node.until(node.synced.is_set)


async def test_a_control_plane_with_another_root_is_not_believed(istiod: Istiod) -> None:
    endpoint = istiod.xds(ztunnel_token(istiod), NODE)

    genuine = endpoint.root_ca_path.read_bytes()
    endpoint.root_ca_path.write_bytes(pki.new_authority("cluster.local", datetime.now(UTC)).certificate_pem)
    async with following(endpoint) as node:
        with trio.move_on_after(0.5):
            await node.until(node.synced.is_set)
        assert not node.batches
        endpoint.root_ca_path.write_bytes(genuine)
        await node.until(node.synced.is_set)
