"""The ztunnel command."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from typing import NoReturn

from mesh.net.openssl.config import prefer_cheap_suites
from mesh.settings import SettingsError
from ztunnel import release
from ztunnel.config import Config, keeper_socket


def main() -> int:
    """Run one part of a node's ztunnel; the exit status says whether it could."""
    arguments = _parser().parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s\t%(levelname)s\t%(name)s\t%(message)s"
    )
    if arguments.part == "zygote":
        _zygote(arguments.channel)
    if arguments.part == "upgrade":
        return _upgrade(arguments.wait)
    try:
        config = Config.from_process()
    except SettingsError as error:
        print(f"ztunnel: {error}", file=sys.stderr)
        return 2
    if arguments.part == "supervisor":
        _supervisor(config, arguments.channel)
    return _keeper(config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ztunnel", description="The node proxy of an ambient mesh.")
    parser.add_argument("--version", action="version", version=f"ztunnel {release.installed().version}")
    parts = parser.add_subparsers(dest="part", required=True, metavar="COMMAND")
    parts.add_parser("serve", help="serve the pods of this node; settings come from the environment")
    upgrade = parts.add_parser("upgrade", help="hand this node over to this ztunnel: new connections at once")
    upgrade.add_argument("--wait", type=float, default=120.0, help="seconds until it has to serve every pod")
    for part, what in (("supervisor", "speaks with istiod"), ("zygote", "forks workers")):
        inner = parts.add_parser(part, help=f"started by serve: {what}")
        inner.add_argument("channel", type=int, help="descriptor of the socket that the keeper speaks on")
    return parser


def _keeper(config: Config) -> int:
    from ztunnel import keeper
    from ztunnel.keeper.rundir import RunDirError

    try:
        keeper.run(config, release.installed())
    except (RunDirError, OSError) as error:
        print(f"ztunnel: {error}", file=sys.stderr)
        return 1
    return 0


def _upgrade(patience: float) -> int:
    from ztunnel.upgrade import UpgradeFailed, upgrade

    try:
        upgrade(keeper_socket(), release.installed(), patience, print)
    except (UpgradeFailed, SettingsError) as error:
        print(f"ztunnel: {error}", file=sys.stderr)
        return 1
    return 0


def _supervisor(config: Config, channel: int) -> NoReturn:
    from ztunnel import confine, supervisor

    confine.name_process("zt-supervisor")
    confine.confine(confine.SUPERVISOR)
    supervisor.run(config, socket.socket(fileno=channel))


def _zygote(channel: int) -> NoReturn:
    prefer_cheap_suites()
    from ztunnel import worker, zygote

    worker.preload()
    zygote.run(socket.socket(fileno=channel), worker.run)


if __name__ == "__main__":
    sys.exit(main())
