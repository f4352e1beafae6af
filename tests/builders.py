"""Builders with good defaults: a platform, sandboxes, and a world in which plans take effect."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping

from sdp.protocol.actions import (
    Action,
    Admit,
    Build,
    ContainerSpec,
    CopyGateway,
    EnsureNetwork,
    Fetch,
    Gate,
    Remove,
    RemoveCopy,
    RemoveNetwork,
    RemoveRelease,
    Rename,
    Restart,
    Resume,
    Route,
    SealedFile,
    SetLimits,
    StartGateway,
    StartService,
    Stop,
    Unseal,
)
from sdp.protocol.identity import recipe_key, release_key
from sdp.protocol.report import (
    ConfigProblem,
    Container,
    Copy,
    Listener,
    Network,
    NodeReport,
    Release,
    Repository,
    Sealed,
)
from sdp.reconciler import cancel, restart
from sdp.reconciler import observed as observation
from sdp.reconciler.deployments import STEPS
from sdp.reconciler.desired import Desired, desire
from sdp.reconciler.diff import diff
from sdp.reconciler.draft import Restarts
from sdp.reconciler.drift import INTENT
from sdp.reconciler.guard import kept_leases
from sdp.reconciler.history import History
from sdp.reconciler.observed import Observed
from sdp.reconciler.plan import Plan, Planned, World, plan_all, world
from sdp.reconciler.ports import Leases, rebuild
from sdp.spec.load import load
from sdp.spec.tree import Blob

NOW = datetime.datetime(2026, 11, 23, 9, 0, tzinfo=datetime.UTC)
MICRO, GATEWAY = "micro-92", "gateway-186"
DEFAULTS = {f"{name}_url": f"http://ocp/{name}" for name in ("account", "payment", "user")}

PLATFORM = """
platform: test
nodes:
  - {id: micro-92, ip_address: 10.0.0.92, type: MICRO}
  - {id: gateway-186, ip_address: 10.0.0.186, type: GATEWAY}
services:
  account: {repository: account, node: micro-92, image: runtime}
  payment: {repository: payment, node: micro-92, image: runtime}
  user: {repository: user, node: micro-92, image: runtime}
gateway:
  {repository: api-gateway, node: gateway-186, image: gateway, mount: /var/www, config: config.php}
"""

BRANCHES = ("develop", "feature/a", "feature/b")


def sandbox(
    name: str, services: str = "", gateway: str = "branch: develop", more: str = ""
) -> str:
    """Return a sandbox's YAML; ``services`` and ``gateway`` are insides of flow mappings."""
    return f"sandbox: {name}\ngateway: {{{gateway}}}\nservices: {{{services}}}\n{more}\n"


def desired(
    *sandboxes: str, platform: str = PLATFORM, files: Mapping[str, str] | None = None
) -> Desired:
    """Return what these sandbox files, in this order, say should exist; ``files``: others."""
    files = {"platform.yaml": platform, **(files or {})}
    files.update({f"sandboxes/{i}.yaml": text for i, text in enumerate(sandboxes)})
    tree = load(Blob(path, text, text.encode()) for path, text in files.items())
    errors = [str(each) for each in tree.problems if each.severity == "error"]
    assert not errors, errors
    return desire("c0ffee" + "0" * 34, tree)


def commit(repository: str, branch: str) -> str:
    """Return the commit at a branch's tip."""
    return f"{abs(hash_of(repository + branch)):040x}"[:40]


def hash_of(text: str) -> int:
    """Return a number that is the same in every run."""
    return int.from_bytes(text.encode()[-16:], "big")


def nodes() -> Observed:
    """Return two nodes that have reported repositories and nothing else."""
    return observation.report(
        observation.report({}, MICRO, _empty("account", "payment", "user"), 1, NOW),
        GATEWAY,
        _empty("api-gateway"),
        1,
        NOW,
    )


def _empty(*repositories: str) -> NodeReport:
    return NodeReport(
        repositories={
            name: Repository(
                branches={branch: commit(name, branch) for branch in BRANCHES},
                present=(),
                error="",
                checked_at=NOW,
            )
            for name in repositories
        }
    )


def container(spec: ContainerSpec, identity: str) -> Container:
    """Return the container that a spec becomes, running, not yet healthy."""
    return Container(
        id=identity,
        name=spec.name,
        sandbox=spec.sandbox,
        service=spec.service,
        commit=spec.commit,
        branch=spec.branch,
        hash=spec.hash,
        peers=spec.peers,
        generation=spec.generation,
        deployment=spec.deployment,
        image=spec.image,
        state="running",
        exit_code=0,
        restarts=0,
        host_port=spec.host_port,
        admitted=spec.service == "gateway",
        limits=spec.limits,
        health="starting",
        reason="",
        started_at=NOW,
    )


@dataclasses.dataclass
class Simulation:
    """Nodes in which every action that is planned and ready takes effect."""

    desired: Desired
    observed: Observed = dataclasses.field(default_factory=nodes)
    history: History = dataclasses.field(default_factory=History)
    leases: Leases = dataclasses.field(default_factory=dict)
    started: int = 0
    restarted: int = 1
    restarts: Restarts = dataclasses.field(default_factory=dict)
    opens: Callable[[SealedFile], Sealed] = lambda file: Sealed(
        fingerprints=dict.fromkeys((*file.variables, *file.files), "same")
    )
    problems: tuple[ConfigProblem, ...] = ()
    healing: frozenset[str] = frozenset()

    def world(self) -> World:
        """Return the world as of now."""
        made = world(self.desired, self.observed, self.history, self.leases, NOW)
        restarts = restart.pending(self.restarts, self.observed)
        return dataclasses.replace(made, healing=self.healing, restarts=restarts)

    def plans(self) -> dict[str, Plan]:
        """Return the plans as of now."""
        return plan_all(self.world())

    def kinds(self) -> list[str]:
        """Return what is planned, in order: service and action."""
        return [
            f"{each.service or '-'} {each.action.kind}"
            for plan in self.plans().values()
            for each in plan.actions
        ]

    def reasons(self) -> list[str]:
        """Return the reasons of all holds."""
        return [hold.reason for plan in self.plans().values() for hold in plan.holds]

    def step(self) -> list[Planned]:
        """Let all that is ready take effect; return it."""
        plans = self.plans()
        planned = [lease for plan in plans.values() for lease in plan.leases]
        known = rebuild(self.leases, self.observed)
        self.leases = kept_leases(known, planned, self.desired, self.observed)
        keys = {each.key for plan in plans.values() for each in plan.actions}
        ready = [
            each
            for plan in plans.values()
            for each in plan.actions
            if not keys.intersection(each.after) and not self._held(each)
        ]
        for each in ready:
            self.take_effect(each.node, each.action)
        return ready

    def _held(self, planned: Planned) -> bool:
        tried = planned.version or planned.action.kind
        failure = self.history.failure(planned.sandbox, planned.service, tried)
        return failure is not None and failure.holds(NOW)

    def cancel(self, sandbox: str) -> None:
        """Hold what is being brought about of a sandbox, as a person's word does."""
        plans, scope = self.plans(), cancel.Scope(sandbox, "")
        planned = (each for plan in plans.values() for each in plan.actions)
        steps = (each for each in planned if each.action.kind in STEPS)
        wanted = {(each.sandbox, each.service): each.version for each in steps}
        made = cancel.cancel(scope, plans, (), wanted, self.history)
        held = {
            (each.sandbox, each.service, each.version): cancel.failure(each, NOW)
            for each in made.attempts
        }
        failures = {**self.history.failures, **held}
        self.history = dataclasses.replace(self.history, failures=failures)

    def converge(self, limit: int = 40) -> None:
        """Step until nothing is planned.

        Raises:
            AssertionError: there is still something to do after so many steps.
        """
        for _ in range(limit):
            before = self.leases
            if not self.step() and self.leases == before:
                return
        raise AssertionError(f"does not converge: {self.kinds()}")

    def remember(self) -> None:
        """Take what stands now for what converged last, as the loop does."""
        applied: dict[tuple[str, str], str] = {}
        for sandbox in self.desired.sandboxes.values():
            difference = diff(sandbox, self.observed)
            for service in (difference.gateway, *difference.services):
                if service.current is not None:
                    applied[sandbox.name, service.service] = service.current.hash
            applied[sandbox.name, INTENT] = sandbox.intent_digest
        self.history = dataclasses.replace(self.history, applied=applied)

    def report(self, node: str, report: NodeReport) -> None:
        """Let a node report something else."""
        self.observed = observation.report(self.observed, node, report, 1, NOW)

    def take_effect(self, node: str, action: Action) -> None:
        """Change what a node reports as the action would."""
        report = self.observed[node].report
        self.observed = observation.report(
            self.observed, node, self._after(report, action), 1, NOW
        )

    def edit(self, node: str, identity: str, /, **changes: object) -> None:
        """Change a container behind the planner's back, found by name."""
        report = self.observed[node].report
        found = self.find(report, identity).model_copy(update=changes)
        self._replace(node, {**report.containers, found.id: found})

    def listen(self, node: str, port: int, owner: str) -> None:
        """Let a stranger have a port of a node, or with an owner of "" nobody."""
        report = self.observed[node].report
        rest = {k: v for k, v in report.listeners.items() if k != str(port)}
        told = {**rest, str(port): Listener(owner=owner)} if owner else rest
        report = report.model_copy(update={"listeners": told})
        self.observed = observation.report(self.observed, node, report, 1, NOW)

    def remove(self, node: str, name: str) -> None:
        """Remove a container behind the planner's back."""
        report = self.observed[node].report
        gone = self.find(report, name).id
        self._replace(node, {k: v for k, v in report.containers.items() if k != gone})

    def _replace(self, node: str, containers: dict[str, Container]) -> None:
        report = self.observed[node].report.model_copy(update={"containers": containers})
        self.observed = observation.report(self.observed, node, report, 1, NOW)

    def containers(self) -> dict[str, Container]:
        """Return all containers by name."""
        return {
            each.name: each
            for node in self.observed.values()
            for each in node.report.containers.values()
        }

    def routes(self, name: str) -> dict[str, str]:
        """Return the routes of a sandbox's newest copy."""
        copies = observation.held(self.observed, GATEWAY, name).copies
        return dict(copies[-1].routes)

    @staticmethod
    def find(report: NodeReport, name: str) -> Container:
        """Return a container by name or id."""
        return next(c for c in report.containers.values() if name in {c.name, c.id})

    def _after(self, report: NodeReport, action: Action) -> NodeReport:  # noqa: C901, PLR0911, PLR0912, PLR0915
        match action:
            case Unseal(file=file):
                return _with(report, "sealed", file.digest, self.opens(file))
            case EnsureNetwork():
                made = Network(name=action.name, sandbox=action.sandbox)
                return _with(report, "networks", action.name, made)
            case Fetch():
                repository = report.repositories[action.repository]
                present = (*repository.present, action.commit)
                fetched = repository.model_copy(update={"present": present})
                return _with(report, "repositories", action.repository, fetched)
            case Build():
                key = release_key(action.repository, action.commit, action.recipe)
                release = Release(
                    repository=action.repository,
                    commit=action.commit,
                    recipe=recipe_key(action.recipe),
                    defaults=DEFAULTS if action.recipe.kind == "gateway" else {},
                    problems=self.problems,
                )
                return _with(report, "releases", key, release)
            case CopyGateway():
                key = release_key(action.repository, action.commit, action.recipe)
                assert key in report.releases, "there is nothing to copy"
                copy = Copy(
                    sandbox=action.sandbox,
                    commit=action.commit,
                    routes={**DEFAULTS, **action.routes},
                    defaults=DEFAULTS,
                    edited=False,
                    problems=self.problems,
                    verified_at=NOW,
                )
                return _with(report, "copies", f"{action.sandbox}/{action.commit}", copy)
            case StartService() | StartGateway():
                self.started += 1
                if isinstance(action, StartService):
                    commit = action.container.commit
                    key = release_key(action.repository, commit, action.recipe)
                    assert key in report.releases, "there is nothing to mount"
                names = {each.name for each in report.containers.values()}
                assert action.container.name not in names, "the name is taken"
                identity = f"id{self.started:04}"
                return _with(report, "containers", identity, container(action.container, identity))
            case Resume():
                return self._changed(
                    report, action.container, state="running", health="starting", restarts=0
                )
            case Restart():
                again = NOW + datetime.timedelta(seconds=self.restarted)
                self.restarted += 1
                changes = {"state": "running", "health": "starting", "started_at": again}
                return self._changed(report, action.container, **changes)
            case Gate():
                return self._changed(report, action.container, health="healthy")
            case Admit():
                assert self.find(report, action.container).health == "healthy"
                return self._changed(report, action.container, admitted=True)
            case Route():
                return self._routed(report, action)
            case SetLimits():
                return self._changed(report, action.container, limits=action.limits)
            case Rename():
                return self._changed(report, action.container, name=action.name)
            case Stop():
                return self._changed(report, action.container, state="exited", health="none")
            case Remove():
                gone = self.find(report, action.container).id
                return _without(report, "containers", gone)
            case RemoveNetwork():
                return _without(report, "networks", action.name)
            case RemoveCopy():
                return _without(report, "copies", f"{action.sandbox}/{action.commit}")
            case RemoveRelease():
                key = f"{action.repository}/{action.commit}/{action.recipe}"
                return _without(report, "releases", key)

    def _changed(self, report: NodeReport, identity: str, /, **changes: object) -> NodeReport:
        found = self.find(report, identity).model_copy(update=changes)
        return _with(report, "containers", found.id, found)

    def _routed(self, report: NodeReport, action: Route) -> NodeReport:
        for key, copy in report.copies.items():
            if copy.sandbox == action.sandbox:
                url = action.url or copy.defaults[action.key]
                routes = {**copy.routes, action.key: url}
                changed = copy.model_copy(update={"routes": routes, "edited": False})
                report = _with(report, "copies", key, changed)
        return report


def _with(report: NodeReport, section: str, key: str, item: object) -> NodeReport:
    return report.model_copy(update={section: {**getattr(report, section), key: item}})


def _without(report: NodeReport, section: str, key: str) -> NodeReport:
    rest = {k: v for k, v in getattr(report, section).items() if k != key}
    return report.model_copy(update={section: rest})
