"""The directory of the node proxy's sockets, where there are users to give it to."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from ztunnel import confine
from ztunnel.keeper.rundir import RunDirError, make_run_dir

pytestmark = pytest.mark.netns

SINGLE_USER = "0 1000 1\n"
UID_MAP = Path("/proc/self/uid_map").read_text()
OWN_USERS = confine.maps_user(UID_MAP, confine.SUPERVISOR_UID)


@pytest.fixture
def directory():
    made = Path(tempfile.mkdtemp())
    yield made
    shutil.rmtree(made)


def test_where_all_parts_are_one_user_nobody_else_comes_in(directory):
    run_dir = directory / "ambit" / "ztunnel"
    make_run_dir(run_dir, SINGLE_USER)
    make_run_dir(run_dir, SINGLE_USER)
    assert stat.S_IMODE(run_dir.stat().st_mode) == 0o700


def test_workers_pass_through_it_and_the_supervisor_makes_its_own_there(directory):
    directory.chmod(0o711)
    run_dir = directory / "ztunnel"
    make_run_dir(run_dir, UID_MAP)
    status = run_dir.stat()
    if OWN_USERS:
        assert (status.st_uid, status.st_gid) == (os.getuid(), confine.SUPERVISOR_UID)
        assert stat.S_IMODE(status.st_mode) == 0o1731
    else:
        assert stat.S_IMODE(status.st_mode) == 0o700


def test_a_directory_that_workers_cannot_reach_is_refused_with_the_mend(directory):
    directory.chmod(0o700)
    if OWN_USERS:
        with pytest.raises(RunDirError, match=f"chmod o\\+x {directory}"):
            make_run_dir(directory / "ztunnel", UID_MAP)
    else:
        make_run_dir(directory / "ztunnel", UID_MAP)
