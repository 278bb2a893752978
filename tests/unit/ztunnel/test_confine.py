import pytest

from ztunnel import confine
from ztunnel.confine import Capability

WHOLE = "         0          0 4294967295\n"
SINGLE = "         0       1000          1\n"
RANGES = "         0     100000       1000\n   1336000     200000       4096\n"


@pytest.mark.parametrize(
    ("uid_map", "uid", "mapped"),
    [
        (WHOLE, 1_337_000, True),
        (SINGLE, 0, True),
        (SINGLE, 1_337_000, False),
        (RANGES, 999, True),
        (RANGES, 1000, False),
        (RANGES, 1_336_999, True),
        (RANGES, 1_340_096, False),
        ("", 0, False),
    ],
)
def test_a_user_namespace_has_the_users_it_maps(uid_map, uid, mapped):
    assert confine.maps_user(uid_map, uid) is mapped


def test_every_part_keeps_what_its_work_takes_and_no_more():
    assert confine.worker(1_337_001).capabilities == {Capability.NET_RAW}
    assert confine.SUPERVISOR.capabilities == frozenset()
    assert confine.ZYGOTE.capabilities == {
        Capability.SYS_ADMIN,
        Capability.SETUID,
        Capability.SETGID,
        Capability.SETPCAP,
        Capability.NET_RAW,
    }


def test_no_two_parts_share_a_user():
    users = {confine.SUPERVISOR.uid, confine.ZYGOTE.uid, *(confine.FIRST_WORKER_UID + slot for slot in range(250))}
    assert len(users) == 252
