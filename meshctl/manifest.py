"""Objects as people write them: YAML or JSON documents with apiVersion, kind and metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from meshctl.failure import Failure
from meshctl.kind import BY_NAME, KINDS, Kind

Body = dict[str, Any]
"""One object as plain data. Whoever holds one that came from the store copies it before changing it."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which object: kind, namespace ("" for kinds without one) and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.kind} {self.name}{where}"


def key_of(body: Mapping[str, Any]) -> Key:
    """Return which object a body is."""
    metadata = body["metadata"]
    return Key(body["kind"], metadata.get("namespace", ""), metadata["name"])


def documents(text: str, source: str, default_namespace: str = "default") -> list[Body]:
    """Read the objects of a YAML or JSON text; a `List` is taken apart.

    Raises Failure, naming source and document, on a text that is no YAML or a document that is no object of a
    known kind.
    """
    try:
        found = list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        raise Failure(f"{source} is not YAML: {' '.join(str(error).split())}") from None
    return [
        _object(part, f"{source}, document {number}", default_namespace)
        for number, document in enumerate(found, 1)
        if document is not None
        for part in _parts(document)
    ]


def dump(body: Any) -> str:
    """Write an object as YAML, in the order it was given."""
    return str(yaml.dump(body, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=110))


def pretty_json(body: Any) -> str:
    """Write an object as JSON."""
    return json.dumps(body, indent=2) + "\n"


class _Loader(yaml.CSafeLoader):
    """Leaves dates as the text they were written as, as the API server does."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.CSafeDumper):
    """Writes shared parts out in full, and texts of several lines as blocks."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def _parts(document: Any) -> Iterator[Any]:
    if isinstance(document, dict) and document.get("kind") == "List":
        yield from document.get("items") or ()
    else:
        yield document


def _object(document: Any, source: str, default_namespace: str) -> Body:
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise Failure(f"{source} is not an object: it needs apiVersion, kind and metadata.")
    kind = _kind(document, source)
    metadata = dict(document["metadata"])
    if not isinstance(metadata.get("name"), str):
        raise Failure(f"{source}: {kind.name} needs metadata.name, a text.")
    if kind.namespaced:
        metadata["namespace"] = metadata.get("namespace") or default_namespace
    else:
        metadata.pop("namespace", None)
    return {**document, "metadata": metadata}


def _kind(document: Body, source: str) -> Kind:
    name, version = document.get("kind"), str(document.get("apiVersion", ""))
    kind = BY_NAME.get(str(name))
    if kind is None:
        known = ", ".join(known.name for known in KINDS)
        raise Failure(f"{source}: a lab does not know the kind {name}.", f"Known are: {known}.")
    if version.rpartition("/")[0] != kind.api.rpartition("/")[0]:
        raise Failure(f"{source}: {name} has apiVersion '{version}'.", f"Write apiVersion: {kind.api}")
    return kind
