from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

from mesh.address import Address
from mesh.identity import Identity
from mesh.net.accesslog import json_line, text_line
from mesh.net.metrics import Metrics
from mesh.record import Event, HttpOutcome, Party, Record, Reporter
from mesh.refusal import Reason, Refusal
from mesh.workload import Workload

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WEB = Workload("u1", "web-1", "shop", "web", workload_name="web", canonical_name="web")
DB = Workload("u2", "db-1", "data", "db", workload_name="db", canonical_name="db")
CLOSED = Record(
    Event.CLOSED,
    Reporter.SOURCE,
    Party(Address(ip_address("10.0.0.1"), 40000), WEB, WEB.identity),
    Party(Address(ip_address("10.0.0.2"), 5432), DB, DB.identity),
    tunnel=Address(ip_address("10.0.0.2"), 15008),
    service="data/db.data.svc.cluster.local",
    sent=10,
    received=2000,
    seconds=0.25,
    mutual_tls=True,
)


def test_the_text_line_has_the_fields_that_ztunnel_users_know() -> None:
    assert text_line(CLOSED, AT) == (
        "2026-11-23T12:00:00.000000Z\tinfo\taccess\tconnection complete\t"
        'src.addr=10.0.0.1:40000 src.workload="web-1" src.namespace="shop" '
        'src.identity="spiffe://cluster.local/ns/shop/sa/web" '
        'dst.addr=10.0.0.2:15008 dst.workload="db-1" dst.namespace="data" '
        'dst.identity="spiffe://cluster.local/ns/data/sa/db" dst.hbone_addr=10.0.0.2:5432 '
        'dst.service="db.data.svc.cluster.local" direction="outbound" bytes_sent=10 bytes_recv=2000 duration="250ms"'
    )


def test_a_value_from_the_wire_cannot_start_a_line_of_its_own() -> None:
    http = HttpOutcome("GET", "h", '/a"\n2026 info access forged', "http", 404)
    line = text_line(Record(Event.REQUEST, Reporter.WAYPOINT, Party(), Party(), http=http), AT)
    assert "\n" not in line
    assert '\\"\\n' in line


def test_the_json_line_holds_the_same_fields() -> None:
    found = json.loads(json_line(CLOSED, AT))
    assert found["message"] == "connection complete"
    assert found["dst.service"] == "db.data.svc.cluster.local"
    assert found["bytes_recv"] == 2000


def test_bytes_are_counted_from_the_callers_side_whoever_reports() -> None:
    metrics = Metrics("test")
    metrics.observe(CLOSED)
    page = metrics.page().decode()
    [sent] = [line for line in page.splitlines() if line.startswith("istio_tcp_sent_bytes_total{")]
    assert sent.endswith(" 2000.0")
    assert 'source_principal="spiffe://cluster.local/ns/shop/sa/web"' in sent
    assert 'connection_security_policy="mutual_tls"' in sent


def test_a_refusal_is_an_error_line_and_a_flag() -> None:
    refused = Record(
        Event.CLOSED,
        Reporter.DESTINATION,
        Party(identity=Identity("cluster.local", "out", "intruder")),
        Party(workload=DB),
        refusal=Refusal(Reason.POLICY_DENIED, "rule 1 of DENY policy data/strict matches"),
        policy="data/strict",
    )
    line = text_line(refused, AT)
    assert "\terror\t" in line
    assert 'policy="data/strict" reason="policy-denied" error="rule 1 of DENY policy data/strict matches"' in line
    metrics = Metrics("test")
    metrics.observe(refused)
    assert 'response_flags="DENY"' in metrics.page().decode()


def test_a_line_at_the_opening_tells_how_long_it_took_and_one_at_the_end_what_came_of_it() -> None:
    opened = replace(CLOSED, event=Event.OPENED, connect_seconds=0.0123, sent=0, received=0)
    line = text_line(opened, AT)
    assert "\tconnection opened\t" in line
    assert 'connect="12.3ms"' in line
    assert "bytes_sent" not in line
    closed = replace(opened, event=Event.CLOSED, first_byte_seconds=0.5, ending="the peer: CANCEL")
    assert 'connect="12.3ms" first_byte="500.0ms" bytes_sent=0' in text_line(closed, AT)
    assert text_line(closed, AT).endswith('reset="the peer: CANCEL"')


def test_times_are_counted_by_the_pair_that_talks_and_by_nothing_that_a_caller_may_choose() -> None:
    metrics = Metrics("test")
    for service in ("data/a", "data/b"):
        record = replace(CLOSED, service=service, connect_seconds=0.004, first_byte_seconds=0.02)
        metrics.observe(record)
    pair = (
        'destination_workload="db",destination_workload_namespace="data",'
        'reporter="source",source_workload="web",source_workload_namespace="shop"'
    )
    fast = pair.replace(",reporter", ',le="0.005",reporter')
    page = metrics.page().decode()
    for line in (
        f"ambit_tcp_connect_seconds_count{{{pair}}} 2.0",
        f"ambit_tcp_connect_seconds_bucket{{{fast}}} 2.0",
        f"ambit_tcp_first_byte_seconds_count{{{pair}}} 2.0",
    ):
        assert line in page
