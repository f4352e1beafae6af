"""What a sandbox's containers use, as views: the newest sample, and the last ones. Pure."""

from sdp.api import views
from sdp.protocol.report import Container
from sdp.reconciler import observed as observation
from sdp.reconciler.observed import Observed
from sdp.reconciler.status import SandboxStatus, ServiceStatus


def series(status: SandboxStatus, observed: Observed) -> views.UsageView:
    """Return the last samples of each service that has a container here; of a stopped one none."""
    return views.UsageView(
        sandbox=status.name,
        services=tuple(
            views.ServiceUsage(
                service=each.name,
                container=container.name,
                cpu_limit_milli=container.limits.cpu_milli,
                memory_limit_bytes=container.limits.memory_bytes,
                samples=_samples(each.node, container, observed),
            )
            for each in status.services
            if (container := _container(status.name, each, observed)) is not None
        ),
    )


def newest(sandbox: str, service: ServiceStatus, observed: Observed) -> dict[str, int]:
    """Return a service's limits and, where its container runs, what it uses: fields of its view."""
    container = _container(sandbox, service, observed)
    if container is None:
        return {}
    limits = {
        "cpu_limit_milli": container.limits.cpu_milli,
        "memory_limit_bytes": container.limits.memory_bytes,
    }
    samples = _samples(service.node, container, observed)
    if not (samples and observed[service.node].known):
        return limits
    last = samples[-1]
    return {**limits, "cpu_milli": last.cpu_milli, "memory_bytes": last.memory_bytes}


def _container(sandbox: str, service: ServiceStatus, observed: Observed) -> Container | None:
    held = observation.held(observed, service.node, sandbox).containers
    return next((each for each in held if each.name == service.container), None)


def _samples(node: str, container: Container, observed: Observed) -> tuple[views.UsageSample, ...]:
    used = observed[node].used.get(container.id) if container.state == "running" else None
    return tuple(
        views.UsageSample(at=each.at, cpu_milli=each.cpu_milli, memory_bytes=each.memory_bytes)
        for each in (used.samples if used else ())
    )
