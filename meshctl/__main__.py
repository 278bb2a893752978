"""The `meshctl` program."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from meshctl.failure import ExitCode, Failure
from meshctl.verbs import inside, lifecycle, objects, waypoint, why

app = typer.Typer(
    name="meshctl",
    help="Ambit's command: a mesh on one machine, waypoints, and answers about what the mesh decided.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
lab = typer.Typer(help="A mesh on one machine, without Kubernetes.", no_args_is_help=True)
app.add_typer(lab, name="lab")
waypoints = typer.Typer(help="A namespace's layer 7 proxy.", no_args_is_help=True)
app.add_typer(waypoints, name="waypoint")
for group in (lifecycle, objects, inside, why):
    group.add_to(lab)
for group in (objects, inside, why):
    group.add_to(app)
waypoint.add_to(waypoints)


def main() -> None:
    """Run the command line; every refusal is a sentence on stderr and an exit code of `meshctl.failure`."""
    try:
        app()
    except Failure as failure:
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(failure.message, style="red", markup=False)
        if failure.mend:
            console.print(failure.mend, markup=False)
        sys.exit(failure.code)
    except KeyboardInterrupt:
        sys.exit(128 + 2)
    except PermissionError as error:
        sys.stderr.write(f"{error.filename or 'This'} is not yours to use: {error.strerror}.\n")
        sys.exit(ExitCode.FORBIDDEN)


if __name__ == "__main__":
    main()
