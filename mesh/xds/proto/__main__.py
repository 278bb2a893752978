"""Generate `mesh/xds/pb` from the protocol files beside this one; with `--check` only say whether it is up to date.

The files are compiled under the path of the generated package. So they import each other as `mesh.xds.pb`, and in
protobuf's registry, which is one for the whole process, they bear file names that no other library uses.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from grpc_tools import protoc

_PROTO = Path(__file__).parent
_PB = _PROTO.parent / "pb"
_PACKAGE = "mesh/xds/pb"


def generate(into: Path) -> None:
    """Write the generated package below `into`; RuntimeError if a protocol file is wrong."""
    sources = sorted(str(path) for path in _PROTO.glob("*.proto"))
    builtin = files("grpc_tools") / "_proto"
    code = protoc.main(
        ["protoc", f"-I{_PACKAGE}={_PROTO}", f"-I{builtin}", f"--python_out={into}", f"--pyi_out={into}", *sources]
    )
    if code != 0:
        raise RuntimeError("protoc refused the protocol files")


def stale() -> list[str]:
    """Names of generated files that are missing, superfluous or differ from what would be generated now."""
    with TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = {path.name: path.read_bytes() for path in (Path(folder) / _PACKAGE).iterdir()}
    present = {path.name: path.read_bytes() for path in _PB.glob("*_pb2.py*")}
    return sorted(name for name in fresh.keys() | present.keys() if fresh.get(name) != present.get(name))


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        if names := stale():
            sys.exit(f"Run `make generate`: out of date in {_PB.name}/: {', '.join(names)}")
    else:
        generate(_PROTO.parents[2])
