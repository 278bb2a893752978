"""A worker that was taken over asks the supervisor and the authority for what is another pod's."""

from __future__ import annotations

import base64
import errno
import json
import os
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mesh import pki
from mesh.identity import Identity
from mesh.policy import Action, Policy, Scope
from mesh.workload import Workload
from tests.istiod_for_tests import Istiod, pod
from tests.netns.ztunnel.cni_agent import OWN_USERS
from tests.node_for_tests import Node
from tests.tokens_for_tests import Issuer
from tests.tunnel_ends import until
from ztunnel import netns
from ztunnel.channel.frames import LARGEST_DOWN, LARGEST_UP, Frames, frame
from ztunnel.channel.message import Ask, Sign, Update, from_supervisor, to_supervisor
from ztunnel.keeper.desk import open_desk
from ztunnel.worker.start import Pod

pytestmark = pytest.mark.netns

EPERM = os.strerror(errno.EPERM)
OWN = Identity("cluster.local", "shop", "web")
VICTIM = Identity("cluster.local", "shop", "db")
DB = Workload("Kubernetes//Pod/shop/db", "db", "shop", "db", addresses=(ip_address("10.244.1.9"),))
SECRET = Policy("of-db", "shop", Scope.WORKLOAD_SELECTOR, Action.DENY)
ASK = frame(to_supervisor(Ask()))


def request(identity: Identity | None) -> str:
    """For a certificate: of that name, or of none."""
    if identity is not None:
        return pki.csr(pki.new_key(), identity).decode()
    blank = x509.CertificateSigningRequestBuilder(subject_name=x509.Name([]))
    return blank.sign(pki.new_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
async def node(attackers, directory) -> AsyncIterator[Node]:
    """The supervisor of the node whose workers are the attackers."""
    made = Node(directory / "supervisor.sock")
    made.know(replace(DB, policies=(SECRET.key,)), SECRET)
    attackers.supervisor = str(made.path)
    attackers.born = lambda order, pid: trio.from_thread.run_sync(made.admit, order.pod, pid, order.uid)
    async with made.open():
        yield made


async def said(attackers, *messages: bytes, until: tuple[str, ...] = ("signed", "unsigned")) -> Any:
    """What a worker heard that said this."""
    packed = base64.b64encode(zlib.compress(b"".join(messages))).decode()
    return await attack(attackers, "say", json.dumps({"bytes": packed, "until": until}))


async def attack(attackers, kind: str, victim: object = "") -> Any:
    return await trio.to_thread.run_sync(partial(attackers.attack, kind, victim))


async def test_another_pods_certificate_is_not_to_be_had_from_the_supervisor(attackers, node):
    told = await said(attackers, ASK, frame(to_supervisor(Sign(request(VICTIM)))))
    [answer] = [one["unsigned"] for one in told["heard"] if "unsigned" in one]
    assert answer["refusal"]["detail"] == f"the request asks for {VICTIM} while the caller may have {OWN}"
    assert not any("signed" in one for one in told["heard"])


async def test_who_names_nobody_gets_a_certificate_of_its_own(attackers, node):
    told = await said(attackers, ASK, frame(to_supervisor(Sign(request(None)))))
    [answer] = [one["signed"] for one in told["heard"] if "signed" in one]
    leaf = pki.leaf_of(answer["chain"].encode())
    assert pki.identity_of(leaf) == OWN


@pytest.mark.parametrize(
    "message",
    [
        {"ask": {"destinations": [], "as": str(VICTIM)}},
        {"ask": {"destinations": [], "pod": "db"}},
        {"sign": {"csr": "", "identity": str(VICTIM)}},
        {"hand_over": {"listeners": "db"}},
        {"worker": {"pod_uid": "db", "name": "db", "namespace": "shop", "service_account": "db", "pid": 1, "uid": 0}},
        {"signed": {"chain": "", "roots": ""}},
    ],
    ids=lambda message: next(iter(message)),
)
async def test_no_message_speaks_for_another_pod(attackers, node, message):
    assert await said(attackers, frame(message)) == {"heard": [], "hung up": True}
    assert node.signed == []


async def test_a_look_up_tells_where_another_pod_is_and_none_of_its_policies(attackers, node):
    told = await said(attackers, frame(to_supervisor(Ask(DB.addresses))), until=("update",))
    [update] = [from_supervisor(one) for one in told["heard"]]
    assert isinstance(update, Update)
    assert update.own is None, "the mesh knows no pod of the attacker's name"
    assert [type(change.resource) for change in update.changes] == [Workload]


async def test_who_is_no_worker_gets_nothing(attackers, node):
    attackers.born = lambda order, pid: None
    assert await said(attackers, ASK) == {"heard": [], "hung up": True}


async def test_a_worker_with_anothers_user_gets_nothing(attackers, node):
    attackers.born = lambda order, pid: trio.from_thread.run_sync(node.admit, order.pod, pid, order.uid + 1)
    assert await said(attackers, ASK) == {"heard": [], "hung up": True}


async def test_another_process_is_not_to_be_feigned(attackers, node):
    assert await attack(attackers, "forge-credentials", f"{os.getpid()} {os.getuid()}") == EPERM


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 100_000,
        (LARGEST_UP + 1).to_bytes(4, "big"),
        (4).to_bytes(4, "big") + b"\xff\xff\xff\xff",
        (2).to_bytes(4, "big") + b"[]",
        (60_000).to_bytes(4, "big") + b"[" * 60_000,
        ASK + b"GET / HTTP/1.1\r\n\r\n",
        frame(to_supervisor(Sign(""))) * 100,
    ],
    ids=["huge", "long", "no text", "no object", "deep", "another language", "many requests"],
)
async def test_garbage_ends_its_own_conversation_and_no_other(attackers, node, garbage):
    node.admit(Pod("db", "db", "shop", "db"), os.getpid(), os.getuid())
    async with await trio.open_unix_socket(str(node.path)) as victim:
        await victim.send_all(ASK)
        frames = Frames(LARGEST_DOWN)
        [first] = frames.receive(await victim.receive_some(65536))
        assert from_supervisor(first).own == DB.uid
        assert (await said(attackers, garbage))["hung up"]
        node.know(DB)
        await until(lambda: node.state.snapshot.workloads[DB.uid] == DB)
        with trio.fail_after(10):
            [second] = frames.receive(await victim.receive_some(65536))
        assert [change.resource for change in from_supervisor(second).changes if hasattr(change, "resource")] == [DB]


async def test_the_keepers_socket_is_closed_to_workers(attackers, directory, nursery):
    path = directory / "keeper.sock"
    desk = open_desk(path)
    told = await attack(attackers, "call-keeper", path)
    assert told == (os.strerror(errno.EACCES) if OWN_USERS else "done")
    await desk.aclose()


def test_a_worker_holds_its_listeners_and_a_line_on_which_it_can_say_that_it_is_ready(attackers):
    names = ["port 15053"] * 4  # by UDP and TCP, of IPv4 and IPv6
    own = ["AF_UNIX", "port 15001", "port 15006", "port 15008", *names]
    assert sorted(attackers.attack("belongings")) == own


@pytest.fixture
def istiod(peer, tmp_path) -> Iterator[Istiod]:
    """The authority, which the pod can reach; the victim and the attacker run on node-1."""
    made = Istiod(tmp_path, host=peer.addresses[4])
    made.write("pods.yaml", pod("web", "10.244.1.2", app="web"), pod("db", "10.244.1.9", app="db"))
    with netns.entered(peer.namespace):
        made.start()
    yield made
    made.stop()


def tokens(istiod: Istiod) -> dict[str, tuple[str, str]]:
    """What an attacker may have got hold of, and the status of the answer to it."""
    ztunnel = {"namespace": "istio-system", "account": "ztunnel", "node": "node-1"}
    return {
        "none": ("", "16"),
        "no token": ("e30.e30.e30", "16"),
        "forged": (Issuer().token(**ztunnel), "16"),
        "expired": (istiod.issuer.token(**ztunnel, lifetime=-60), "16"),
        "for somebody else's ears": (istiod.issuer.token(**ztunnel, audience="kubernetes"), "16"),
        "of the attacker's own pod": (istiod.issuer.token("shop", "web", node="node-1"), "7"),
        "of another node's proxy": (istiod.issuer.token(**{**ztunnel, "node": "node-2"}), "7"),
    }


def test_the_authority_signs_nothing_without_the_node_proxys_own_token(attackers, istiod, peer):
    wish = {"address": peer.addresses[4], "port": istiod.port, "identity": str(VICTIM), "csr": request(VICTIM)}
    found = {
        name: attackers.attack("ask-authority", json.dumps({**wish, "token": token}))
        for name, (token, _) in tokens(istiod).items()
    }
    assert {name: answer[0] for name, answer in found.items()} == {
        name: status for name, (_, status) in tokens(istiod).items()
    }, found
    genuine = istiod.issuer.token("istio-system", "ztunnel", node="node-1")
    assert attackers.attack("ask-authority", json.dumps({**wish, "token": genuine}))[0] == "0", "the test is a test"


def test_the_token_of_the_node_proxy_cannot_be_read(attackers, istiod, tmp_path):
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        parent.chmod(0o777)
    file = istiod.token_file(istiod.issuer.token("istio-system", "ztunnel", node="node-1"))
    Path(file).chmod(0o644)
    assert attackers.attack("read-file", file) == os.strerror(errno.EACCES)
