"""`make demo`, as root and as an ordinary user: every check holds."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
AS_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
WAYS = {"user": AS_USER} if os.geteuid() else {"root": (), "user": AS_USER}

CLAIMS = (
    "the shop runs",
    "its payload crosses the link between the nodes in clear text",
    "requests that ran meanwhile were all answered",
    "no application process was restarted",
    "its payload is not on the link any more",
    "port 15008 carries TLS records and nothing else",
    "with it the intruder is refused",
    "and the client is served",
    "the policy's status says that nothing enforces it",
    "the new version gets its tenth of them",
    "x-user: beta is always answered by v2",
    "with it a POST is answered 403",
    "while it is missing, requests are refused",
    "no forbidden request ever came through",
    "nothing crossed the link in clear text",
    "requests between other pods notice nothing",
    "no request notices",
)


@pytest.fixture(params=WAYS)
def demo(request: pytest.FixtureRequest) -> Iterator[subprocess.CompletedProcess[str]]:
    """A finished run of the demonstration, in one of the ways this machine offers."""
    with tempfile.TemporaryDirectory(prefix="ambit-") as runtime:
        yield subprocess.run(
            [
                *WAYS[request.param],
                "env",
                f"XDG_RUNTIME_DIR={runtime}",
                sys.executable,
                "-m",
                "demo",
                "--lab",
                f"demo-{os.getpid()}",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )


@pytest.mark.e2e
@pytest.mark.netns
def test_every_check_of_the_demonstration_holds(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stdout[-6000:] + demo.stderr[-2000:]
    assert re.search(r"^demo: \d+ checks passed$", demo.stdout.splitlines()[-1])
    held = re.findall(r"^   ok +(.*?)(?: - .*)?$", demo.stdout, re.MULTILINE)
    assert [claim for claim in CLAIMS if claim not in held] == []
    assert "\x1b[" not in demo.stdout
