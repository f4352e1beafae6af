"""What there is besides sandboxes and nodes: templates, environments, ports, quotas, repositories."""

from collections.abc import Iterator, Mapping

from fastapi import APIRouter

from sdp.api import node_views, views
from sdp.api.people import Asking
from sdp.api.ports import Plane, Ports
from sdp.api.problems import missing
from sdp.protocol.report import Repository
from sdp.reconciler.observed import Observed
from sdp.spec import models
from sdp.spec.roles import Person, may
from sdp.spec.tree import Tree


def router(ports: Ports) -> APIRouter:
    """Return the routes about what there is besides sandboxes."""
    routes = APIRouter(tags=["inventory"])
    plane: Plane = ports.plane

    @routes.get("/templates")
    async def list_templates() -> tuple[views.TemplateView, ...]:
        """List the templates, and who uses them."""
        return templates(plane.tree) if plane.tree else ()

    @routes.get("/environments")
    async def list_environments(caller: Asking) -> tuple[views.EnvironmentView, ...]:
        """List the environments: names of variables, files and, by leave, secrets; never values."""
        return _shown(environments(plane.tree) if plane.tree else (), caller.person)

    @routes.get("/ports")
    async def list_ports() -> node_views.PortList:
        """List the ports that somebody has, what is free, and who is in the way."""
        return plane.ports()

    @routes.get("/quotas")
    async def list_quotas() -> node_views.QuotaList:
        """List how much of each quota is taken, and which sandboxes wait, and why."""
        return plane.quotas()

    @routes.get("/repositories")
    async def list_repositories() -> tuple[node_views.RepositoryView, ...]:
        """List the services' repositories, as the agents see them."""
        return repositories(plane.observed)

    @routes.get("/repositories/{name}/branches")
    async def list_branches(name: str) -> node_views.BranchList:
        """List a repository's branches with their tips."""
        seen = [repository for _, repository in _seen(plane.observed, name)]
        if not seen:
            raise missing("repository", name, "GET /api/repositories")
        return branches(name, seen)

    return routes


def templates(tree: Tree) -> tuple[views.TemplateView, ...]:
    """Return the templates of a tree."""
    return tuple(
        views.TemplateView(
            name=name,
            path=file.path,
            used_by=tuple(
                sorted(s.spec.sandbox for s in tree.sandboxes.values() if s.spec.template == name)
            ),
        )
        for name, file in sorted(tree.templates.items())
    )


def environments(tree: Tree) -> tuple[views.EnvironmentView, ...]:
    """Return the environments of a tree, without a value."""
    users: dict[str, set[str]] = {}
    for sandbox in tree.sandboxes.values():
        template = tree.templates.get(sandbox.spec.template or "")
        for body in (sandbox.spec, template.spec if template else None):
            for name in _named(body) if body else ():
                users.setdefault(name, set()).add(sandbox.spec.sandbox)
    return tuple(
        views.EnvironmentView(
            name=name,
            path=file.path,
            variables=tuple(sorted(file.spec.variables)),
            secrets=tuple(sorted(file.spec.secrets)),
            files=tuple(sorted(file.spec.files)),
            used_by=tuple(sorted(users.get(name, ()))),
        )
        for name, file in sorted(tree.environments.items())
    )


def _shown(
    found: tuple[views.EnvironmentView, ...], reader: Person
) -> tuple[views.EnvironmentView, ...]:
    """Return environments as somebody may see them."""
    if may(reader, "read secret names"):
        return found
    hidden = {"secrets": (), "secrets_hidden": True}
    return tuple(each.model_copy(update=hidden) for each in found)


def repositories(observed: Observed) -> tuple[node_views.RepositoryView, ...]:
    """Return all repositories that any node has."""
    names = sorted({name for node in observed.values() for name in node.report.repositories})
    return tuple(_repository(name, dict(_seen(observed, name))) for name in names)


def branches(name: str, seen: list[Repository]) -> node_views.BranchList:
    """Return a repository's branches, as the node that looked last saw them."""
    never = min((each.checked_at for each in seen if each.checked_at), default=None)
    latest = max(seen, key=lambda each: (each.checked_at is not None, each.checked_at or never))
    return node_views.BranchList(
        repository=name,
        checked_at=latest.checked_at,
        branches=tuple(
            node_views.BranchView(name=branch, commit=commit)
            for branch, commit in sorted(latest.branches.items())
        ),
    )


def _named(body: models.Body) -> Iterator[str]:
    targets = [target for target in (body.services or {}).values() if target]
    yield from (name for name in (body.environment, *(t.environment for t in targets)) if name)


def _repository(name: str, seen: Mapping[str, Repository]) -> node_views.RepositoryView:
    return node_views.RepositoryView(
        name=name,
        nodes=tuple(sorted(seen)),
        branches=len(branches(name, list(seen.values())).branches),
        problems={node: each.error for node, each in sorted(seen.items()) if each.error},
    )


def _seen(observed: Observed, name: str) -> Iterator[tuple[str, Repository]]:
    for node, held in sorted(observed.items()):
        if (repository := held.report.repositories.get(name)) is not None:
            yield node, repository
