from __future__ import annotations

import pytest

from mesh.identity import Identity


def test_a_workload_identity_is_read_and_printed_as_its_uri() -> None:
    uri = "spiffe://cluster.local/ns/shop/sa/web"
    assert Identity.parse(uri) == Identity("cluster.local", "shop", "web")
    assert str(Identity.parse(uri)) == uri
    assert Identity.parse(uri).principal == "cluster.local/ns/shop/sa/web"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "cluster.local/ns/shop/sa/web",
        "https://cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local/ns/shop/sa/web/more",
        "spiffe://cluster.local/ns//sa/web",
        "spiffe://cluster.local/ns/../sa/web",
        "spiffe://cluster.local/ns/shop/sa/we b",
        "spiffe://cluster.local/ns/shop/sa/web\n",
        "spiffe://cluster.local:8080/ns/shop/sa/web",
        "spiffe://user@cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local/ns/shop/sa/web?x=1",
        "spiffe://cluster.local/ns/shop/sa/" + "w" * 3000,
    ],
)
def test_anything_else_is_no_identity(uri: str) -> None:
    with pytest.raises(ValueError, match=r"SPIFFE"):
        Identity.parse(uri)


def test_the_trust_domain_ignores_letter_case() -> None:
    assert Identity.parse("spiffe://Cluster.Local/ns/a/sa/b").trust_domain == "cluster.local"
