"""istiod-lite: `serve` runs the control plane, `render` and `check` look at manifests and leave again."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from istiod_lite.config import Check, Render, Serve, parse

if TYPE_CHECKING:
    from pathlib import Path

    from istiod_lite.problem import Problem


def main() -> None:
    """The program. The exit status is 1 for bad manifests, 2 for what keeps the program from running."""
    match parse():
        case Serve() as config:
            sys.exit(_serve(config))
        case Render() as config:
            sys.exit(_render(config))
        case Check() as config:
            sys.exit(_check(config))


def _serve(config: Serve) -> int:
    # Only this verb needs a server's libraries; the others answer while somebody waits.
    import asyncio

    from istiod_lite.app import serve
    from istiod_lite.authority import DamagedState

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    if not config.manifests.is_dir():
        return _cannot(f"{config.manifests} is not a folder")
    try:
        asyncio.run(serve(config))
    except (DamagedState, OSError, RuntimeError) as fault:
        return _cannot(str(fault))
    return 0


def _render(config: Render) -> int:
    import yaml

    from istiod_lite.compile import compile_world
    from istiod_lite.readings import Readings
    from mesh.document import to_document

    files = _texts(config.path)
    if files is None:
        return _cannot(f"{config.path} cannot be read")
    outcome = Readings().update(files)
    _report(outcome.problems)
    document = to_document(compile_world(outcome.world, config.settings))
    yaml.dump(document, sys.stdout, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return 1 if any(one.grave for one in outcome.problems) else 0


def _check(config: Check) -> int:
    from istiod_lite import admission
    from istiod_lite.readings import Readings

    files = _texts(config.path)
    context = _texts(config.context) if config.context is not None else {}
    if files is None or context is None:
        return _cannot(f"{config.path if files is None else config.context} cannot be read")
    world = Readings().update(context).world if config.context is not None else None
    problems = [
        problem
        for source, text in sorted(files.items())
        for problem in admission.check(text, source, world, config.settings)
    ]
    _report(problems)
    return 1 if any(one.grave for one in problems) else 0


def _report(problems: list[Problem] | tuple[Problem, ...]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)


def _texts(path: Path) -> dict[str, str] | None:
    """The manifests behind a path (a file, a folder, or `-`), None if it cannot be read."""
    from istiod_lite.folder import texts

    try:
        return {"stdin": sys.stdin.read()} if str(path) == "-" else texts(path)
    except (OSError, UnicodeError):
        return None


def _cannot(message: str) -> int:
    print(f"istiod-lite: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
