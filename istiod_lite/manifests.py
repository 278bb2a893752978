"""Manifests: YAML and JSON text becomes objects, and every fault of the text becomes a problem.

Kubernetes reads YAML as if it were JSON, so timestamps and base-60 numbers stay text here, and a key that
appears twice in one mapping is a fault instead of a silent last-one-wins.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from istiod_lite.object import CLUSTER_SCOPED, Object, ObjectKey
from istiod_lite.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class _Fault(Exception):
    """The text cannot be read: a message, a mend and the line (from 1)."""

    def __init__(self, message: str, mend: str, line: int) -> None:
        super().__init__(message)
        self.message, self.mend, self.line = message, mend, line


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes understands it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build one mapping; refuse a key that is given twice, and make every key a text, as JSON would have it."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise _Fault(f"{key.value!r} is given twice in one mapping", "keep one of them",
                                 key.start_mark.line + 1)  # fmt: skip
                seen.add(key.value)
        return {_json_key(key): value for key, value in super().construct_mapping(node, deep).items()}


def _json_key(key: object) -> object:
    return json.dumps(key) if isinstance(key, bool | int | float) else key


def _kubernetes_scalars() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """The implicit types of plain scalars: no timestamps, no base-60 numbers."""
    integer = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$")
    kept: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
        kept[first] = [
            (tag, integer if tag.endswith(":int") else pattern)
            for tag, pattern in resolvers
            if not tag.endswith(":timestamp") and not (tag.endswith(":float") and first in "0123456789")
        ]
        if first in "0123456789":
            kept[first].append(("tag:yaml.org,2002:float", re.compile(r"[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?$")))
    return kept


_Loader.yaml_implicit_resolvers = _kubernetes_scalars()


def load(files: Mapping[str, str]) -> tuple[list[Object], list[Problem]]:
    """Read every document of every file (name to text), in order.

    A file that is not YAML yields one problem and the documents before the fault. Of two objects with the same
    key the first is kept and the second reported.
    """
    objects: dict[ObjectKey, Object] = {}
    problems: list[Problem] = []
    for source in sorted(files):
        for found in _read(source, files[source]):
            if isinstance(found, Problem):
                problems.append(found)
            elif (first := objects.get(found.key)) is not None:
                where = f"{first.source}:{first.line}" if first.line else first.source
                problems.append(Problem(source, str(found.key), "metadata.name",
                                        f"the same object is already defined in {where}",
                                        "keep one of the two", line=found.line))  # fmt: skip
            else:
                objects[found.key] = found
    return list(objects.values()), problems


def locate(problems: Iterable[Problem], files: Mapping[str, str]) -> list[Problem]:
    """Find the line of each problem's field in the text it came from; problems without one are left as they are.

    This parses the text again, so it is for showing problems to people, not for every reading.
    """
    return [_located(problem, files.get(problem.source, "")) for problem in problems]


def _read(source: str, text: str) -> Iterator[Object | Problem]:
    try:
        for line, body in _documents(source, text):
            if body is not None:
                yield from _objects(source, line, body)
    except _Fault as fault:
        yield Problem(source, "", "", fault.message, fault.mend, line=fault.line)


def _documents(source: str, text: str) -> Iterator[tuple[int, Any]]:
    """Each document with the line it begins on."""
    if source.endswith(".json"):
        yield from _json_documents(text)
        return
    loader = _Loader(text)
    try:
        while loader.check_node() and (node := loader.get_node()) is not None:
            yield node.start_mark.line + 1, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _Fault(f"this is not YAML: {error.problem or error.context}", "mend the syntax", line) from error
    except yaml.YAMLError as error:
        raise _Fault(f"this is not YAML: {error}", "mend the syntax", 0) from error
    except (ValueError, RecursionError) as error:
        raise _Fault(f"this cannot be read: {error}", "write it more plainly", 0) from error
    finally:
        loader.dispose()


def _json_documents(text: str) -> Iterator[tuple[int, Any]]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            twice = next(key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1)
            raise _Fault(f"{twice!r} is given twice in one object", "keep one of them", 0)
        return mapping

    decoder, at = json.JSONDecoder(object_pairs_hook=once), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        line = text.count("\n", 0, at) + 1
        try:
            body, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise _Fault(f"this is not JSON: {error.msg}", "mend the syntax", error.lineno) from error
        yield line, body


def _objects(source: str, line: int, body: Any) -> Iterator[Object | Problem]:
    """The object of one document, or those of a List."""
    if not isinstance(body, dict):
        yield Problem(source, "", "", f"a manifest is a mapping, this is {kind_of(body)}",
                      "begin with apiVersion, kind and metadata", line=line)  # fmt: skip
        return
    kind, items = body.get("kind"), body.get("items")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(items, list):
        typed = {"apiVersion": body.get("apiVersion"), "kind": kind.removesuffix("List")} if kind != "List" else {}
        for item in items:
            yield from _objects(source, line, {**typed, **item} if isinstance(item, dict) else item)
        return
    yield _object(source, line, body)


def _object(source: str, line: int, body: dict[str, Any]) -> Object | Problem:
    """Find the key of one object, or tell why it has none."""

    def fault(field: str, message: str, mend: str) -> Problem:
        return Problem(source, str(kind or ""), field, message, mend, line=line)

    version, kind, metadata = body.get("apiVersion"), body.get("kind"), body.get("metadata")
    if not isinstance(kind, str) or not kind:
        return fault("kind", "the kind is missing", "say what this is, such as kind: Service")
    if not isinstance(version, str) or not version:
        return fault("apiVersion", "the apiVersion is missing", "say which API this is, such as apiVersion: v1")
    if not isinstance(metadata, dict):
        return fault("metadata", "metadata is missing", "give the object a metadata.name")
    name, namespace = metadata.get("name"), metadata.get("namespace") or "default"
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 253:
        given = "is missing" if name is None else f"{name!r} is not a name"
        return fault("metadata.name", f"the name {given}",
                     "use lower-case letters, digits, '-' and '.', at most 253")  # fmt: skip
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace) or len(namespace) > 63:
        return fault("metadata.namespace", f"{namespace!r} is not a namespace",
                     "use lower-case letters, digits and '-', at most 63")  # fmt: skip
    group = version.partition("/")[0] if "/" in version else ""
    key = ObjectKey(group, kind, "" if kind in CLUSTER_SCOPED else namespace, name)
    return Object(key, source, line, body)


def kind_of(value: object) -> str:
    """How a person would call a YAML value's type."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the boolean {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value!r}"
        case list():
            return "a list"
    return "a mapping"


def _located(problem: Problem, text: str) -> Problem:
    if problem.source.endswith(".json") or not text or not problem.field or not problem.line:
        return problem
    try:
        nodes: list[yaml.Node] = list(yaml.compose_all(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError:
        return problem
    node = next((one for one in nodes if one.start_mark.line + 1 == problem.line), None)
    line = problem.line
    for name, index in _STEP.findall(problem.field):
        node = _step(node, name, index)
        if node is None:
            break
        line = node.start_mark.line + 1
    return problem.at_line(line)


def _step(node: yaml.Node | None, name: str, index: str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
        found: yaml.Node = node.value[int(index)]
        return found
    if isinstance(node, yaml.MappingNode) and name:
        return next((value for key, value in node.value if key.value == name), None)
    return None
