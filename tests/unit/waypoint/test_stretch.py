"""One direction of an exchange: what waits, what moves on, and who gets credit when."""

from __future__ import annotations

from waypoint.http.events import Body, End, Event, ResponseHead
from waypoint.stretch import Stretch


class Side:
    """A link with so much room."""

    def __init__(self, room: int = 0) -> None:
        self.left = room
        self.said: list[Event] = []
        self.credited = 0

    def say(self, stream: int, event: Event) -> None:
        self.said.append(event)
        if isinstance(event, Body):
            self.left -= len(event.data)
            assert self.left >= 0

    def room(self, stream: int) -> int:
        return self.left

    def credit(self, stream: int, cost: int) -> None:
        self.credited += cost


def stretch(source: Side, sink: Side) -> Stretch:
    made = Stretch()
    made.begin(source, 1)
    made.reach(sink, 1)
    return made


def test_a_body_goes_as_far_as_there_is_room_and_is_credited_once_it_is_through() -> None:
    source, sink = Side(), Side(room=4)
    way = stretch(source, sink)
    way.push(Body(b"0123456789", 10))
    way.push(End())
    assert (sink.said, source.credited, way.ended) == ([Body(b"0123")], 0, False)
    sink.left = 5
    way.pump()
    assert (sink.said[1:], source.credited) == ([Body(b"45678")], 0)
    sink.left = 5
    way.pump()
    assert sink.said[2:] == [Body(b"9", 10), End()]
    assert (source.credited, way.ended, way.carried) == (10, True, 10)


def test_heads_need_no_room_but_wait_their_turn() -> None:
    source, sink = Side(), Side()
    way = stretch(source, sink)
    way.push(ResponseHead(200))
    assert sink.said == [ResponseHead(200)]
    way.push(Body(b"x", 1))
    way.push(End())
    assert sink.said == [ResponseHead(200)]


def test_what_comes_before_there_is_a_sink_is_kept_for_it() -> None:
    source, sink = Side(), Side(room=100)
    way = Stretch()
    way.begin(source, 1)
    way.push(Body(b"early", 5))
    assert (way.unpaid(), source.credited) == (5, 0)
    way.push(Body(b"again", 5))
    way.push(End())
    way.reach(sink, 3)
    assert sink.said == [Body(b"again", 5), End()]
    assert (source.credited, way.unpaid()) == (5, 0)
