from mesh.xds.pb import waypoint_pb2 as _waypoint_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Place(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLACE_UNSPECIFIED: _ClassVar[Place]
    HEADER: _ClassVar[Place]
    PARAMETER: _ClassVar[Place]
    COOKIE: _ClassVar[Place]
PLACE_UNSPECIFIED: Place
HEADER: Place
PARAMETER: Place
COOKIE: Place

class RequestAuthentication(_message.Message):
    __slots__ = ("name", "namespace", "rules", "targets")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    name: str
    namespace: str
    rules: _containers.RepeatedCompositeFieldContainer[JwtRule]
    targets: _containers.RepeatedCompositeFieldContainer[_waypoint_pb2.Target]
    def __init__(self, name: _Optional[str] = ..., namespace: _Optional[str] = ..., rules: _Optional[_Iterable[_Union[JwtRule, _Mapping]]] = ..., targets: _Optional[_Iterable[_Union[_waypoint_pb2.Target, _Mapping]]] = ...) -> None: ...

class JwtRule(_message.Message):
    __slots__ = ("issuer", "keys", "audiences", "sources", "forward", "payload_header", "claim_headers", "spaced")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    AUDIENCES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_HEADER_FIELD_NUMBER: _ClassVar[int]
    CLAIM_HEADERS_FIELD_NUMBER: _ClassVar[int]
    SPACED_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    keys: str
    audiences: _containers.RepeatedScalarFieldContainer[str]
    sources: _containers.RepeatedCompositeFieldContainer[TokenSource]
    forward: bool
    payload_header: str
    claim_headers: _containers.RepeatedCompositeFieldContainer[ClaimHeader]
    spaced: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, issuer: _Optional[str] = ..., keys: _Optional[str] = ..., audiences: _Optional[_Iterable[str]] = ..., sources: _Optional[_Iterable[_Union[TokenSource, _Mapping]]] = ..., forward: _Optional[bool] = ..., payload_header: _Optional[str] = ..., claim_headers: _Optional[_Iterable[_Union[ClaimHeader, _Mapping]]] = ..., spaced: _Optional[_Iterable[str]] = ...) -> None: ...

class TokenSource(_message.Message):
    __slots__ = ("place", "name", "prefix")
    PLACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    place: Place
    name: str
    prefix: str
    def __init__(self, place: _Optional[_Union[Place, str]] = ..., name: _Optional[str] = ..., prefix: _Optional[str] = ...) -> None: ...

class ClaimHeader(_message.Message):
    __slots__ = ("header", "claim")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    header: str
    claim: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, header: _Optional[str] = ..., claim: _Optional[_Iterable[str]] = ...) -> None: ...
