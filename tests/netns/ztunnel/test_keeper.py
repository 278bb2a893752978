"""A keeper and its zygote at work for a CNI agent: pods come and go, and whatever dies, nobody is refused."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from mesh import zds
from tests.netns.ztunnel.cni_agent import (
    ADD,
    OWN_USERS,
    Agent,
    call,
    children,
    descriptors_of,
    echoes,
    name_of,
    rules_of,
    taker,
    until,
)
from ztunnel import confine

pytestmark = pytest.mark.netns


def test_an_added_pod_is_served_by_a_worker_of_its_own(captured, pod, peer):
    _, (listener, pid, uid) = call(pod, peer)
    assert listener == "outbound"
    assert name_of(int(pid)) == "zt-web-1"
    assert int(uid) == (confine.FIRST_WORKER_UID if OWN_USERS else os.getuid())
    assert str(Path(f"/proc/{pid}/ns/net").readlink()) == f"net:[{os.fstat(pod.namespace).st_ino}]"
    assert call(peer, pod)[1] == ["inbound_plaintext", pid, uid]
    assert call(peer, pod, 15008)[1] == ["inbound", pid, uid]
    assert call(peer, pod, version=6)[1] == ["inbound_plaintext", pid, uid]


def facts(pid: int) -> dict[str, str]:
    return dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())


def capabilities(pid: int) -> int:
    return int(facts(pid)["CapEff"], 16)


def test_the_keeper_has_the_capabilities_that_it_needs_and_no_others(agent):
    allowed = sum(1 << capability for capability in confine.KEEPER)
    until(lambda: len(children(agent.keeper.pid)) == 2)
    for pid in (agent.keeper.pid, *children(agent.keeper.pid)):
        status = facts(pid)
        for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
            assert int(status[name], 16) & ~allowed == 0, (pid, name)
        assert status["NoNewPrivs"] == "1"
    assert capabilities(agent.keeper.pid) == allowed & capabilities(os.getpid()), "none is lacking that can be had"


def test_the_keepers_parts_have_given_up_what_they_do_not_need(agent):
    """None of what they gave up comes back, whatever they run."""
    sets = ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")
    kept = sum(1 << capability for capability in confine.ZYGOTE.capabilities) & capabilities(os.getpid())
    expected = {"zt-supervisor": (0, 0, 0, 0, 0), "zt-zygote": (kept, kept, 0, 0, 0)}

    def found():
        return {
            status["Name"]: (tuple(int(status[name], 16) for name in sets), status["NoNewPrivs"])
            for status in map(facts, children(agent.keeper.pid))
        }

    until(lambda: found() == {name: (held, "1") for name, held in expected.items()})


def test_the_keeper_obeys_nobody_but_root(directory):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.bind(str(directory / "stranger.sock"))
        if not OWN_USERS:
            return  # then there is nobody but root
        os.seteuid(confine.FIRST_WORKER_UID)
        try:
            stranger.listen()
        finally:
            os.seteuid(0)
        stranger.settimeout(10)
        made = Agent(directory)
        try:
            made.kill_keeper()
            made.start_keeper(INPOD_UDS=str(directory / "stranger.sock"))
            connection, _ = stranger.accept()
            with connection:
                connection.settimeout(10)
                assert connection.recv(zds.LARGEST_PACKET) == b"", "it does not even say who it is"
        finally:
            made.keeper.terminate()
            made.keeper.wait(10)


def test_a_worker_has_nothing_of_the_zygotes(captured, pod, peer):
    _, (_, pid, _) = call(pod, peer)
    targets = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    assert not [target for target in targets if target.startswith("net:")]
    assert len([target for target in targets if target.startswith("socket:")]) <= 8  # seven listeners and this call
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000002000" in status


def test_a_killed_worker_is_replaced_before_anybody_is_refused(captured, pod, peer):
    _, (_, first, uid) = call(pod, peer)
    os.kill(int(first), signal.SIGKILL)
    begun = time.monotonic()
    _, (listener, second, same) = call(pod, peer)
    assert time.monotonic() - begun < 1
    assert (listener, same) == ("outbound", uid)
    assert second != first


def test_a_worker_that_dies_again_and_again_keeps_nobody_waiting_for_a_second(captured, pod, peer):
    for _ in range(6):
        begun = time.monotonic()
        _, (_, pid, _) = call(pod, peer)
        assert time.monotonic() - begun < 1
        os.kill(int(pid), signal.SIGKILL)


def test_a_killed_zygote_is_replaced_and_no_worker_notices(captured, pod, peer):
    connection, (_, first, _) = call(pod, peer)
    zygote = captured.child("zt-zygote")
    os.kill(zygote, signal.SIGKILL)
    until(lambda: captured.child("zt-zygote") != zygote)
    assert echoes(connection)
    os.kill(int(first), signal.SIGKILL)
    _, (_, second, _) = call(pod, peer)
    until(lambda: int(second) in children(captured.keeper.pid))


def test_a_supervisor_hears_of_all_workers_and_a_new_one_hears_it_again(captured, pod, peer):
    connection, (_, pid, uid) = call(pod, peer)
    facts = {
        "pod_uid": ADD.uid,
        "name": "web-1",
        "namespace": "shop",
        "service_account": "web",
        "pid": int(pid),
        "uid": int(uid),
    }
    word, supervisor = captured.told_supervisor().split()
    assert word == "supervisor"
    assert json.loads(captured.told_supervisor()) == {"worker": facts}
    if OWN_USERS:
        assert f"Uid:\t{confine.SUPERVISOR_UID}\t" in Path(f"/proc/{supervisor}/status").read_text()
    os.kill(int(supervisor), signal.SIGKILL)
    assert captured.told_supervisor() != f"supervisor {supervisor}"
    assert json.loads(captured.told_supervisor()) == {"worker": facts}
    assert echoes(connection)
    os.kill(int(pid), signal.SIGKILL)
    assert json.loads(captured.told_supervisor()) == {"gone": {"pid": int(pid)}}


def test_a_deleted_pod_is_captured_no_more_while_its_connections_end_in_peace(captured, pod, peer):
    before_worker = call(pod, peer)[1][1]
    connection, _ = call(pod, peer)
    outside = peer.listen(4, 8080)
    assert captured.ask(zds.Delete(ADD.uid)) == zds.Ack()
    direct = pod.connect(4, peer, 8080)
    outside.accept()[0].sendall(b"direct")
    assert direct.recv(100) == b"direct"
    assert call(peer, pod, 15008)[1][:2] == ["inbound", before_worker]
    assert echoes(connection)


def test_nothing_is_left_of_a_deleted_pod(captured, pod, peer):
    _, (_, pid, _) = call(pod, peer)
    pod.sockets.close()
    captured.ask(zds.Delete(ADD.uid))
    until(lambda: "ambit" not in rules_of(pod))
    until(lambda: "lookup 100" not in rules_of(pod))
    until(lambda: int(pid) not in children(captured.keeper.pid))
    with pytest.raises(ConnectionRefusedError):
        peer.connect(4, pod, 15008)


def test_a_pod_that_leaves_and_comes_back_is_served_at_once(captured, pod, peer):
    connection, (_, first, _) = call(pod, peer)
    captured.ask(zds.Delete(ADD.uid))
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    assert taker(pod, peer) == "outbound"
    assert echoes(connection)
    connection.close()
    until(lambda: int(first) not in children(captured.keeper.pid))
    assert taker(pod, peer) == "outbound"
    assert taker(peer, pod, 15008) == "inbound"


def test_adding_a_pod_twice_changes_nothing(captured, pod, peer):
    _, (_, pid, _) = call(pod, peer)
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    assert call(pod, peer)[1][1] == pid


def test_a_pod_whose_ports_are_taken_is_refused_with_the_reason(agent, pod):
    pod.listen(4, 15001)
    ack = agent.ask(ADD, pod.namespace)
    assert "pod shop/web-1: " in ack.error
    assert "cannot listen on port 15001 in the pod" in ack.error
    assert "redirect" not in rules_of(pod)


def test_after_a_new_snapshot_only_the_pods_it_names_stay(captured, pod, peer):
    _, (_, pid, _) = call(pod, peer)
    captured.hang_up()
    captured.accept()
    assert captured.ask(zds.Keep(ADD.uid)) == zds.Ack()
    assert "not held here" in captured.ask(zds.Keep("another")).error
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    assert call(pod, peer)[1][1] == pid
    captured.hang_up()
    captured.accept()
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    until(lambda: "redirect" not in rules_of(pod))


@pytest.mark.parametrize(
    ("packet", "descriptors"),
    [
        (b"\xff\xff\xff", 0),
        (zds.encode_request(ADD), 0),
        (zds.encode_request(ADD), 2),
        (zds.encode_request(zds.Keep("u")), 1),
        (b"\x00" * 2000, 0),
    ],
    ids=["garbage", "no namespace", "two namespaces", "a needless namespace", "too long"],
)
def test_an_agent_that_breaks_the_protocol_is_left_and_dialled_again(captured, pod, peer, packet, descriptors):
    _, (_, pid, _) = call(pod, peer)
    held = descriptors_of(captured.keeper.pid)
    assert captured.send(packet, [pod.namespace] * descriptors) == b""
    captured.accept()
    assert call(pod, peer)[1][1] == pid
    assert descriptors_of(captured.keeper.pid) == held


def test_a_node_that_ends_leaves_its_pods_as_they_were_before(captured, pod, peer):
    before = call(pod, peer)[1]
    pod.sockets.close()
    captured.keeper.terminate()
    assert captured.keeper.wait(20) == 0
    assert "ambit" not in rules_of(pod)
    assert not Path(f"/proc/{before[1]}").exists()
    outside = peer.listen(4, 8080)
    client = pod.connect(4, peer, 8080)
    outside.accept()[0].sendall(b"direct")
    assert client.recv(100) == b"direct"
