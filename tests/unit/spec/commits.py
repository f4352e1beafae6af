"""Builders of commits for the specs' tests: a platform that works, and files around it."""

import hashlib
from collections.abc import Mapping

from sdp.spec.load import load
from sdp.spec.tree import Blob, Tree

PLATFORM = """\
platform: test
nodes:
  - {id: micro, ip_address: 10.0.0.1, type: MICRO}
  - {id: gate, ip_address: 10.0.0.2, type: GATEWAY}
services:
  account: {repository: account, node: micro, image: "alpine:3.20"}
  payment: {repository: payment, node: micro, image: "alpine:3.20"}
gateway: {repository: gw, node: gate, image: "php:8.3", mount: /srv, config: config.php}
defaults: {gateway: {branch: develop}}
"""


def blob(path: str, text: str | bytes) -> Blob:
    content = text if isinstance(text, bytes) else text.encode()
    return Blob(path, hashlib.sha1(content, usedforsecurity=False).hexdigest(), content)


def blobs(files: Mapping[str, str | bytes]) -> list[Blob]:
    return [blob(path, text) for path, text in ({"platform.yaml": PLATFORM} | dict(files)).items()]


def commit(files: Mapping[str, str | bytes]) -> Tree:
    return load(blobs(files))


def said(text: str | bytes, path: str = "sandboxes/x.yaml") -> list[str]:
    """Return the problems of a commit with this file beside a good platform, as lines."""
    return [str(problem) for problem in commit({path: text}).problems]
