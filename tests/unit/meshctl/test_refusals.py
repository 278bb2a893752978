"""What a user is told when a lab cannot be."""

import errno
from pathlib import Path

import pytest

from meshctl.failure import ExitCode, Failure
from meshctl.lab.launch import refusal
from meshctl.lab.place import place


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ],
)
def test_the_setting_that_forbids_namespaces_is_named(tmp_path: Path, setting: str, value: str) -> None:
    (tmp_path / setting).parent.mkdir()
    (tmp_path / setting).write_text(f"{value}\n")
    told = refusal(OSError(errno.EPERM, "Operation not permitted"), tmp_path)
    assert f"{setting.replace('/', '.')} is {value}" in str(told["error"])
    assert told["forbidden"]


def test_without_a_known_setting_the_kernels_own_reason_is_given(tmp_path: Path) -> None:
    told = refusal(OSError(errno.EPERM, "Operation not permitted"), tmp_path)
    assert "Operation not permitted" in str(told["error"])


@pytest.mark.parametrize("name", ["", "Lab", "a/b", "-a", "a" * 31])
def test_a_name_that_cannot_be_one(name: str) -> None:
    with pytest.raises(Failure) as caught:
        place(name)
    assert caught.value.code == ExitCode.USAGE
