"""Pods and services on one machine: a lab without a mesh, with real programs in it."""

import json
import re
import time

import pytest

from tests.lab_for_tests import Lab, MakeLab
from tests.netns.meshctl.shop import SHOP, ask, ready

pytestmark = pytest.mark.netns


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
