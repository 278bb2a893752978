"""A bug in one connection's step is logged, ends that connection, and concerns no other."""

from __future__ import annotations

import logging

import pytest

from ztunnel.worker.boundary import contained, contained_task


class Connection:
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.failed = False

    def fail(self) -> None:
        self.failed = True

    @contained
    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == "bad":
            raise RuntimeError("a bug")

    @contained_task
    async def wait(self) -> None:
        raise RuntimeError("a bug")


def test_a_bug_in_one_step_ends_that_connection_alone(caplog: pytest.LogCaptureFixture) -> None:
    one, other = Connection(), Connection()
    with caplog.at_level(logging.ERROR):
        one.step("bad")
        other.step("good")
    assert one.failed
    assert not other.failed
    assert other.steps == ["good"]
    assert "fault of this proxy" in caplog.text


async def test_a_bug_in_a_task_ends_that_connection_alone(caplog: pytest.LogCaptureFixture) -> None:
    one = Connection()
    await one.wait()
    assert one.failed
    assert "fault of this proxy" in caplog.text
