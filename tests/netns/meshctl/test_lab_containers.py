"""Containers of a lab's pods: volumes, exec, roll-outs, restarts."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from tests.lab_for_tests import Lab, MakeLab
from tests.netns.meshctl.shop import SHOP, ask, ready

pytestmark = pytest.mark.netns


def test_containers_see_their_volumes_and_not_the_lab(shop: Lab) -> None:
    def run(*command: str) -> str:
        return shop.exec("client", *command, namespace="shop").out.strip()

    assert run("cat", "/etc/settings/colour") == "blue"
    assert run("sh", "-c", "echo x > /scratch/y && cat /scratch/y") == "x"
    assert run("hostname") == "client"
    assert run("ls", "/run") == "lock\nsecrets"
    payload = run("cat", "/run/secrets/tokens/token").split(".")[1]
    assert len(payload) > 100
    shop.apply(SHOP.split("---")[1].replace("blue", "red"))
    shop.wait(lambda: run("cat", "/etc/settings/colour") == "red", "the new colour")
    refused = shop.exec("client", "touch", "/etc/settings/x", "/usr/x", namespace="shop", code=None)
    assert refused.err.count("Read-only file system") == 2


def test_exec_passes_input_signals_users_and_exit_codes(shop: Lab) -> None:
    assert shop.exec("client", "cat", namespace="shop", given="hello").out == "hello"
    assert shop.exec("client", "sh", "-c", "exit 7", namespace="shop", code=7)
    assert shop.exec("client", "sh", "-c", "kill -9 $$", namespace="shop", code=137)
    missing = shop.exec("client", "no-such-program", namespace="shop", code=1)
    assert "no-such-program" in missing.err
    user = shop.exec("client", "id", "-u", namespace="shop", options=["-c", "second"]).out.strip()
    assert user == ("1337" if os.geteuid() == 0 else "0")
    assert "172.30.0.12" in shop.on_node("node-2", "ip", "-4", "addr", "show", "dev", "eth0").out
    marked = "import socket; socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x539)"
    assert "PermissionError" in shop.exec("client", "python", "-c", marked, namespace="shop", code=1).err


def test_exec_gives_a_terminal_to_who_has_one(shop: Lab) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
    command = ["lab", "exec", "client", "-n", "shop", "--", "sh", "-c", "stty size; read line; echo got $line; exit 5"]
    with subprocess.Popen(
        [sys.executable, "-m", "meshctl", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=shop.full_environment,
        start_new_session=True,
    ) as shell:
        os.close(theirs)
        shown = b""
        while b"33 77" not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, b"hello\r")
        while b"got hello" not in shown:
            shown += os.read(ours, 1000)
    assert shell.returncode == 5
    os.close(ours)


def test_a_changed_template_is_rolled_out_without_a_failed_request(shop: Lab) -> None:
    before = ready(shop)
    loop = "for i in $(seq 400); do curl -sS --max-time 2 http://web/ || exit 1; sleep 0.005; done"
    with shop.start("lab", "exec", "client", "-n", "shop", "--", "sh", "-c", loop) as requests:
        shop.apply(SHOP.replace("value: one", "value: two"))
        shop.wait(lambda: len(ready(shop)) == 2 and not set(ready(shop)) & set(before), "the new version")
        out, err = requests.communicate(timeout=60)
    assert requests.returncode == 0, err
    assert {line.split()[1] for line in out.splitlines()} == {"one", "two"}


def test_a_pod_that_ends_is_started_again_and_out_of_service_meanwhile(shop: Lab) -> None:
    [first, _] = shop.pods("web", "shop")
    shop.exec("client", "curl", "-s", f"http://{first['status']['podIP']}:8080/end", namespace="shop", code=52)

    def restarts() -> int:
        [pod] = shop.get("pods", "shop", first["metadata"]["name"])
        return int(pod["status"]["containerStatuses"][0]["restartCount"])

    for _ in range(5):
        assert ask(shop, "http://web/")
    shop.wait(lambda: restarts() == 1 and len(ready(shop)) == 2, "its second life")


def test_restart_policies(lab: MakeLab) -> None:
    pod = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec: {{restartPolicy: {policy}, containers: [{{name: main, command: [sh, -c, "exit {code}"]}}]}}
---
"""
    there = lab(
        pod.format(name="done", policy="Never", code=0) + pod.format(name="good", policy="OnFailure", code=0), bare=True
    )
    there.apply(pod.format(name="bad", policy="Never", code=3) + pod.format(name="again", policy="OnFailure", code=3))

    def phases() -> dict[str, str]:
        return {pod["metadata"]["name"]: pod["status"]["phase"] for pod in there.get("pods")}

    there.wait(lambda: phases() == {"done": "Succeeded", "good": "Succeeded", "bad": "Failed", "again": "Running"})
    there.wait(lambda: there.get("pods", name="again")[0]["status"]["containerStatuses"][0]["restartCount"] > 0)
