"""RequestAuthentications as waypoints enforce them; those without targetRefs nobody enforces."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from istiod_lite.compile.policies import targets_in_force
from istiod_lite.facts import RequestAuthentication
from mesh import authentication

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from istiod_lite.compile.settings import Settings
    from istiod_lite.world import World


def compile_authentications(
    world: World, keys: Mapping[str, str], settings: Settings
) -> Iterator[authentication.RequestAuthentication]:
    """All of them. `keys` are the JWK Sets that were fetched, by their URI.

    A rule whose keys are not known stays, without keys: no token of its issuer is valid then.
    """
    for fact in world.all(RequestAuthentication):
        if fact.targets:
            rules = (replace(one.rule, keys=keys.get(one.uri, "")) if one.uri else one.rule for one in fact.rules)
            targets = targets_in_force(fact.targets, fact.meta.namespace, settings)
            yield authentication.RequestAuthentication(fact.meta.name, fact.meta.namespace, tuple(rules), targets)
