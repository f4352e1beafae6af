"""A small config repo as people work with it: served bare, and cloned. Real git."""

from pathlib import Path

from tests.unit.agent.repositories import git

PLATFORM = """
platform: acme
nodes:
  - {id: micro-92, ip_address: 172.18.136.92, type: MICRO}
  - {id: gateway-91, ip_address: 172.18.136.91, type: GATEWAY}
services:
  account: {repository: account, node: micro-92, image: "alpine:3.20"}
  payment: {repository: payment, node: micro-92, image: "alpine:3.20"}
gateway:
  {repository: gateway, node: gateway-91, image: "php:8", mount: /var/www, config: config.php}
defaults: {gateway: {branch: develop}}
"""
SANDBOX = """\
sandbox: QA-ONE
owner: achmad   # asks for it
gateway: {port: 8080}
services:
  account: {branch: feature/a, port: 9001}   # the fix
"""
TEMPLATE = "template: BASE\nservices:\n  payment: {branch: develop}\n"
ENVIRONMENT = "environment: qa\nvariables: {MODE: qa}\n"
FILES = {
    "platform.yaml": PLATFORM,
    "sandboxes/one.yaml": SANDBOX,
    "templates/base.yaml": TEMPLATE,
    "environments/qa.yaml": ENVIRONMENT,
}


def serve(folder: Path) -> Path:
    """Make the repository that is served, with one commit; return it."""
    git(folder, "init", "-q", "--bare", "-b", "main", "config.git")
    commit(cloned(folder / "config.git", "first"), FILES)
    return folder / "config.git"


def cloned(bare: Path, name: str = "clone") -> Path:
    """Make a person's clone beside it, and return that."""
    git(bare.parent, "clone", "-q", bare.name, name)
    clone = bare.parent / name
    git(clone, "config", "user.name", "Sari")
    git(clone, "config", "user.email", "sari@company.example")
    return clone


def commit(clone: Path, files: dict[str, str], *, push: bool = True) -> str:
    """Commit what somebody wrote, and return the commit."""
    for path, text in files.items():
        (clone / path).parent.mkdir(exist_ok=True)
        (clone / path).write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "-qm", f"Change {', '.join(files)}")
    if push:
        git(clone, "push", "-q", "origin", "HEAD:main")
    return git(clone, "rev-parse", "HEAD")


def others(bare: Path, path: str, text: str) -> str:
    """Let somebody else commit on top of what there is."""
    elsewhere = bare.parent / "first"
    git(elsewhere, "pull", "-q", "origin", "main")
    return commit(elsewhere, {path: text})


def head(repo: Path) -> str:
    """Return the commit that main is at."""
    return git(repo, "rev-parse", "main")
