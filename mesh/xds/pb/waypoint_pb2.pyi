from mesh.xds.pb import authorization_pb2 as _authorization_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RouteKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTE_KIND_UNSPECIFIED: _ClassVar[RouteKind]
    HTTP_ROUTE: _ClassVar[RouteKind]
    GRPC_ROUTE: _ClassVar[RouteKind]

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_UNSPECIFIED: _ClassVar[Action]
    ALLOW: _ClassVar[Action]
    DENY: _ClassVar[Action]
    AUDIT: _ClassVar[Action]
    CUSTOM: _ClassVar[Action]

class Share(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHARE_UNSPECIFIED: _ClassVar[Share]
    SHARE_CALLER: _ClassVar[Share]
    SHARE_SERVICE: _ClassVar[Share]

class Spread(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPREAD_UNSPECIFIED: _ClassVar[Spread]
    LEAST_LATENCY: _ClassVar[Spread]
    LEAST_REQUEST: _ClassVar[Spread]
    ROUND_ROBIN: _ClassVar[Spread]
    CONSISTENT_HASH: _ClassVar[Spread]

class HashSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HASH_UNSPECIFIED: _ClassVar[HashSource]
    HASH_HEADER: _ClassVar[HashSource]
    HASH_COOKIE: _ClassVar[HashSource]
    HASH_IDENTITY: _ClassVar[HashSource]
    HASH_ADDRESS: _ClassVar[HashSource]
ROUTE_KIND_UNSPECIFIED: RouteKind
HTTP_ROUTE: RouteKind
GRPC_ROUTE: RouteKind
ACTION_UNSPECIFIED: Action
ALLOW: Action
DENY: Action
AUDIT: Action
CUSTOM: Action
SHARE_UNSPECIFIED: Share
SHARE_CALLER: Share
SHARE_SERVICE: Share
SPREAD_UNSPECIFIED: Spread
LEAST_LATENCY: Spread
LEAST_REQUEST: Spread
ROUND_ROBIN: Spread
CONSISTENT_HASH: Spread
HASH_UNSPECIFIED: HashSource
HASH_HEADER: HashSource
HASH_COOKIE: HashSource
HASH_IDENTITY: HashSource
HASH_ADDRESS: HashSource

class Route(_message.Message):
    __slots__ = ("key", "kind", "namespace", "name", "service", "service_namespace", "port", "created", "rules")
    KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    key: str
    kind: RouteKind
    namespace: str
    name: str
    service: str
    service_namespace: str
    port: int
    created: str
    rules: _containers.RepeatedCompositeFieldContainer[RouteRule]
    def __init__(self, key: _Optional[str] = ..., kind: _Optional[_Union[RouteKind, str]] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., service: _Optional[str] = ..., service_namespace: _Optional[str] = ..., port: _Optional[int] = ..., created: _Optional[str] = ..., rules: _Optional[_Iterable[_Union[RouteRule, _Mapping]]] = ...) -> None: ...

class RouteRule(_message.Message):
    __slots__ = ("matches", "filters", "backends", "timeout", "backend_timeout", "name", "broken", "retry")
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    BACKEND_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[RouteMatch]
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    backends: _containers.RepeatedCompositeFieldContainer[Backend]
    timeout: float
    backend_timeout: float
    name: str
    broken: str
    retry: Retry
    def __init__(self, matches: _Optional[_Iterable[_Union[RouteMatch, _Mapping]]] = ..., filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ..., backends: _Optional[_Iterable[_Union[Backend, _Mapping]]] = ..., timeout: _Optional[float] = ..., backend_timeout: _Optional[float] = ..., name: _Optional[str] = ..., broken: _Optional[str] = ..., retry: _Optional[_Union[Retry, _Mapping]] = ...) -> None: ...

class Retry(_message.Message):
    __slots__ = ("attempts", "codes", "backoff")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_FIELD_NUMBER: _ClassVar[int]
    attempts: int
    codes: _containers.RepeatedScalarFieldContainer[int]
    backoff: float
    def __init__(self, attempts: _Optional[int] = ..., codes: _Optional[_Iterable[int]] = ..., backoff: _Optional[float] = ...) -> None: ...

class RouteMatch(_message.Message):
    __slots__ = ("path", "headers", "query", "method")
    PATH_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    path: PathMatch
    headers: _containers.RepeatedCompositeFieldContainer[ValueMatch]
    query: _containers.RepeatedCompositeFieldContainer[ValueMatch]
    method: str
    def __init__(self, path: _Optional[_Union[PathMatch, _Mapping]] = ..., headers: _Optional[_Iterable[_Union[ValueMatch, _Mapping]]] = ..., query: _Optional[_Iterable[_Union[ValueMatch, _Mapping]]] = ..., method: _Optional[str] = ...) -> None: ...

class PathMatch(_message.Message):
    __slots__ = ("exact", "prefix", "regex")
    EXACT_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    exact: str
    prefix: str
    regex: str
    def __init__(self, exact: _Optional[str] = ..., prefix: _Optional[str] = ..., regex: _Optional[str] = ...) -> None: ...

class ValueMatch(_message.Message):
    __slots__ = ("name", "value", "regex")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    regex: bool
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., regex: _Optional[bool] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("request_headers", "response_headers", "redirect", "rewrite", "cors", "mirror")
    REQUEST_HEADERS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_HEADERS_FIELD_NUMBER: _ClassVar[int]
    REDIRECT_FIELD_NUMBER: _ClassVar[int]
    REWRITE_FIELD_NUMBER: _ClassVar[int]
    CORS_FIELD_NUMBER: _ClassVar[int]
    MIRROR_FIELD_NUMBER: _ClassVar[int]
    request_headers: HeaderModifier
    response_headers: HeaderModifier
    redirect: Redirect
    rewrite: Rewrite
    cors: Cors
    mirror: Mirror
    def __init__(self, request_headers: _Optional[_Union[HeaderModifier, _Mapping]] = ..., response_headers: _Optional[_Union[HeaderModifier, _Mapping]] = ..., redirect: _Optional[_Union[Redirect, _Mapping]] = ..., rewrite: _Optional[_Union[Rewrite, _Mapping]] = ..., cors: _Optional[_Union[Cors, _Mapping]] = ..., mirror: _Optional[_Union[Mirror, _Mapping]] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class HeaderModifier(_message.Message):
    __slots__ = ("set", "add", "remove")
    SET_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    set: _containers.RepeatedCompositeFieldContainer[Header]
    add: _containers.RepeatedCompositeFieldContainer[Header]
    remove: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, set: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., add: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., remove: _Optional[_Iterable[str]] = ...) -> None: ...

class PathChange(_message.Message):
    __slots__ = ("value", "prefix")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    value: str
    prefix: bool
    def __init__(self, value: _Optional[str] = ..., prefix: _Optional[bool] = ...) -> None: ...

class Redirect(_message.Message):
    __slots__ = ("scheme", "host", "path", "port", "status")
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    scheme: str
    host: str
    path: PathChange
    port: int
    status: int
    def __init__(self, scheme: _Optional[str] = ..., host: _Optional[str] = ..., path: _Optional[_Union[PathChange, _Mapping]] = ..., port: _Optional[int] = ..., status: _Optional[int] = ...) -> None: ...

class Rewrite(_message.Message):
    __slots__ = ("host", "path")
    HOST_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    host: str
    path: PathChange
    def __init__(self, host: _Optional[str] = ..., path: _Optional[_Union[PathChange, _Mapping]] = ...) -> None: ...

class Cors(_message.Message):
    __slots__ = ("origins", "methods", "headers", "exposed", "credentials", "max_age")
    ORIGINS_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    EXPOSED_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    origins: _containers.RepeatedScalarFieldContainer[str]
    methods: _containers.RepeatedScalarFieldContainer[str]
    headers: _containers.RepeatedScalarFieldContainer[str]
    exposed: _containers.RepeatedScalarFieldContainer[str]
    credentials: bool
    max_age: int
    def __init__(self, origins: _Optional[_Iterable[str]] = ..., methods: _Optional[_Iterable[str]] = ..., headers: _Optional[_Iterable[str]] = ..., exposed: _Optional[_Iterable[str]] = ..., credentials: _Optional[bool] = ..., max_age: _Optional[int] = ...) -> None: ...

class Mirror(_message.Message):
    __slots__ = ("service", "port", "share")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    service: str
    port: int
    share: float
    def __init__(self, service: _Optional[str] = ..., port: _Optional[int] = ..., share: _Optional[float] = ...) -> None: ...

class Backend(_message.Message):
    __slots__ = ("service", "port", "weight", "filters", "broken")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    service: str
    port: int
    weight: int
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    broken: str
    def __init__(self, service: _Optional[str] = ..., port: _Optional[int] = ..., weight: _Optional[int] = ..., filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ..., broken: _Optional[str] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("name", "namespace", "action", "rules", "dry_run", "targets", "authorizer")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    AUTHORIZER_FIELD_NUMBER: _ClassVar[int]
    name: str
    namespace: str
    action: Action
    rules: _containers.RepeatedCompositeFieldContainer[Rule]
    dry_run: bool
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    authorizer: Authorizer
    def __init__(self, name: _Optional[str] = ..., namespace: _Optional[str] = ..., action: _Optional[_Union[Action, str]] = ..., rules: _Optional[_Iterable[_Union[Rule, _Mapping]]] = ..., dry_run: _Optional[bool] = ..., targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ..., authorizer: _Optional[_Union[Authorizer, _Mapping]] = ...) -> None: ...

class Authorizer(_message.Message):
    __slots__ = ("service", "port", "timeout", "fail_open", "status")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    FAIL_OPEN_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    service: str
    port: int
    timeout: float
    fail_open: bool
    status: int
    def __init__(self, service: _Optional[str] = ..., port: _Optional[int] = ..., timeout: _Optional[float] = ..., fail_open: _Optional[bool] = ..., status: _Optional[int] = ...) -> None: ...

class Rule(_message.Message):
    __slots__ = ("clauses",)
    CLAUSES_FIELD_NUMBER: _ClassVar[int]
    clauses: _containers.RepeatedCompositeFieldContainer[Clause]
    def __init__(self, clauses: _Optional[_Iterable[_Union[Clause, _Mapping]]] = ...) -> None: ...

class Clause(_message.Message):
    __slots__ = ("matches",)
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[Match]
    def __init__(self, matches: _Optional[_Iterable[_Union[Match, _Mapping]]] = ...) -> None: ...

class Match(_message.Message):
    __slots__ = ("layer4", "methods", "not_methods", "paths", "not_paths", "hosts", "not_hosts", "headers", "not_headers", "request_principals", "not_request_principals", "claims", "not_claims")
    LAYER4_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    NOT_METHODS_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    NOT_PATHS_FIELD_NUMBER: _ClassVar[int]
    HOSTS_FIELD_NUMBER: _ClassVar[int]
    NOT_HOSTS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    NOT_HEADERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_PRINCIPALS_FIELD_NUMBER: _ClassVar[int]
    NOT_REQUEST_PRINCIPALS_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    NOT_CLAIMS_FIELD_NUMBER: _ClassVar[int]
    layer4: _authorization_pb2.Match
    methods: _containers.RepeatedCompositeFieldContainer[TextMatch]
    not_methods: _containers.RepeatedCompositeFieldContainer[TextMatch]
    paths: _containers.RepeatedCompositeFieldContainer[TextMatch]
    not_paths: _containers.RepeatedCompositeFieldContainer[TextMatch]
    hosts: _containers.RepeatedCompositeFieldContainer[TextMatch]
    not_hosts: _containers.RepeatedCompositeFieldContainer[TextMatch]
    headers: _containers.RepeatedCompositeFieldContainer[HeaderMatch]
    not_headers: _containers.RepeatedCompositeFieldContainer[HeaderMatch]
    request_principals: _containers.RepeatedCompositeFieldContainer[TextMatch]
    not_request_principals: _containers.RepeatedCompositeFieldContainer[TextMatch]
    claims: _containers.RepeatedCompositeFieldContainer[ClaimMatch]
    not_claims: _containers.RepeatedCompositeFieldContainer[ClaimMatch]
    def __init__(self, layer4: _Optional[_Union[_authorization_pb2.Match, _Mapping]] = ..., methods: _Optional[_Iterable[_Union[TextMatch, _Mapping]]] = ..., not_methods: _Optional[_Iterable[_Union[TextMatch, _Mapping]]] = ..., paths: _Optional[_Iterable[_Union[TextMatch, _Mapping]]] = ..., not_paths: _Optional[_Iterable[_Union[TextMatch, _Mapping]]] = ..., hosts: _Optional[_Iterable[_Union[TextMatch, _Mapping]]] = ..., not_hosts: _Optional[_Iterable[_Union[TextMatch, _Mapping]]] = ..., headers: _Optional[_Iterable[_Union[HeaderMatch, _Mapping]]] = ..., not_headers: _Optional[_Iterable[_Union[HeaderMatch, _Mapping]]] = ..., request_principals: _Optional[_Iterable[_Union[TextMatch, _Mapping]]] = ..., not_request_principals: _Optional[_Iterable[_Union[TextMatch, _Mapping]]] = ..., claims: _Optional[_Iterable[_Union[ClaimMatch, _Mapping]]] = ..., not_claims: _Optional[_Iterable[_Union[ClaimMatch, _Mapping]]] = ...) -> None: ...

class TextMatch(_message.Message):
    __slots__ = ("exact", "prefix", "suffix", "presence", "template")
    EXACT_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    SUFFIX_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    exact: str
    prefix: str
    suffix: str
    presence: bool
    template: str
    def __init__(self, exact: _Optional[str] = ..., prefix: _Optional[str] = ..., suffix: _Optional[str] = ..., presence: _Optional[bool] = ..., template: _Optional[str] = ...) -> None: ...

class HeaderMatch(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: TextMatch
    def __init__(self, name: _Optional[str] = ..., value: _Optional[_Union[TextMatch, _Mapping]] = ...) -> None: ...

class ClaimMatch(_message.Message):
    __slots__ = ("path", "value")
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    path: _containers.RepeatedScalarFieldContainer[str]
    value: TextMatch
    def __init__(self, path: _Optional[_Iterable[str]] = ..., value: _Optional[_Union[TextMatch, _Mapping]] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("kind", "namespace", "name")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    kind: str
    namespace: str
    name: str
    def __init__(self, kind: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class TrafficPolicy(_message.Message):
    __slots__ = ("service", "namespace", "name", "rate", "requests", "balancing", "outliers", "faults", "connections", "pending", "retries", "route", "kind")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BALANCING_FIELD_NUMBER: _ClassVar[int]
    OUTLIERS_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    service: str
    namespace: str
    name: str
    rate: Rate
    requests: int
    balancing: LoadBalancing
    outliers: OutlierDetection
    faults: Faults
    connections: int
    pending: int
    retries: int
    route: str
    kind: str
    def __init__(self, service: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., rate: _Optional[_Union[Rate, _Mapping]] = ..., requests: _Optional[int] = ..., balancing: _Optional[_Union[LoadBalancing, _Mapping]] = ..., outliers: _Optional[_Union[OutlierDetection, _Mapping]] = ..., faults: _Optional[_Union[Faults, _Mapping]] = ..., connections: _Optional[int] = ..., pending: _Optional[int] = ..., retries: _Optional[int] = ..., route: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class Rate(_message.Message):
    __slots__ = ("requests", "per", "burst", "share")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    PER_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    requests: int
    per: float
    burst: int
    share: Share
    def __init__(self, requests: _Optional[int] = ..., per: _Optional[float] = ..., burst: _Optional[int] = ..., share: _Optional[_Union[Share, str]] = ...) -> None: ...

class LoadBalancing(_message.Message):
    __slots__ = ("spread", "hash_on", "slow_start")
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    HASH_ON_FIELD_NUMBER: _ClassVar[int]
    SLOW_START_FIELD_NUMBER: _ClassVar[int]
    spread: Spread
    hash_on: HashOn
    slow_start: float
    def __init__(self, spread: _Optional[_Union[Spread, str]] = ..., hash_on: _Optional[_Union[HashOn, _Mapping]] = ..., slow_start: _Optional[float] = ...) -> None: ...

class HashOn(_message.Message):
    __slots__ = ("source", "name", "path", "ttl")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    source: HashSource
    name: str
    path: str
    ttl: float
    def __init__(self, source: _Optional[_Union[HashSource, str]] = ..., name: _Optional[str] = ..., path: _Optional[str] = ..., ttl: _Optional[float] = ...) -> None: ...

class OutlierDetection(_message.Message):
    __slots__ = ("errors", "gateway_errors", "success_percent", "least_requests", "interval", "retry_after", "ejection", "most_percent", "panic_percent")
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_ERRORS_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_PERCENT_FIELD_NUMBER: _ClassVar[int]
    LEAST_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    EJECTION_FIELD_NUMBER: _ClassVar[int]
    MOST_PERCENT_FIELD_NUMBER: _ClassVar[int]
    PANIC_PERCENT_FIELD_NUMBER: _ClassVar[int]
    errors: int
    gateway_errors: int
    success_percent: int
    least_requests: int
    interval: float
    retry_after: bool
    ejection: float
    most_percent: int
    panic_percent: int
    def __init__(self, errors: _Optional[int] = ..., gateway_errors: _Optional[int] = ..., success_percent: _Optional[int] = ..., least_requests: _Optional[int] = ..., interval: _Optional[float] = ..., retry_after: _Optional[bool] = ..., ejection: _Optional[float] = ..., most_percent: _Optional[int] = ..., panic_percent: _Optional[int] = ...) -> None: ...

class Faults(_message.Message):
    __slots__ = ("delay", "abort")
    DELAY_FIELD_NUMBER: _ClassVar[int]
    ABORT_FIELD_NUMBER: _ClassVar[int]
    delay: Delay
    abort: Abort
    def __init__(self, delay: _Optional[_Union[Delay, _Mapping]] = ..., abort: _Optional[_Union[Abort, _Mapping]] = ...) -> None: ...

class Delay(_message.Message):
    __slots__ = ("seconds", "percent")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    percent: float
    def __init__(self, seconds: _Optional[float] = ..., percent: _Optional[float] = ...) -> None: ...

class Abort(_message.Message):
    __slots__ = ("status", "grpc_status", "percent")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    GRPC_STATUS_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    status: int
    grpc_status: int
    percent: float
    def __init__(self, status: _Optional[int] = ..., grpc_status: _Optional[int] = ..., percent: _Optional[float] = ...) -> None: ...
