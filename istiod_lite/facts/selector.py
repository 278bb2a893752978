"""Label selectors, as Kubernetes evaluates them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from istiod_lite.facts.field import Field


@dataclass(frozen=True, slots=True)
class Requirement:
    """One expression: the key's value is In or NotIn the values, or the key Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...]

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy it. A missing key is NotIn anything."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
        return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """Labels and expressions that must all hold; an empty selector selects everything."""

    labels: tuple[tuple[str, str], ...] = ()
    expressions: tuple[Requirement, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.labels) and all(
            one.holds(labels) for one in self.expressions
        )


def read_selector(at: Field) -> Selector:
    """Read a LabelSelector; nothing that cannot be told for sure is ever selected by guess."""
    at.knows("matchLabels", "matchExpressions")
    return Selector(
        tuple(sorted(at["matchLabels"].mapping().items())),
        tuple(_read_requirement(one) for one in at["matchExpressions"].each()),
    )


def _read_requirement(at: Field) -> Requirement:
    at.knows("key", "operator", "values")
    at["key"].required()
    operator = at["operator"].choice(("In", "NotIn", "Exists", "DoesNotExist"), "In")
    values = at["values"].texts()
    if at["operator"].required() and bool(values) != (operator in {"In", "NotIn"}):
        at["values"].fault(f"operator {operator} {'needs' if not values else 'takes no'} values", "mend one of the two")
    return Requirement(at["key"].text(), operator, values)
