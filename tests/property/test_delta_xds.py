"""Delta xDS: whatever happens to the mesh and to the connection, the subscriber ends with what the publisher has."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mesh.xds import resource as wire
from mesh.xds.pb.discovery_pb2 import Node
from mesh.xds.publisher import Publisher
from mesh.xds.resource import ADDRESS, Resource, Shelf, changed, shelf
from mesh.xds.subscriber import Subscriber

NAMES = ["a", "b", "c", "d"]
names = st.sampled_from(NAMES)
bodies = st.sampled_from([b"1", b"2", b"3", b"bad"])
READER = "shop/waypoint"


class Conversation(RuleBasedStateMachine):
    """A server whose catalog is edited, a client, and between them a connection that may break at any time."""

    on_demand = False

    @initialize()
    def begin(self) -> None:
        self.shelf = Shelf()
        self.subscriber = Subscriber(Node(id="n"), [ADDRESS], [ADDRESS] if self.on_demand else [])
        self.held: dict[str, bytes] = {}
        self.asked: set[str] = set()
        self.publisher: Publisher | None = None
        self.dirty: set[str] = set()
        self.to_server: list = []
        self.to_client: list = []

    @property
    def catalog(self) -> wire.Catalog:
        return {ADDRESS: self.shelf}

    @rule(
        name=names, body=bodies, hidden=st.booleans(), alias=st.sampled_from(["", "x", "y"]), leader=st.none() | names
    )
    def edit(self, name: str, body: bytes, hidden: bool, alias: str, leader: str | None) -> None:
        one = Resource.of(
            name,
            body,
            aliases=(alias,) if alias else (),
            follows=(leader,) if leader else (),
            audience=frozenset({"other/waypoint"}) if hidden else None,
        )
        self._replace(shelf([*(each for each in self.shelf.resources.values() if each.name != name), one]))

    @rule(name=names)
    def delete(self, name: str) -> None:
        self._replace(shelf(each for each in self.shelf.resources.values() if each.name != name))

    def _replace(self, new: Shelf) -> None:
        self.dirty |= changed(self.shelf, new)
        self.shelf = new

    @precondition(lambda self: self.publisher is None)
    @rule()
    def connect(self) -> None:
        self.publisher = Publisher(READER)
        self.dirty = set()
        self.to_server = list(self.subscriber.opening())

    @precondition(lambda self: self.publisher is not None)
    @rule()
    def disconnect(self) -> None:
        self.publisher, self.to_server, self.to_client = None, [], []

    @precondition(lambda self: self.publisher is not None)
    @rule()
    def push(self) -> None:
        response = self.publisher.publish(ADDRESS, frozenset(self.dirty), self.catalog)
        self.dirty = set()
        if response is not None:
            self.to_client.append(response)

    @precondition(lambda self: self.to_server)
    @rule()
    def serve_one(self) -> None:
        answer = self.publisher.receive(self.to_server.pop(0), self.catalog)
        if answer.response is not None:
            self.to_client.append(answer.response)

    @precondition(lambda self: self.to_client)
    @rule()
    def take_one(self) -> None:
        delivery = self.subscriber.receive(self.to_client.pop(0))
        assert delivery is not None
        for name in delivery.removed:
            self.held.pop(name, None)
        faults = []
        for each in delivery.resources:
            if each.resource.value == b"bad":
                faults.append((each.name, "it is bad"))
            else:
                self.held[each.name] = each.resource.value
        self.to_server.append(self.subscriber.settle(delivery, faults))

    def _settle(self) -> None:
        while self.to_server or self.to_client or self.dirty:
            if self.to_server:
                self.serve_one()
            elif self.to_client:
                self.take_one()
            else:
                self.push()

    def _expected(self) -> dict[str, Resource]:
        return {name: one for name, one in self.shelf.resources.items() if one.seen_by(READER)}

    @precondition(lambda self: self.publisher is not None)
    @rule()
    def come_to_rest(self) -> None:
        self._settle()
        expected = self._expected()
        assert self.held.keys() <= expected.keys()
        for name, one in expected.items():
            if one.body != b"bad":
                assert self.held.get(name) == one.body, name

    @invariant()
    def nothing_bad_is_ever_held(self) -> None:
        assert b"bad" not in getattr(self, "held", {}).values()


class OnDemandConversation(Conversation):
    """The same with a client that asks by name and alias."""

    on_demand = True

    @rule(name=st.sampled_from([*NAMES, "x", "y", "nobody"]))
    def want(self, name: str) -> None:
        self.asked.add(name)
        self._say(self.subscriber.want(ADDRESS, name))

    @rule(name=st.sampled_from([*NAMES, "x", "y"]))
    def forget(self, name: str) -> None:
        self.asked.discard(name)
        request = self.subscriber.forget(ADDRESS, name)
        if request is not None:
            self.held.pop(name, None)
        self._say(request)

    def _say(self, request: object) -> None:
        if request is not None and self.publisher is not None:
            self.to_server.append(request)

    @precondition(lambda self: self.publisher is not None)
    @rule()
    def come_to_rest(self) -> None:
        """All that was asked for is there, and whatever is there is as the server has it."""
        self._settle()
        seen = self._expected()
        for name in self.asked:
            for one in self.shelf.wanted(name):
                if one.name in seen and one.body != b"bad":
                    assert self.held.get(one.name) == one.body, (name, one.name)
        for name, body in self.held.items():
            assert name in seen
            assert seen[name].body in {body, b"bad"}


TestWildcard = Conversation.TestCase
TestWildcard.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestOnDemand = OnDemandConversation.TestCase
TestOnDemand.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
