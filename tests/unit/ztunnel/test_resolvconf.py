from ipaddress import ip_address

import pytest

from ztunnel.resolvconf import nameservers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nameserver 10.96.0.10\nsearch a b\noptions ndots:5\n", ["10.96.0.10"]),
        ("# nameserver 1.1.1.1\nnameserver fd00::a\n  nameserver 10.0.0.1  \n", ["fd00::a", "10.0.0.1"]),
        ("nameserver 127.0.0.53\nnameserver ::1\n", []),
        ("nameserver 1.1.1.1\n" * 2 + "nameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\n",
         ["1.1.1.1", "1.1.1.2", "1.1.1.3"]),
        ("nameserver\nnameserver example.com\nnameservers 1.1.1.1\n", []),
    ],
)  # fmt: skip
def test_name_servers_that_a_pod_can_reach(text, found):
    assert nameservers(text) == tuple(map(ip_address, found))
