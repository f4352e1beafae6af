"""The statements of deployments and their stages."""

import datetime
import re
from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from sdp.protocol.frames import StageEvent
from sdp.reconciler.deployments import REMOVED
from sdp.store import records
from sdp.store.tables import deployments, instant, micros, stages
from sdp.store.values import Deployment, DeploymentPage, DeploymentStatus, Stage

_FIELDS = tuple(name for name in Deployment.model_fields if name not in {"id", "stages"})


_CURSOR = re.compile(r"([0-9]{1,17})\.([a-z0-9-]{1,100})")


class BadCursorError(ValueError):
    """A page's cursor that no page gave."""


def upsert(connection: Connection, deployment: Deployment) -> None:
    """Record a deployment. Stages that are known stay: only ``set_stage`` moves them."""
    row = {name: getattr(deployment, name) for name in _FIELDS}
    records.put(connection, deployments, {"id": deployment.id}, row)
    known = {stage.name for stage in _stages(connection, [deployment.id]).get(deployment.id, ())}
    for stage in deployment.stages:
        if stage.name not in known:
            _add(connection, deployment.id, stage)


def set_stage(connection: Connection, change: StageEvent) -> None:
    """Record that a stage began or ended; its deployment need not be known yet."""
    where = and_(stages.c.deployment == change.deployment, stages.c.name == change.stage)
    values: dict[str, object] = {"state": change.state, "note": change.note}
    at = change.at.astimezone(datetime.UTC)
    match change.state:
        case "started":
            values |= {"started_at": at, "finished_at": None}
        case "finished" | "failed":
            values |= {"finished_at": at}
    if not connection.execute(update(stages).where(where), values).rowcount:
        stage = Stage.model_validate({"name": change.stage, **values})
        _add(connection, change.deployment, stage)


def get(connection: Connection, identifier: str) -> Deployment | None:
    """Return one deployment."""
    found = _load(connection, select(deployments).where(deployments.c.id == identifier))
    return found[0] if found else None


def page(
    connection: Connection,
    where: Sequence[ColumnElement[bool]],
    limit: int,
    cursor: str,
) -> DeploymentPage:
    """Return the next deployments, newest first.

    Raises:
        BadCursorError: The cursor is not one that a page gave.
    """
    query = select(deployments).where(*where)
    if cursor:
        query = query.where(_older(cursor))
    order = (deployments.c.created_at.desc(), deployments.c.id.desc())
    found = _load(connection, query.order_by(*order).limit(limit + 1))
    if len(found) <= limit:
        return DeploymentPage(deployments=found)
    last = found[limit - 1]
    following = f"{micros(last.created_at)}.{last.id}"
    return DeploymentPage(deployments=found[:limit], following=following)


def chosen(
    sandbox: str | None, service: str | None, status: DeploymentStatus | None
) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for what a caller asked; None: all. A sandbox is named in any case."""
    wanted = {"service": service, "status": status}
    said = tuple(deployments.c[name] == v for name, v in wanted.items() if v is not None)
    if sandbox is None:
        return said
    return (func.lower(deployments.c.sandbox) == sandbox.lower(), *said)


def latest(connection: Connection, sandbox: str | None) -> tuple[Deployment, ...]:
    """Return the newest deployment of every service, by sandbox and service."""
    mine = chosen(sandbox, None, None)
    query = select(deployments).where(deployments.c.id.in_(_newest(mine)))
    return _load(connection, query.order_by(deployments.c.sandbox, deployments.c.service))


def prune(connection: Connection, before: datetime.datetime, limit: int) -> tuple[str, ...]:
    """Delete up to so many deployments that ended before a time; return which.

    The newest of each service stays, unless the service was removed.
    """
    ended = func.coalesce(deployments.c.finished_at, deployments.c.created_at)
    query = select(deployments.c.id).where(
        deployments.c.status.in_(("FAILED", "STOPPED")),
        ended < before,
        or_(deployments.c.id.not_in(_newest()), deployments.c.reason == REMOVED),
    )
    gone = tuple(connection.scalars(query.order_by(deployments.c.created_at).limit(limit)))
    connection.execute(delete(deployments).where(deployments.c.id.in_(gone)))
    connection.execute(delete(stages).where(stages.c.deployment.in_(gone)))
    return gone


def _newest(mine: Sequence[ColumnElement[bool]] = ()) -> Select[str]:
    """Return the query for the ids of every service's newest."""
    age = func.row_number().over(
        partition_by=(deployments.c.sandbox, deployments.c.service),
        order_by=(deployments.c.created_at.desc(), deployments.c.id.desc()),
    )
    ranked = select(deployments.c.id, age.label("age")).where(*mine).subquery()
    return select(ranked.c.id).where(ranked.c.age == 1)


def _older(cursor: str) -> ColumnElement[bool]:
    if (parts := _CURSOR.fullmatch(cursor)) is None:
        raise BadCursorError(f"{cursor!r} is no cursor")
    at, identifier = instant(int(parts[1])), parts[2]
    same = and_(deployments.c.created_at == at, deployments.c.id < identifier)
    return or_(deployments.c.created_at < at, same)


def _load(connection: Connection, query: Select[*tuple[object, ...]]) -> tuple[Deployment, ...]:
    rows = connection.execute(query).mappings().all()
    progress = _stages(connection, [row["id"] for row in rows])
    return tuple(_deployment(row, progress.get(row["id"], ())) for row in rows)


def _deployment(row: RowMapping, progress: tuple[Stage, ...]) -> Deployment:
    # What comes from our own tables was checked on its way in.
    lines = tuple(row["lines"])
    return Deployment.model_construct(**{**row, "lines": lines, "stages": progress})


def _stages(connection: Connection, identifiers: Sequence[str]) -> dict[str, tuple[Stage, ...]]:
    query = select(stages).where(stages.c.deployment.in_(identifiers))
    found: dict[str, tuple[Stage, ...]] = {}
    for row in connection.execute(query.order_by(stages.c.deployment, stages.c.position)):
        stage = Stage.model_construct(
            name=row.name,
            state=row.state,
            started_at=row.started_at,
            finished_at=row.finished_at,
            note=row.note,
        )
        found[row.deployment] = (*found.get(row.deployment, ()), stage)
    return found


def _add(connection: Connection, deployment: str, stage: Stage) -> None:
    count = select(func.count()).select_from(stages).where(stages.c.deployment == deployment)
    position = connection.scalar(count) or 0
    row = {"deployment": deployment, "position": position, **stage.model_dump()}
    connection.execute(insert(stages), row)
