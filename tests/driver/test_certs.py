"""Keeping a certificate, on trio's own clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trio

from mesh import pki
from mesh.identity import Identity
from mesh.net import certs

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

    from mesh.net.tls import Credentials

WEB = Identity("cluster.local", "shop", "web")
BEGIN = datetime(2026, 5, 1, tzinfo=UTC)
ROOT = pki.new_authority("cluster.local", BEGIN)


def utcnow() -> datetime:
    """Trio's clock under test begins at zero."""
    return BEGIN + timedelta(seconds=trio.current_time())


class Authority:
    """Signs for an hour, unless it is told to fail."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.failing = False
        self.identity = WEB

    async def sign(self, csr: bytes, _identity: Identity) -> pki.Chain:
        self.asked.append((utcnow() - BEGIN).total_seconds())
        if self.failing:
            raise certs.SigningFailed("UNAVAILABLE: nobody is there")
        key = pki.new_key() if self.identity != WEB else None
        request = pki.csr(key, self.identity) if key else csr
        chain = pki.issue(ROOT, request, self.identity, timedelta(hours=1), utcnow())
        assert isinstance(chain, pki.Chain)
        return chain


async def keeping(authority: Authority, seconds: float, during: Callable[[], None] = lambda: None) -> list[Credentials]:
    given: list[Credentials] = []

    async def keep() -> None:
        await certs.keep(authority.sign, WEB, given.append, utcnow=utcnow)

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
            await trio.sleep(seconds / 2)
            during()
    return given


async def test_a_new_certificate_with_a_new_key_comes_at_half_the_life_of_the_old(autojump_clock: MockClock) -> None:
    authority = Authority()
    given = await keeping(authority, 3600)
    assert authority.asked == pytest.approx([0, 29 * 60, 58 * 60])
    assert len({one.key_pem for one in given}) == 3
    assert all(one.identity == WEB and one.roots_pem == ROOT.certificate_pem for one in given)


async def test_failures_are_retried_ever_more_rarely_and_end_with_success(autojump_clock: MockClock) -> None:
    authority = Authority()
    authority.failing = True

    def mend() -> None:
        authority.failing = False

    given = await keeping(authority, 2000, mend)
    pauses = [later - earlier for earlier, later in zip(authority.asked, authority.asked[1:], strict=False)]
    assert pauses[0] == pytest.approx(0.5, rel=0.2)
    assert pauses[1] == pytest.approx(1.0, rel=0.2)
    assert max(pauses[:-1]) == pytest.approx(150, rel=0.2)
    assert len(given) == 1


async def test_a_certificate_of_somebody_else_is_not_taken(autojump_clock: MockClock) -> None:
    authority = Authority()
    authority.identity = Identity("cluster.local", "shop", "admin")
    assert await keeping(authority, 5) == []
    assert len(authority.asked) > 1
