"""What a node waits for, in words."""

import pytest

from ztunnel.keeper.readiness import pending


@pytest.mark.parametrize(
    ("connected", "named", "stopping", "uncaptured", "parts"),
    [
        (True, True, False, [], ()),
        (False, False, False, [], ("the CNI agent is not connected",)),
        (True, False, False, [], ("the CNI agent has not named all pods yet",)),
        (True, True, False, [("b", "x"), ("a", "y")], ("pod a is not captured: y", "pod b is not captured: x")),
        (False, False, True, [], ("the node's proxy is ending", "the CNI agent is not connected")),
    ],
)
def test_what_is_awaited(connected, named, stopping, uncaptured, parts):
    assert pending(connected=connected, named=named, stopping=stopping, uncaptured=uncaptured) == parts
