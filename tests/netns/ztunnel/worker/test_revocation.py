"""Certificates that are taken back while the workers run: nobody new comes by them, and who is there has to go."""

from __future__ import annotations

import pytest
import trio

from mesh.refusal import Reason
from tests.pki_for_tests import authority, revocations
from tests.pods_for_tests import assert_reset, assert_soon_refused, assert_soon_served, exchange
from tests.tunnel_ends import until

pytestmark = pytest.mark.netns


def revoke(pair, *names: str, by=None) -> None:
    """As an operator does: a new file in the place of the old."""
    fresh = pair.node.crl.with_suffix(".new")
    fresh.write_bytes(revocations(*(pair.node.issued[name] for name in names), by=by))
    fresh.replace(pair.node.crl)


def refused(pair, *, outbound: bool) -> list:
    """What was refused or ended for a revoked certificate."""
    closed = pair.node.closed(outbound=outbound)
    return [one for one in closed if one.refusal and one.refusal.reason is Reason.CERTIFICATE_REVOKED]


def rejections(pair) -> float:
    """The metric."""
    page = pair.node.metrics.page().decode()
    return float(next(line.split()[1] for line in page.splitlines() if line.startswith("istio_crl_policy_rejections_")))


async def test_crl_inbound_rejects_revoked_cert(pair):
    revoke(pair, "web")
    pair.db.listen(8080)
    await assert_soon_refused(pair.web, pair.db.address(), 8080)
    await until(lambda: refused(pair, outbound=False))
    [first, *_] = refused(pair, outbound=False)
    assert first.flag == "CERT_REVOKED"
    assert f"{pair.node.issued['web'].serial_number:x}" in first.refusal.detail
    assert rejections(pair) >= 1


async def test_crl_outbound_rejects_revoked_cert(pair):
    revoke(pair, "db")
    pair.db.listen(8080)
    await assert_soon_refused(pair.web, pair.db.address(), 8080)
    await until(lambda: refused(pair, outbound=True))
    assert refused(pair, outbound=True)[0].flag == "CERT_REVOKED"
    assert rejections(pair) >= 1


@pytest.mark.parametrize(("revoked", "outbound"), [("web", False), ("db", True)], ids=["inbound", "outbound"])
async def test_crl_terminates_existing_connection_on_revocation(pair, revoked, outbound):
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    server = await application.accept()
    await exchange(client, server)
    revoke(pair, revoked)
    await assert_reset(client)
    await assert_reset(server)
    await until(lambda: refused(pair, outbound=outbound))
    assert (refused(pair, outbound=outbound)[0].sent, refused(pair, outbound=outbound)[0].received) == (4, 4)


async def test_who_is_on_no_list_is_let_in_and_who_is_taken_off_is_again(pair):
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    server = await application.accept()
    revoke(pair)
    await trio.sleep(2.5)
    await exchange(client, server)
    revoke(pair, "web")
    await assert_reset(client)
    revoke(pair)
    await assert_soon_served(pair.web, pair.db.address(), 8080, application)


async def test_a_list_of_a_strange_authority_and_a_damaged_one_change_nothing(pair):
    application = pair.db.listen(8080)
    client = await pair.web.call(pair.db.address(), 8080)
    server = await application.accept()
    revoke(pair, "web", by=authority("another root"))
    await trio.sleep(2.5)
    await exchange(client, server)
    pair.node.crl.write_text("-----BEGIN X509 CRL-----\nabc\n-----END X509 CRL-----\n")
    await trio.sleep(2.5)
    await exchange(client, server)
