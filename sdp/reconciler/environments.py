"""What a service finds in its environment: its environment files, merged; the later one wins.

What is encrypted stays so: it goes to the service's node as it stands in git, with the names that
are taken from it. Pure.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping

from sdp.protocol.actions import SealedFile
from sdp.sops.form import is_encrypted
from sdp.spec.models import Environment
from sdp.spec.names import OURS
from sdp.spec.tree import File


@dataclasses.dataclass(frozen=True, slots=True)
class Injected:
    """Plain variables, plain files (path → content), and the files that only the node can read."""

    variables: Mapping[str, str]
    files: Mapping[str, str]
    sealed: tuple[SealedFile, ...]


def sealed(file: File[Environment]) -> SealedFile | None:
    """Return an environment file as its node can open it; None: nothing in it is encrypted.

    The text is JSON, of the whole file in its order: the MAC may be one of all values.
    """
    spec = file.spec
    variables = tuple(name for name, value in spec.secrets.items() if is_encrypted(value))
    files = tuple(path for path, content in spec.files.items() if is_encrypted(content))
    if not variables and not files:
        return None
    text = json.dumps(file.document.value, separators=(",", ":"))
    return SealedFile(
        environment=spec.environment,
        path=file.path,
        digest=hashlib.sha256(text.encode()).hexdigest()[:32],
        text=text,
        variables=variables,
        files=files,
    )


def injected(
    layers: Iterable[File[Environment]], known: Mapping[str, SealedFile | None]
) -> Injected:
    """Return what environment files give a service.

    Args:
        layers: the sandbox's, then the service's own.
        known: environment's name → its sealed file.
    """
    variables: dict[str, str] = {}
    files: dict[str, str] = {}
    kept: list[SealedFile] = []
    for file in layers:
        spec = file.spec
        said = {**spec.variables, **spec.secrets}
        kept = [_without(each, said.keys() | spec.files.keys()) for each in kept]
        for names, values in ((variables, said), (files, spec.files)):
            for name, value in values.items():
                names.pop(name, None)
                if not is_encrypted(value):
                    names[name] = value
        if (own := known.get(spec.environment)) is not None:
            kept.append(_without(own, OURS))
    return Injected(
        {name: variables[name] for name in sorted(variables)},
        {path: files[path] for path in sorted(files)},
        tuple(each for each in kept if each.variables or each.files),
    )


def _without(file: SealedFile, names: Iterable[str]) -> SealedFile:
    """Return a file of which fewer names are taken."""
    dropped = frozenset(names)
    return file.model_copy(
        update={
            "variables": tuple(each for each in file.variables if each not in dropped),
            "files": tuple(each for each in file.files if each not in dropped),
        }
    )
