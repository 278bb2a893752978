"""`python -m tests.fuzz TARGET [libFuzzer's own options and folders]`: fuzz one target until told to end.

A crash is written to a file `crash-*`; put it into the target's folder in corpus/, which is its regression test.
"""

import sys

import atheris

with atheris.instrument_imports(include=["mesh", "ztunnel", "waypoint"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Hand over to libFuzzer."""
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
