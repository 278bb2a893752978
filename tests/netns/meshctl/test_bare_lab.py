"""Pods and services on one machine: a lab without a mesh, with real programs in it."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.lab_for_tests import Lab, MakeLab

pytestmark = pytest.mark.netns

WHO = "netns/meshctl/who.py"

SHOP = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: shop}}
data: {{colour: blue}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec:
  selector: {{app: web}}
  ports:
  - {{name: http, port: 80, targetPort: http}}
  - {{name: other, port: 81, targetPort: 8080}}
---
apiVersion: v1
kind: Service
metadata: {{name: peers, namespace: shop}}
spec: {{clusterIP: None, selector: {{app: web}}, ports: [{{name: http, port: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: nobody, namespace: shop}}
spec: {{selector: {{app: nobody}}, ports: [{{port: 80}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        command: [python, {WHO}, "8080", $(VERSION)]
        env: [{{name: VERSION, value: one}}]
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /, port: http}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: shop}}
spec:
  nodeName: node-1
  terminationGracePeriodSeconds: 0
  volumes:
  - {{name: settings, configMap: {{name: settings}}}}
  - {{name: scratch, emptyDir: {{}}}}
  - name: token
    projected: {{sources: [{{serviceAccountToken: {{path: token, audience: istio-ca}}}}]}}
  containers:
  - name: client
    command: [sleep, infinity]
    volumeMounts:
    - {{name: settings, mountPath: /etc/settings}}
    - {{name: scratch, mountPath: /scratch}}
    - {{name: token, mountPath: /var/run/secrets/tokens}}
  - name: second
    command: [sh, -c, "echo second is up; sleep infinity"]
    securityContext: {{runAsUser: 1337}}
"""


def ask(there: Lab, url: str, *options: str) -> str:
    return there.exec("client", "curl", "-sS", "--max-time", "5", *options, url, namespace="shop").out


@pytest.fixture
def shop(lab: MakeLab) -> Lab:
    return lab(SHOP, bare=True)


def test_services_answer_by_name_and_address_from_every_pod(shop: Lab) -> None:
    pods = shop.pods("web", "shop")
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node-1", "node-2"}
    names = {pod["metadata"]["name"] for pod in pods}
    [address] = [each["spec"]["clusterIP"] for each in shop.get("services", "shop", "web")]
    hosts = ("web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local", address, "web:81")
    for host in hosts:
        answers = [line.split() for line in ask(shop, f"http://{host}/?[1-8]").splitlines()]
        assert len(answers) == 8
        assert {answer[0] for answer in answers} <= names
        assert {answer[-1] for answer in answers} == {shop.get("pods", "shop", "client")[0]["status"]["podIP"]}


def test_a_pod_reaches_itself_through_its_service(shop: Lab) -> None:
    [pod, _] = shop.pods("web", "shop")
    name = pod["metadata"]["name"]
    urls = ["http://web/"] * 12
    answers = shop.exec(name, "curl", "-sS", "--max-time", "5", *urls, namespace="shop", options=["-c", "web"]).out
    assert len(answers.splitlines()) == 12


def test_a_headless_service_is_its_pods(shop: Lab) -> None:
    addresses = {pod["status"]["podIP"] for pod in shop.pods("web", "shop")}
    found = shop.exec("client", "getent", "ahostsv4", "peers", namespace="shop").out
    assert {line.split()[0] for line in found.splitlines()} == addresses
    assert "one" in ask(shop, "http://peers:8080/")


def test_what_nobody_serves_is_refused_at_once_and_other_names_do_not_exist(shop: Lab) -> None:
    began = time.monotonic()
    for url, reason in (
        ("http://nobody/", "Couldn't connect"),
        ("http://web:99/", "Couldn't connect"),
        ("http://elsewhere.example/", "Could not resolve host"),
    ):
        ended = shop.exec("client", "curl", "-sS", "--max-time", "5", url, namespace="shop", code=None)
        assert reason in ended.err, ended
    assert time.monotonic() - began < 3


def test_a_connection_outlives_changes_of_its_service(shop: Lab) -> None:
    script = (
        "import http.client, sys\n"
        "connection = http.client.HTTPConnection('web')\n"
        "for line in sys.stdin:\n"
        "    connection.request('GET', '/')\n"
        "    print(connection.getresponse().read().decode().split()[0], flush=True)\n"
    )
    with shop.start("lab", "exec", "client", "-n", "shop", "--", "python", "-c", script) as talk:

        def say() -> str:
            assert talk.stdin is not None
            assert talk.stdout is not None
            talk.stdin.write("\n")
            talk.stdin.flush()
            return talk.stdout.readline().strip()

        server = say()
        others = [pod["metadata"]["name"] for pod in shop.pods("web", "shop") if pod["metadata"]["name"] != server]
        shop.delete("pod", others[0], "shop")
        shop.wait(lambda: len(ready(shop)) == 2, "a new pod")
        assert say() == server
        talk.communicate()
        assert talk.returncode == 0


def ready(there: Lab) -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in there.pods("web", "shop")
        if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])
    ]


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


def test_logs_labels_and_delete(shop: Lab) -> None:
    assert shop.logs("client", "-c", "second", namespace="shop") == "second is up\n"
    shop.label("deployment", "web", "team=blue", namespace="shop")
    assert shop.get("deploy", "shop", "web")[0]["metadata"]["labels"] == {"team": "blue"}
    shop.label("deployment", "web", "team-", namespace="shop")
    assert not shop.get("deploy", "shop", "web")[0]["metadata"]["labels"]
    shop.delete("deployment", "web", "shop")
    shop.wait(lambda: shop.pods("web", "shop") == [], "the end of the pods")
    shop.delete("namespace", "shop")
    shop.wait(lambda: shop.meshctl("lab", "get", "ns", "shop", code=None).code == 3, "the end of the namespace")


def test_mistakes_are_answered_with_a_sentence(shop: Lab) -> None:
    for words, code, reason in (
        (("lab", "exec", "nobody", "--", "true"), 3, "There is no pod nobody in namespace default."),
        (("lab", "exec", "--node", "node-9", "--", "true"), 3, "There is no node node-9."),
        (("lab", "get", "pots"), 2, "Did you mean"),
        (("lab", "get", "pod", "nobody"), 3, "There is no Pod nobody in namespace default."),
        (("lab", "label", "pod", "client", "x"), 2, "Write KEY=VALUE"),
        (("lab", "up", shop.name, "--bare"), 1, "is already up"),
        (("lab", "status", "--lab", "no-such-lab"), 3, "No lab named 'no-such-lab' is up."),
        (("lab", "logs", "nobody"), 3, "Nothing named nobody"),
        (("lab", "exec", "client", "-n", "shop"), 2, "no command"),
    ):
        ended = shop.meshctl(*words, code=code)
        assert reason in ended.err
        assert "Traceback" not in ended.err
    refused = shop.apply("{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: a}}", code=1)
    assert "this lab is bare" in refused.err
    nowhere = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: nowhere, ports: [{port: x}]}}"
    refused = shop.apply(nowhere, code=1)
    assert "clusterIP nowhere" in refused.err
    assert "no number" in refused.err


def test_status_and_table_name_everything(shop: Lab) -> None:
    told = shop.meshctl("lab", "status").out
    assert {"node-1", "node-2", "client"} <= set(told.split())
    assert re.search(r"shop +client +2/2 +Running +0 +node-1", shop.meshctl("lab", "get", "pods").out)
    assert shop.name in shop.meshctl("lab", "list").out
    report = json.loads(shop.meshctl("lab", "get", "pod", "client", "-n", "shop", "-o", "json").out)
    assert report["status"]["hostIP"] == "172.30.0.11"


def test_two_labs_do_not_meet(lab: MakeLab) -> None:
    one, two = lab(SHOP, bare=True), lab(SHOP, bare=True)
    names = {pod["metadata"]["name"] for pod in one.pods("web", "shop")}
    assert {line.split()[0] for line in ask(one, "http://web/?[1-8]").splitlines()} <= names
    assert not {line.split()[0] for line in ask(two, "http://web/?[1-8]").splitlines()} & names


def test_an_ordinary_user_has_a_lab_too(lab: MakeLab) -> None:
    there = lab(SHOP, bare=True, user=True)
    assert "one" in ask(there, "http://web/")
    assert "Isolation is reduced" in there.meshctl("lab", "status").out


def test_forty_pods_are_up_in_seconds(lab: MakeLab) -> None:
    sleepers = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleeper}
spec:
  replicas: 40
  template:
    metadata: {labels: {app: sleeper}}
    spec: {containers: [{name: main, command: [sleep, infinity]}]}
"""
    began = time.monotonic()
    there = lab(sleepers, bare=True)
    assert time.monotonic() - began < 15
    pods = there.pods("sleeper")
    assert len({pod["status"]["podIP"] for pod in pods}) == 40


def remains(lab: Lab) -> list[str]:
    """Return what a lab has left on the machine: processes that have one of its names, mounts, namespaces' names."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if lab.name.encode() in words and str(os.getpid()) != folder.name:
            found.append(words.decode())
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if lab.name in line]
    return found


def daemon_of(lab: Lab) -> int:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"meshctl.lab.daemon" in words and lab.name.encode() in words:
            return int(folder.name)
    raise AssertionError("the lab has no daemon")


def namespaces(pid: int) -> tuple[int, set[int]]:
    """Return the pid namespace of a daemon and all processes in it."""
    inode = Path(f"/proc/{pid}/ns/pid").stat().st_ino
    return inode, members(inode)


def members(inode: int) -> set[int]:
    """Return the living processes of a pid namespace; one that has ended stays listed until its parent looks."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            dead = " Z " in (folder / "stat").read_text()
            if not dead and (folder / "ns/pid").stat().st_ino == inode:
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def test_down_leaves_nothing(shop: Lab) -> None:
    links = {entry.name for entry in Path("/sys/class/net").iterdir()}
    inode, inside = namespaces(daemon_of(shop))
    assert len(inside) > 4
    root = Path(next(line for line in shop.meshctl("lab", "status").out.splitlines()).split(" in ")[1])
    assert root.exists()
    shop.down()
    assert members(inode) == set()
    assert not root.exists()
    assert {entry.name for entry in Path("/sys/class/net").iterdir()} == links
    assert remains(shop) == []


def test_a_killed_daemon_leaves_nothing_and_the_name_can_be_used_again(shop: Lab) -> None:
    daemon = daemon_of(shop)
    inode, inside = namespaces(daemon)
    assert len(inside) > 4
    os.kill(daemon, 9)
    shop.wait(lambda: not members(inode), "the end of every process")
    assert remains(shop) == []
    assert shop.meshctl("lab", "status", code=3).err.startswith("No lab named")
    shop.up(SHOP, "--bare")
    assert "one" in ask(shop, "http://web/")
