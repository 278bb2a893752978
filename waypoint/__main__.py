"""The waypoint command."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib.metadata import version

from mesh.net.openssl.config import prefer_cheap_suites
from mesh.settings import SettingsError
from waypoint.config import Config


def main() -> int:
    """Serve a Gateway of class istio-waypoint; the exit status says whether the settings were good."""
    parser = argparse.ArgumentParser(prog="waypoint", description="A namespace's layer 7 proxy in an ambient mesh.")
    parser.add_argument("--version", action="version", version=f"waypoint {version('ambit-mesh')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "serve",
        help="serve one Gateway; settings come from the environment",
        description="Serve one Gateway. Settings come from the environment: POD_NAME, POD_NAMESPACE, SERVICE_ACCOUNT, "
        "INSTANCE_IP, GATEWAY_NAME, XDS_ADDRESS, CA_ADDRESS, XDS_ROOT_CA, ALT_XDS_HOSTNAME, AUTH_TOKEN, TRUST_DOMAIN, "
        "CLUSTER_ID, NETWORK, SECRET_TTL, DRAIN_SECONDS; for traces OTEL_EXPORTER_OTLP_ENDPOINT, "
        "OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_TRACES_SAMPLER_ARG, OTEL_PROPAGATORS. "
        "Listens on 15008 (HBONE), 15020 (metrics), 15021 (readiness) "
        "and, on loopback, 15000 (admin).",
    )
    parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s\t%(levelname)s\t%(name)s\t%(message)s"
    )
    try:
        config = Config.from_process()
    except SettingsError as error:
        print(f"waypoint: {error}", file=sys.stderr)
        return 2
    prefer_cheap_suites()
    import trio

    from waypoint.app import serve

    try:
        trio.run(serve, config)
    except* OSError as errors:
        print(f"waypoint: {errors.exceptions[0]}", file=sys.stderr)
        return_code = 1
    else:
        return_code = 0
    return return_code


if __name__ == "__main__":
    sys.exit(main())
