"""Another installed version of ztunnel, for upgrades: this one's packages in an environment of their own."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Final

import mesh
from ztunnel.release import DISTRIBUTION

_PACKAGES: Final = ("mesh", "ztunnel")
_PROGRAM: Final = """#!{python} -P
import sys
from ztunnel.__main__ import main
sys.exit(main())
"""


def install(folder: Path, version: str) -> Path:
    """Make a virtual environment in `folder` with a ztunnel that calls itself `version`; the path of its command.

    What ztunnel needs of others is taken from the environment that runs this.
    """
    source = Path(mesh.__file__).resolve().parents[1]
    packages = libraries(folder)
    packages.mkdir(parents=True)
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.symlink_to(Path(sys.executable).resolve())
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n", encoding="utf-8")
    (packages / "others.pth").write_text(f"{sysconfig.get_path('platlib')}\n", encoding="utf-8")
    for package in _PACKAGES:
        shutil.copytree(source / package, packages / package, ignore=shutil.ignore_patterns("__pycache__"))
    rename(packages, version)
    program = folder / "bin" / "ztunnel"
    program.write_text(_PROGRAM.format(python=python), encoding="utf-8")
    program.chmod(0o755)
    return program


def libraries(folder: Path) -> Path:
    """Where packages are in an environment."""
    return Path(sysconfig.get_path("platlib", vars={"platbase": str(folder), "base": str(folder)}))


def rename(packages: Path, version: str) -> None:
    """Have what is installed there call itself `version`, as an installation over it would."""
    name = DISTRIBUTION.replace("-", "_")
    for former in packages.glob(f"{name}-*.dist-info"):
        shutil.rmtree(former)
    described = packages / f"{name}-{version}.dist-info"
    described.mkdir()
    text = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n"
    (described / "METADATA").write_text(text, encoding="utf-8")
