"""A keeper that is killed with -9 leaves everything at work, and the next one goes on with it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mesh import zds
from tests.netns.ztunnel.cni_agent import ADD, Agent, call, children, echoes, rules_of, taker, until
from ztunnel import netns
from ztunnel.command import Refused, parse_answer
from ztunnel.keeper.listeners import Listeners

pytestmark = pytest.mark.netns


@dataclass
class Load:
    """Clients that call from the pod and to it, a connection each time, until told to end."""

    pod: object
    peer: object
    ended: threading.Event = field(default_factory=threading.Event)
    outcomes: Counter = field(default_factory=Counter)
    slowest: float = 0.0

    def __post_init__(self) -> None:
        self._threads = [threading.Thread(target=self._calls, args=(number,), daemon=True) for number in range(32)]
        for thread in self._threads:
            thread.start()

    def _calls(self, number: int) -> None:
        here, there, port = (self.pod, self.peer, 8080) if number % 2 else (self.peer, self.pod, 15008)
        while not self.ended.wait(0.01):
            begun = time.monotonic()
            try:
                with netns.entered(here.namespace):
                    client = socket.socket()
                with client:
                    client.settimeout(10)
                    client.connect((there.addresses[4], port))
                    assert client.recv(100)
                    client.sendall(b"payload")
                    assert client.recv(100) == b"payload"
                self.outcomes["served"] += 1
            except OSError as fault:
                self.outcomes[str(fault)] += 1
            self.slowest = max(self.slowest, time.monotonic() - begun)

    def end(self) -> Counter:
        self.ended.set()
        for thread in self._threads:
            thread.join()
        return self.outcomes


def restart(agent: Agent, **settings: str) -> None:
    agent.kill_keeper()
    agent.start_keeper(**settings)
    agent.accept()


def worker_of(agent: Agent, pod, peer) -> int:
    connection, (_, pid, _) = call(pod, peer)
    connection.close()
    return int(pid)


def alive(pid: int) -> bool:
    """Whether it runs: an orphan may wait to be reaped by a process that is in no hurry."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nobody_is_refused_and_nothing_is_lost_while_keepers_are_killed(captured, pod, peer):
    established = [call(*ends)[0] for ends in ((pod, peer), (peer, pod, 15008)) for _ in range(10)]
    worker = worker_of(captured, pod, peer)
    load = Load(pod, peer)
    for _ in range(3):
        restart(captured)
        assert all(echoes(connection) for connection in established)
        assert captured.ask(ADD, pod.namespace) == zds.Ack()
        assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    assert all(echoes(connection) for connection in established)
    assert worker_of(captured, pod, peer) == worker
    outcomes = load.end()
    assert set(outcomes) == {"served"}, outcomes
    assert outcomes["served"] > 1000


def test_while_the_keeper_is_away_its_pods_are_served(captured, pod, peer):
    connection, (_, pid, _) = call(pod, peer)
    captured.kill_keeper()
    assert call(pod, peer)[1][:2] == ["outbound", pid]
    assert call(peer, pod, 15008)[1][:2] == ["inbound", pid]
    assert echoes(connection)


def test_the_parts_of_a_killed_keeper_end_with_it(captured, pod, peer):
    parts = [captured.child("zt-zygote"), int(captured.told_supervisor().split()[1])]
    captured.kill_keeper()
    until(lambda: not any(alive(pid) for pid in parts))


def test_an_adopted_worker_that_is_killed_is_replaced_on_the_same_listeners(captured, pod, peer):
    _, (_, first, uid) = call(pod, peer)
    restart(captured)
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    os.kill(int(first), signal.SIGKILL)
    begun = time.monotonic()
    _, (listener, second, same) = call(pod, peer)
    assert time.monotonic() - begun < 1
    assert (listener, same) == ("outbound", uid)
    assert second != first
    assert int(second) in children(captured.keeper.pid)


def test_the_next_supervisor_hears_of_adopted_workers(captured, pod, peer):
    _, (_, pid, uid) = call(pod, peer)
    restart(captured)
    assert captured.told_supervisor().startswith("supervisor ")
    told = json.loads(captured.told_supervisor())["worker"]
    assert (told["pid"], told["uid"], told["name"]) == (int(pid), int(uid), "web-1")
    os.kill(int(pid), signal.SIGKILL)
    assert json.loads(captured.told_supervisor()) == {"gone": {"pid": int(pid)}}


def test_a_worker_that_died_while_the_keeper_was_away_is_replaced(captured, pod, peer):
    first = worker_of(captured, pod, peer)
    captured.kill_keeper()
    os.kill(first, signal.SIGKILL)
    captured.start_keeper()
    captured.accept()
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    assert worker_of(captured, pod, peer) != first


def test_a_record_whose_pid_is_another_process_now_is_not_believed(captured, pod, peer):
    first = worker_of(captured, pod, peer)
    captured.kill_keeper()
    os.kill(first, signal.SIGKILL)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=-1)
    stranger.stdout.readline()
    (record,) = captured.records()
    record["pid"] = stranger.pid
    (captured.run_dir / "workers" / f"{stranger.pid}.json").write_text(json.dumps(record))
    captured.start_keeper()
    captured.accept()
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    assert worker_of(captured, pod, peer) not in (first, stranger.pid)
    assert stranger.poll() is None
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    until(lambda: [record["pid"] for record in captured.records()] == [worker_of(captured, pod, peer)])
    stranger.kill()
    stranger.wait()
    stranger.stdout.close()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": 1}', "\0"])
def test_a_record_that_cannot_be_read_holds_nobody_up(captured, pod, peer, text):
    worker = worker_of(captured, pod, peer)
    captured.kill_keeper()
    (captured.run_dir / "workers" / "1.json").write_text(text)
    captured.start_keeper()
    captured.accept()
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    assert worker_of(captured, pod, peer) == worker


def test_pods_that_went_while_the_keeper_was_away_are_let_go(captured, pod, peer):
    connection, (_, pid, _) = call(pod, peer)
    restart(captured)
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    until(lambda: "redirect" not in rules_of(pod))
    assert echoes(connection)
    pod.sockets.close()
    until(lambda: not alive(int(pid)))
    until(lambda: "ambit" not in rules_of(pod))
    Listeners.open(pod.namespace).close()


def test_adopted_pods_leave_and_others_come(captured, pod, peer):
    first = worker_of(captured, pod, peer)
    restart(captured)
    assert captured.ask(zds.Keep(ADD.uid)) == zds.Ack()
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    assert captured.ask(zds.Delete(ADD.uid)) == zds.Ack()
    assert "redirect" not in rules_of(pod)
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    assert taker(pod, peer) == "outbound"
    pod.sockets.close()
    until(lambda: not alive(first))
    assert worker_of(captured, pod, peer) != first


def test_a_pod_whose_keeper_is_killed_while_it_leaves_is_let_go(captured, pod, peer):
    connection, (_, pid, _) = call(pod, peer)
    assert captured.ask(zds.Delete(ADD.uid)) == zds.Ack()
    restart(captured)
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    assert echoes(connection)
    assert "redirect" not in rules_of(pod)
    pod.sockets.close()
    until(lambda: not alive(int(pid)))
    until(lambda: "ambit" not in rules_of(pod))


def test_a_keeper_killed_between_two_workers_of_a_pod_keeps_the_newer(captured, pod, peer):
    connection, (_, first, _) = call(pod, peer)
    captured.ask(zds.Delete(ADD.uid))
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    until(lambda: worker_of(captured, pod, peer) != int(first))
    restart(captured)
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    assert echoes(connection)
    pod.sockets.close()
    until(lambda: not alive(int(first)))
    assert "redirect" in rules_of(pod)
    assert taker(pod, peer) == "outbound"


def test_a_worker_with_other_settings_is_relieved_without_a_refusal(captured, pod, peer):
    connection, (_, first, _) = call(pod, peer)
    load = Load(pod, peer)
    restart(captured, TRUST_DOMAIN="other.example")
    until(lambda: worker_of(captured, pod, peer) != int(first))
    assert echoes(connection)
    assert captured.ask(ADD, pod.namespace) == zds.Ack()
    outcomes = load.end()
    assert set(outcomes) == {"served"}, outcomes
    pod.sockets.close()
    until(lambda: not alive(int(first)))
    assert taker(pod, peer) == "outbound"


def test_two_keepers_do_not_share_a_node(captured, pod, peer):
    worker = worker_of(captured, pod, peer)
    first, stdout = captured.keeper, captured.keeper.stdout
    captured.start_keeper()
    assert captured.keeper.wait(20) != 0
    captured.keeper.stdout.close()
    captured.keeper = first
    assert stdout is first.stdout
    assert worker_of(captured, pod, peer) == worker


def test_rules_of_a_pod_that_left_while_nobody_was_there_are_removed(captured, pod, peer):
    """Its worker died and it was unenrolled, all while no keeper was there: nobody serves it, nobody names it."""
    inhabitant = subprocess.Popen(
        ("nsenter", f"--net=/proc/self/fd/{pod.namespace}", "sleep", "60"), pass_fds=(pod.namespace,)
    )
    worker = worker_of(captured, pod, peer)
    captured.kill_keeper()
    os.kill(worker, signal.SIGKILL)
    captured.start_keeper()
    captured.accept()
    assert "redirect" in rules_of(pod)
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    until(lambda: "ambit" not in rules_of(pod))
    until(lambda: "lookup 100" not in rules_of(pod))
    until(lambda: not captured.records())
    inhabitant.kill()
    inhabitant.wait()


def test_the_node_says_what_it_waits_for(captured, pod, peer):
    captured.awaits("has not named all pods")
    assert captured.ask(zds.SnapshotSent()) == zds.Ack()
    captured.awaits()
    captured.hang_up()
    captured.awaits("is not connected")
    captured.accept()
    captured.awaits("has not named all pods")


def test_told_to_end_twice_it_does_not_wait_for_connections(captured, pod, peer):
    connection, (_, pid, _) = call(pod, peer)
    captured.keeper.send_signal(signal.SIGTERM)
    captured.awaits("is ending", "is not connected")
    assert echoes(connection)
    captured.keeper.send_signal(signal.SIGTERM)
    assert captured.keeper.wait(3) == 0
    assert not alive(int(pid))
    assert "ambit" not in rules_of(pod)


def test_only_the_nodes_own_administrator_commands_the_keeper(captured):
    desk = captured.run_dir / "keeper.sock"
    assert desk.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(desk))
        stranger.sendall(b'{"Upgrade": {"python": "/bin/false"}}')
        stranger.shutdown(socket.SHUT_WR)
        answer = parse_answer(stranger.recv(4096))
    assert isinstance(answer, Refused)
    assert "/bin/false has no ztunnel that runs" in answer.why
