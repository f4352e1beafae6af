"""Hashes that both sides must agree on: canonical, over exactly what execution uses."""

import hashlib
import json

from sdp.protocol.actions import GatewayRecipe, GoRecipe


def digest(value: object) -> str:
    """Return 12 hexadecimal digits that change with the JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def recipe_key(recipe: GoRecipe | GatewayRecipe) -> str:
    """Return the name of a recipe within a commit's releases; the same recipe builds once.

    A gateway's branch only says where its defaults are noted, so it is not part of the key.
    """
    exclude = {"branch"} if isinstance(recipe, GatewayRecipe) else set[str]()
    return f"{recipe.kind}-{digest(recipe.model_dump(mode='json', exclude=exclude))}"


def release_key(repository: str, commit: str, recipe: GoRecipe | GatewayRecipe) -> str:
    """Return the key of a release in a node's report."""
    return f"{repository}/{commit}/{recipe_key(recipe)}"
