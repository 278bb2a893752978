"""Why something was not done. An expected refusal is a value for log, metric and caller; never an exception."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self


class Reason(Enum):
    """One cause of a refusal: its name, the status a tunnel's server answers, and the response flag in metrics."""

    status: int
    flag: str

    def __new__(cls, name: str, status: int, flag: str) -> Self:
        """Keep the row of the table below on the member itself."""
        member = object.__new__(cls)
        member._value_ = name
        member.status = status
        member.flag = flag
        return member

    BAD_REQUEST = "bad-request", 400, "-"
    ADDRESS_MISMATCH = "address-mismatch", 400, "-"
    POLICY_DENIED = "policy-denied", 401, "DENY"
    UNAUTHENTICATED = "unauthenticated", 401, "UAEX"
    AUTHORIZER_FAILED = "authorizer-failed", 403, "UAEX"
    UNKNOWN_WORKLOAD = "unknown-workload", 503, "CONNECT"
    UNKNOWN_DESTINATION = "unknown-destination", 503, "CONNECT"
    UNKNOWN_PORT = "unknown-port", 503, "CONNECT"
    SELF_CALL = "self-call", 503, "CONNECT"
    NO_HEALTHY_ENDPOINT = "no-healthy-endpoint", 503, "CONNECT"
    NO_HEALTHY_WAYPOINT = "no-healthy-waypoint", 503, "CONNECT"
    UNREACHABLE_NETWORK = "unreachable-network", 503, "CONNECT"
    CONNECT_FAILED = "connect-failed", 503, "CONNECT"
    CONNECT_TIMEOUT = "connect-timeout", 503, "NETWORK_POLICY"
    TLS_FAILED = "tls-failed", 503, "TLS_FAILURE"
    WRONG_TRUST_DOMAIN = "wrong-trust-domain", 401, "TLS_FAILURE"
    WRONG_IDENTITY = "wrong-identity", 401, "IDENTITY_ERROR"
    NO_CERTIFICATE = "no-certificate", 503, "IDENTITY_ERROR"
    CERTIFICATE_EXPIRED = "certificate-expired", 503, "IDENTITY_ERROR"
    CERTIFICATE_REVOKED = "certificate-revoked", 401, "CERT_REVOKED"
    HANDSHAKE_TIMEOUT = "handshake-timeout", 503, "TLS_FAILURE"
    HTTP2_FAILED = "http2-failed", 503, "H2_HANDSHAKE_FAILURE"
    PEER_REFUSED = "peer-refused", 503, "CONNECT"
    TUNNEL_LOST = "tunnel-lost", 503, "CONNECT"
    OVER_BUDGET = "over-budget", 503, "CONNECT"
    DRAINING = "draining", 503, "CONNECT"
    NO_ROUTE = "no-route", 404, "NR"
    BROKEN_ROUTE = "broken-route", 500, "NC"
    OVER_LIMIT = "over-limit", 503, "UO"
    OVER_CONNECTIONS = "over-connections", 503, "UO"
    OVER_PENDING = "over-pending", 503, "UO"
    OVER_RETRIES = "over-retries", 503, "URX"
    RATE_LIMITED = "rate-limited", 429, "RL"
    FAULT_INJECTED = "fault-injected", 503, "FI"
    REQUEST_TIMEOUT = "request-timeout", 504, "UT"
    BACKEND_FAILED = "backend-failed", 503, "UC"
    CALLER_GONE = "caller-gone", 499, "DC"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was refused and why, in words for a person: `detail` names the object and, where there is one, the mend."""

    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"
