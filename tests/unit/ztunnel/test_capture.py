from ipaddress import IPv4Address, IPv6Address

import pytest

from ztunnel import capture


def chain(ruleset: str, name: str) -> list[str]:
    body = ruleset.split(f"chain {name} {{\n")[1].split("    }\n", maxsplit=1)[0]
    return [line.strip() for line in body.splitlines()]


@pytest.mark.parametrize("names", [True, False])
def test_outbound_redirects_first_packets_that_are_neither_local_nor_the_workers_own(names):
    questions = [
        "udp dport 53 redirect to :15053",
        "tcp dport 53 tcp flags & (fin | syn | rst | ack) == syn redirect to :15053",
    ]
    assert chain(capture.ruleset(capture.ISTIO_PROBES, names=names), "outbound") == [
        "type nat hook output priority -100; policy accept;",
        'oifname "lo" accept',
        "ip daddr 169.254.7.127 accept",
        "ip6 daddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff accept",
        "meta mark & 0xfff == 0x111 accept",
        "meta mark & 0xfff == 0x539 accept",
        *(questions if names else ()),
        "tcp flags & (fin | syn | rst | ack) == syn redirect to :15001",
    ]


def test_questions_that_the_worker_passes_on_are_tracked_apart_from_those_that_were_captured():
    text = capture.ruleset(capture.ISTIO_PROBES)
    assert chain(text, "part-questions") == [
        "type filter hook output priority raw; policy accept;",
        "meta mark & 0xfff == 0x539 udp dport 53 ct zone set 1",
    ]
    assert chain(text, "part-answers") == [
        "type filter hook prerouting priority raw; policy accept;",
        "meta mark & 0xfff != 0x539 udp sport 53 ct zone set 1",
    ]
    assert "53 ct zone" not in capture.ruleset(capture.ISTIO_PROBES, names=False)


def test_inbound_redirects_all_but_probes_and_the_tunnel_port():
    assert chain(capture.ruleset(capture.ISTIO_PROBES), "inbound") == [
        "type nat hook prerouting priority dstnat; policy accept;",
        'iifname "lo" accept',
        "ip saddr 169.254.7.127 accept",
        "ip6 saddr fd16:9254:7127:1337:ffff:ffff:ffff:ffff accept",
        "meta mark & 0xfff == 0x539 accept",
        "tcp dport 15008 accept",
        "tcp flags & (fin | syn | rst | ack) == syn redirect to :15006",
    ]


def test_answers_to_the_worker_take_its_connections_mark_over():
    text = capture.ruleset(capture.ISTIO_PROBES)
    assert chain(text, "mark-returning") == [
        "type filter hook prerouting priority mangle; policy accept;",
        "meta mark & 0xfff == 0x539 ct mark set ct mark & 0xfffff000 | 0x111",
    ]
    assert chain(text, "restore-returning") == [
        "type route hook output priority mangle; policy accept;",
        "ct mark & 0xfff == 0x111 meta mark set ct mark",
    ]


def test_another_probe_address_is_let_pass():
    text = capture.ruleset(capture.Probes(IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")))
    assert "ip saddr 192.0.2.1 accept" in text
    assert "ip6 daddr 2001:db8::1 accept" in text
    assert "169.254" not in text


def test_a_leaving_pod_keeps_its_chains_but_no_redirect():
    text = capture.relaxed_ruleset()
    assert "redirect" not in text
    assert chain(text, "inbound") == ["type nat hook prerouting priority dstnat; policy accept;"]
    assert chain(text, "mark-returning") == chain(capture.ruleset(capture.ISTIO_PROBES), "mark-returning")


@pytest.mark.parametrize(
    "text", [capture.ruleset(capture.ISTIO_PROBES), capture.relaxed_ruleset(), capture.no_ruleset()]
)
def test_every_text_replaces_our_table_whatever_stood_there(text):
    assert text.startswith("add table inet ambit\ndelete table inet ambit\n")


@pytest.mark.parametrize(("version", "everything"), [(4, "0.0.0.0/0"), (6, "::/0")])
def test_marked_answers_are_delivered_locally(version, everything):
    assert capture.routing(version) == (
        f"route replace local {everything} dev lo table 100",
        "rule add pref 32764 fwmark 0x111/0xfff lookup 100",
    )
    assert capture.no_routing(version) == (
        "rule del pref 32764 fwmark 0x111/0xfff lookup 100",
        f"route del local {everything} dev lo table 100",
    )
