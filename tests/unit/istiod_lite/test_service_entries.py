"""ServiceEntries and WorkloadEntries: what is refused, who has a host, and which address it gets."""

from __future__ import annotations

import pytest

from istiod_lite.compile import Settings, compile_world
from istiod_lite.compile.hosts import AUTOMATIC, automatic_addresses
from istiod_lite.object import ObjectKey
from istiod_lite.status import statuses


def entry(spec: str, name: str = "e", more: str = "", kind: str = "ServiceEntry") -> str:
    return f"""
        apiVersion: networking.istio.io/v1
        kind: {kind}
        metadata: {{name: {name}, namespace: shop{more}}}
        spec: {{{spec}}}
    """


def made(day: int) -> str:
    return f", creationTimestamp: '2026-01-{day:02}T00:00:00Z'"


STATIC = "hosts: [a.example.com], resolution: STATIC, ports: [{name: http, number: 80}]"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("resolution: STATIC", "spec.hosts"),
        ("hosts: []", "spec.hosts"),
        ("hosts: [a_b]", "spec.hosts[0]"),
        ("hosts: [a.b], addresses: [one]", "spec.addresses[0]"),
        ("hosts: [a.b], resolution: Static", "spec.resolution"),
        ("hosts: [a.b], location: OUTSIDE", "spec.location"),
        ("hosts: [a.b], ports: [{number: 80}]", "spec.ports[0].name"),
        ("hosts: [a.b], ports: [{name: x, number: 80, protocol: SMTP}]", "spec.ports[0].protocol"),
        ("hosts: [a.b], ports: [{name: x, number: 80}, {name: y, number: 80}]", "spec.ports[1]"),
        ("hosts: [a.b], endpoints: [{address: 10.0.0.1}]", "spec.endpoints"),
        ("hosts: [a.b], resolution: STATIC, endpoints: [{address: b.c}]", "spec.endpoints[0].address"),
        ("hosts: [a.b], resolution: STATIC, endpoints: [{address: 'unix:///x'}]", "spec.endpoints[0].address"),
        ("hosts: [a.b], resolution: STATIC, endpoints: [{address: 10.0.0.300}]", "spec.endpoints[0].address"),
        ("hosts: [a.b], resolution: STATIC, endpoints: [{adress: 10.0.0.3}]", "spec.endpoints[0].adress"),
        ("hosts: [a.b], resolution: DNS_ROUND_ROBIN, endpoints: [{address: b.c}, {address: c.d}]", "spec.endpoints"),
        ("hosts: ['*.b'], resolution: DNS", "spec.hosts"),
        ("hosts: [a.b], resolution: STATIC, workloadSelector: {labels: {}}", "spec.workloadSelector"),
    ],
)
def test_what_cannot_be_meant_is_refused(problems_of, spec: str, field: str):
    problems = problems_of(entry(spec))
    assert field in {one.field for one in problems}
    assert all(one.grave for one in problems)


@pytest.mark.parametrize("spec", ["", "address: 10.0.0.1, ports: [80]", "address: 10.0.0.1, ports: {http: 0}"])
def test_a_workload_entry_is_read_as_strictly(problems_of, spec: str):
    assert problems_of(entry(spec, kind="WorkloadEntry"))


def test_a_kind_of_this_group_that_nobody_carries_out_is_named(problems_of):
    [problem] = problems_of(entry("hosts: [a]", kind="VirtualService"))
    assert not problem.grave


class TestAutomaticAddresses:
    def test_they_follow_from_the_names_and_not_from_what_else_there_is(self, world_of):
        alone = automatic_addresses(world_of(entry(STATIC)), Settings())
        other = entry(STATIC.replace("a.ex", "b.ex"), "other")
        assert automatic_addresses(world_of(other, entry(STATIC)), Settings())["shop", "a.example.com"] in AUTOMATIC
        assert alone.items() <= automatic_addresses(world_of(other, entry(STATIC)), Settings()).items()

    def test_no_two_hosts_share_one(self, world_of):
        texts = [entry(f"hosts: [{', '.join(f'h{i}.n{n}.com' for i in range(250))}], resolution: STATIC", f"e{n}")
                 for n in range(8)]  # fmt: skip
        found = automatic_addresses(world_of(*texts), Settings())
        assert len(found) == len(set(found.values())) == 2000

    def test_a_younger_host_never_takes_an_older_ones(self, world_of):
        """h3.com and its like are tried until two meet; the older object keeps what it had alone."""
        hosts = [f"h{i}.com" for i in range(700)]
        alone = {host: automatic_addresses(world_of(entry(f"hosts: [{host}], resolution: STATIC")), Settings())
                 ["shop", host] for host in hosts}  # fmt: skip
        first: dict[object, str] = {}
        older, younger = next(
            (first[alone[host]], host) for host in hosts if first.setdefault(alone[host], host) is not host
        )
        for names in (("a", "b"), ("b", "a")):
            world = world_of(
                entry(f"hosts: [{older}], resolution: STATIC", names[0], made(1)),
                entry(f"hosts: [{younger}], resolution: STATIC", names[1], made(2)),
            )
            found = automatic_addresses(world, Settings())
            assert found["shop", older] == alone[older] != found["shop", younger]

    @pytest.mark.parametrize(
        "spec", ["hosts: [a.b]", "hosts: ['*.b'], resolution: STATIC", STATIC + ", addresses: [10.9.0.1]"]
    )
    def test_who_gets_none(self, world_of, spec: str):
        assert automatic_addresses(world_of(entry(spec)), Settings()) == {}


def test_a_host_belongs_to_the_oldest(world_of):
    world = world_of(entry(STATIC, "young", made(2)), entry(STATIC, "old", made(1)))
    [service] = compile_world(world, Settings()).services.values()
    assert service.name == "old"
    status = statuses(world, Settings())[ObjectKey("networking.istio.io", "ServiceEntry", "shop", "young")]
    assert "addresses" not in status
    assert "older ServiceEntry shop/old" in status["conditions"][0]["message"]
