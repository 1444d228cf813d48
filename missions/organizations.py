"""Organisations, which administrators keep."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from habsim.errors import ConflictError, NotFoundError
from missions.accounts import Page
from missions.database import Database, now_seconds
from missions.models import Organization, User


class Organizations:
    """The organisations of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, page: Page) -> tuple[list[tuple[Organization, int]], int]:
        """A page of them by name, each with the number of its members; and how many there are."""
        members = select(func.count()).where(User.organization_id == Organization.id).scalar_subquery()
        with self._database.reading() as session:
            total = session.execute(select(func.count()).select_from(Organization)).scalar_one()
            query = select(Organization, members).order_by(Organization.name).limit(page.size).offset(page.offset)
            return [(found, count) for found, count in session.execute(query)], total

    def create(self, name: str, description: str) -> Organization:
        """Raises ConflictError when the name is taken."""
        with self._database.writing() as session:
            _refuse_taken(session, None, name)
            created = session.execute(select(now_seconds())).scalar_one()
            organization = Organization(name=name, description=description, created=created)
            session.add(organization)
            return organization

    def change(self, organization_id: uuid.UUID, changes: Mapping[str, Any]) -> tuple[Organization, int]:
        """Set `name`, `description` or `is_active`; with the number of its members.

        Members of one that is not active see their own rows only. Raises NotFoundError, ConflictError.
        """
        with self._database.writing() as session:
            organization = session.get(Organization, organization_id, with_for_update=True)
            if organization is None:
                raise NotFoundError(f"there is no organisation {organization_id}")
            if "name" in changes:
                _refuse_taken(session, organization_id, changes["name"])
            for name, value in changes.items():
                setattr(organization, name, value)
            members = select(func.count()).where(User.organization_id == organization_id)
            return organization, session.execute(members).scalar_one()

    def delete(self, organization_id: uuid.UUID) -> None:
        """Remove it. Its members keep their accounts, and what they shared is theirs alone. Raises NotFoundError."""
        with self._database.writing() as session:
            removed = delete(Organization).where(Organization.id == organization_id).returning(Organization.id)
            if session.execute(removed).first() is None:
                raise NotFoundError(f"there is no organisation {organization_id}")


def _refuse_taken(session: Session, organization_id: uuid.UUID | None, name: str) -> None:
    same = select(Organization.id).where(func.lower(Organization.name) == func.lower(name))
    if set(session.scalars(same)) - {organization_id}:
        raise ConflictError(f"there is an organisation {name} already")
