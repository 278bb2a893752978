"""Which ztunnel is installed, and when another one is due."""

import sys

import pytest

from ztunnel.release import Release, Watch, installed, version_said


def test_this_one():
    own = installed()
    assert own.python == sys.executable
    assert own.command("serve") == (sys.executable, "-P", "-m", "ztunnel", "serve")


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("ztunnel 0.2.0\n", "0.2.0"),
        ("ztunnel 1.0rc1+local", "1.0rc1+local"),
        ("", None),
        ("ztunnel", None),
        ("ztunnel 0.2.0\nand more", None),
        ("envoy 1.2", None),
        ("ztunnel " + "1" * 65, None),
    ],
)
def test_what_it_says_of_its_version(output, version):
    assert version_said(output) == version


@pytest.mark.parametrize(
    ("looks", "due"),
    [
        (["1", "1", "1"], [False, False, False]),
        (["1", "2", "2"], [False, False, True]),
        (["2", "3", "3"], [False, False, True]),
        (["2", None, "2"], [False, False, False]),
        ([None, None], [False, False]),
        (["2", "1", "2", "2"], [False, False, False, True]),
    ],
)
def test_another_version_is_due_when_it_has_settled(looks, due):
    watch = Watch("1")
    assert [watch.due(version) for version in looks] == due


def test_a_release_is_a_value():
    assert Release("/a", "1") == Release("/a", "1")
