"""Simulations: what a user may see and change, history and statistics."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, false, func, or_, select, union_all
from sqlalchemy.orm import Session, contains_eager, joinedload

from habsim.errors import BusyError, ConflictError, ForbiddenError, NotFoundError
from missions.accounts import Page, Viewer
from missions.database import Database, now_seconds
from missions.jobs import Queue
from missions.jobtypes import job_type
from missions.leftovers import deleted, remove_files
from missions.models import COMPLETED, PENDING, Organization, Simulation, User
from missions.results import Results
from settings import Settings

_AT_A_TIME = 500  # rows of an export
_BUSY_SECONDS = 60


@dataclass(frozen=True)
class NewSimulation:
    """What a user submits; the values are right."""

    type: str
    config: dict[str, Any]
    name: str = ""
    description: str = ""
    shared: bool = False


@dataclass(frozen=True)
class Filter:
    """Which rows: of a status, type or user, created in [`since`, `until`) of Unix seconds."""

    status: str | None = None
    type: str | None = None
    user_id: uuid.UUID | None = None
    since: float | None = None
    until: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.status is not None:
            found.append(Simulation.status == self.status)
        if self.type is not None:
            found.append(Simulation.type == self.type)
        if self.user_id is not None:
            found.append(Simulation.user_id == self.user_id)
        if self.since is not None:
            found.append(Simulation.created >= self.since)
        if self.until is not None:
            found.append(Simulation.created < self.until)
        return found


@dataclass(frozen=True)
class Totals:
    """Sums over simulations. `by` is (type, status) -> how many."""

    by: dict[tuple[str, str], int]
    result_bytes: int
    computation_seconds: float


class Simulations:
    """The simulations of a database."""

    def __init__(self, database: Database, queue: Queue, results: Results, settings: Settings) -> None:
        self._database = database
        self._queue = queue
        self._results = results
        self._most_waiting = settings.max_queued_jobs

    # One

    def submit(self, viewer: Viewer, new: NewSimulation) -> Simulation:
        """Put a simulation into the queue. Raises BadRequestError, BusyError when too many of the user wait."""
        kind = job_type(new.type)
        config = kind.checked(new.config)
        with self._database.writing() as session:
            # One after the other, so that the limit holds.
            session.execute(select(User.id).where(User.id == viewer.id).with_for_update())
            waiting = select(func.count()).where(Simulation.user_id == viewer.id, Simulation.status == PENDING)
            if session.execute(waiting).scalar_one() >= self._most_waiting:
                raise BusyError(
                    f"{self._most_waiting} of your simulations wait already, which is the limit", _BUSY_SECONDS
                )
            now = session.execute(select(now_seconds())).scalar_one()
            simulation = Simulation(
                user_id=viewer.id,
                organization_id=_shared_with(session, viewer.id) if new.shared else None,
                type=new.type,
                name=new.name,
                description=new.description,
                config=config,
                created=now,
                ready=now,
                lane=kind.lane,
            )
            session.add(simulation)
            session.flush()
            return _loaded(session, simulation.id)

    def get(self, viewer: Viewer, simulation_id: uuid.UUID) -> Simulation:
        """One that the viewer may see: the own, those shared with the organisation, all for an administrator.

        Raises NotFoundError, also for those of others.
        """
        with self._database.reading() as session:
            return _visible(session, viewer, simulation_id)

    def change(self, viewer: Viewer, simulation_id: uuid.UUID, changes: Mapping[str, Any]) -> Simulation:
        """Set `name`, `description` or `shared`. Raises NotFoundError, ForbiddenError for one that is only shared."""
        with self._database.writing() as session:
            simulation = _own(session, viewer, simulation_id)
            changes = dict(changes)
            if "shared" in changes:
                shared = changes.pop("shared")
                simulation.organization_id = _shared_with(session, simulation.user_id) if shared else None
            for name, value in changes.items():
                setattr(simulation, name, value)
            return simulation

    def cancel(self, viewer: Viewer, simulation_id: uuid.UUID) -> Simulation:
        """Cancel one that is pending or processing. Raises ConflictError when it has ended."""
        with self._database.reading() as session:
            _own(session, viewer, simulation_id)
        if not self._queue.cancel(simulation_id):
            found = self.get(viewer, simulation_id)
            raise ConflictError(f"it cannot be cancelled any more: it is {found.status}")
        return self.get(viewer, simulation_id)

    def delete(self, viewer: Viewer, simulation_id: uuid.UUID) -> None:
        """Remove one with its result; its job, where it runs, is lost. Raises NotFoundError, ForbiddenError."""
        with self._database.writing() as session:
            _own(session, viewer, simulation_id)
            gone = deleted(session, Simulation.id == simulation_id)
        remove_files(self._results, gone)

    def result(self, viewer: Viewer, simulation_id: uuid.UUID) -> bytes:
        """The result as JSON in gzip. Raises ConflictError while there is none."""
        with self._database.reading() as session:
            simulation = _visible(session, viewer, simulation_id)
            inline = session.execute(select(Simulation.result).where(Simulation.id == simulation_id)).scalar_one()
        if simulation.status != COMPLETED:
            reason = f": {simulation.error}" if simulation.error else ""
            raise ConflictError(f"the simulation is {simulation.status}, it has no result{reason}")
        return self._results.read(inline, simulation.result_reference)

    # Many

    def listed(self, viewer: Viewer, which: Filter, page: Page) -> tuple[list[Simulation], int]:
        """A page of those that the viewer may see, the newest first, and how many there are."""
        if viewer.is_admin:
            scopes: list[ColumnElement[bool] | None] = [None]
        else:
            scopes = [Simulation.user_id == viewer.id]
            if viewer.organization_id is not None:
                others = Simulation.user_id != viewer.id
                scopes.append((Simulation.organization_id == viewer.organization_id) & others)
        return self._page(scopes, which, page)

    def own(self, viewer: Viewer, which: Filter, page: Page) -> tuple[list[Simulation], int]:
        """A page of the viewer's own, the newest first, and how many there are."""
        return self._page([Simulation.user_id == viewer.id], which, page)

    def of_organization(self, viewer: Viewer, which: Filter, page: Page) -> tuple[list[Simulation], int]:
        """A page of what the viewer's organisation shares, the newest first, and how many there are."""
        return self._page([_of_organization(viewer)], which, page)

    def _page(
        self, scopes: list[ColumnElement[bool] | None], which: Filter, page: Page
    ) -> tuple[list[Simulation], int]:
        conditions = which.conditions()
        with self._database.reading() as session:
            total = 0
            parts = []
            for scope in scopes:
                where = [*conditions, *([] if scope is None else [scope])]
                count = session.execute(select(func.count()).select_from(Simulation).where(*where)).scalar_one()
                if count == 0:
                    continue
                total += count
                # Each scope in the order of its own index: together they would be sorted whole.
                part = select(Simulation.id, Simulation.created).where(*where).order_by(*_NEWEST)
                parts.append(part.limit(page.offset + page.size).subquery())
            if not parts:
                return [], 0
            merged = union_all(*(select(part.c.id, part.c.created) for part in parts)).subquery()
            ids = select(merged.c.id).order_by(merged.c.created.desc(), merged.c.id.desc())
            found = list(session.scalars(ids.limit(page.size).offset(page.offset)))
            rows = session.scalars(
                select(Simulation).options(joinedload(Simulation.user)).where(Simulation.id.in_(found))
            )
            by_id = {row.id: row for row in rows}
            return [by_id[simulation_id] for simulation_id in found if simulation_id in by_id], total

    def exported(self, viewer: Viewer, which: Filter, *, organization: bool) -> Iterator[Simulation]:
        """All the viewer's own, or what the organisation shares, the newest first, read a few at a time."""
        scope = _of_organization(viewer) if organization else Simulation.user_id == viewer.id
        after: tuple[float, uuid.UUID] | None = None
        while True:
            query = _with_user().where(scope, *which.conditions()).order_by(*_NEWEST).limit(_AT_A_TIME)
            if after is not None:
                created, last = after
                earlier = (Simulation.created == created) & (Simulation.id < last)
                query = query.where(or_(Simulation.created < created, earlier))
            with self._database.reading() as session:
                rows = list(session.scalars(query))
            yield from rows
            if len(rows) < _AT_A_TIME:
                return
            after = (rows[-1].created, rows[-1].id)

    def totals(self, viewer: Viewer, *, organization: bool) -> Totals:
        """Sums over the viewer's own, or over what the organisation shares."""
        scope = _of_organization(viewer) if organization else Simulation.user_id == viewer.id
        query = (
            select(
                Simulation.type,
                Simulation.status,
                func.count(),
                func.coalesce(func.sum(Simulation.result_bytes), 0),
                func.coalesce(func.sum(Simulation.computation_seconds), 0.0),
            )
            .where(scope)
            .group_by(Simulation.type, Simulation.status)
        )
        with self._database.reading() as session:
            rows = session.execute(query).all()
        return Totals(
            {(kind, status): count for kind, status, count, _, _ in rows},
            int(sum(row[3] for row in rows)),
            float(sum(row[4] for row in rows)),
        )


_NEWEST = (Simulation.created.desc(), Simulation.id.desc())


def _with_user() -> Select[Simulation]:
    return select(Simulation).join(Simulation.user).options(contains_eager(Simulation.user))


def _of_organization(viewer: Viewer) -> ColumnElement[bool]:
    return false() if viewer.organization_id is None else Simulation.organization_id == viewer.organization_id


def _loaded(session: Session, simulation_id: uuid.UUID) -> Simulation:
    return session.execute(_with_user().where(Simulation.id == simulation_id)).scalar_one()


def _visible(session: Session, viewer: Viewer, simulation_id: uuid.UUID) -> Simulation:
    query = _with_user().where(Simulation.id == simulation_id)
    simulation = session.execute(query).scalar_one_or_none()
    is_seen = simulation is not None and (
        viewer.is_admin
        or simulation.user_id == viewer.id
        or (viewer.organization_id is not None and simulation.organization_id == viewer.organization_id)
    )
    if simulation is None or not is_seen:
        raise NotFoundError(f"there is no simulation {simulation_id}")
    return simulation


def _own(session: Session, viewer: Viewer, simulation_id: uuid.UUID) -> Simulation:
    simulation = _visible(session, viewer, simulation_id)
    if simulation.user_id != viewer.id and not viewer.is_admin:
        raise ForbiddenError(f"simulation {simulation_id} is shared with you, but it is {simulation.user.username}'s")
    return simulation


def _shared_with(session: Session, user_id: uuid.UUID) -> uuid.UUID:
    """The organisation that a simulation of the user is shared with from now on."""
    query = select(Organization.id).join(User).where(User.id == user_id, Organization.is_active)
    organization_id = session.execute(query).scalar_one_or_none()
    if organization_id is None:
        raise ConflictError(
            "it cannot be shared: its user is in no active organisation; an administrator puts people into one"
        )
    return organization_id
