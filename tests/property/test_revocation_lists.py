"""Revocation lists: who is on one that we believe is refused, and garbage is refused as a whole."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import pki, revocation
from mesh.refusal import Reason
from mesh.revocation import RevocationList
from tests.pki_for_tests import CART, WEB, authority, credentials, revocations

LEAVES = [pki.leaf_of(credentials(identity).chain_pem) for identity in (WEB, CART)]
ROOT = authority().certificate_pem
IN_ORDER = revocations(LEAVES[0])


@given(st.sets(st.sampled_from(LEAVES)), st.lists(st.sampled_from(LEAVES), max_size=3))
def test_exactly_who_is_on_the_list_is_refused(revoked, chain):
    taken_back = RevocationList()
    assert taken_back.replace(revocation.read(revocations(*revoked)), ROOT) == 0
    refusal = taken_back.refusal(chain)
    assert (refusal is not None) == bool(revoked & set(chain))
    assert refusal is None or (refusal.reason, refusal.reason.flag) == (Reason.CERTIFICATE_REVOKED, "CERT_REVOKED")


def test_a_list_is_believed_if_an_authority_of_ours_signed_it():
    other = authority("another root")
    namesake = pki.new_authority("cluster.local", datetime.now(UTC))
    taken_back = RevocationList()
    for signer in (other, namesake):
        assert taken_back.replace(revocation.read(revocations(*LEAVES, by=signer)), ROOT) == 1
        assert taken_back.refusal(LEAVES) is None
    both = revocations(LEAVES[0]) + revocations(LEAVES[1], by=other)
    assert taken_back.replace(revocation.read(both), ROOT) == 1
    assert taken_back.refusal(LEAVES[:1]) is not None
    assert taken_back.refusal(LEAVES[1:]) is None


def test_nobody_is_on_an_empty_file():
    assert revocation.read(b" \n") == ()


@given(st.binary(max_size=400) | st.binary(max_size=40).map(lambda one: IN_ORDER[:-90] + one + IN_ORDER[-90:]))
def test_garbage_is_read_or_refused_and_nothing_worse(pem):
    with contextlib.suppress(ValueError):
        revocation.read(pem)


def test_a_file_that_holds_something_else_is_refused():
    for wrong in (ROOT, b"x" * (revocation.LARGEST + 1)):
        with pytest.raises(ValueError, match=r"X509 CRL|more than"):
            revocation.read(wrong)
