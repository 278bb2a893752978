import subprocess
import sys

import pytest


def ztunnel(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ztunnel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env={})


def test_it_says_its_version():
    done = ztunnel("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("ztunnel ")


def test_it_explains_itself():
    done = ztunnel("--help")
    assert done.returncode == 0
    assert "serve the pods of this node" in done.stdout


def test_a_setting_that_is_missing_is_named():
    done = ztunnel("serve")
    assert done.returncode == 2
    assert done.stderr == "ztunnel: NODE_NAME is not set: set it to the name of this Kubernetes node\n"


@pytest.mark.parametrize("arguments", [(), ("dance",)])
def test_what_it_cannot_do_it_refuses(arguments):
    done = ztunnel(*arguments)
    assert done.returncode == 2
    assert "usage: ztunnel" in done.stderr
