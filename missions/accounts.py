"""Accounts: who people are, and what shows it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, or_, select
from sqlalchemy.orm import Session, joinedload

from habsim.errors import ConflictError, ForbiddenError, NotFoundError, NotSignedInError
from missions import lockout, passwords
from missions.database import Database, insert_if_absent, now_seconds
from missions.leftovers import deleted
from missions.lockout import Lockout
from missions.models import Organization, RevokedToken, Simulation, User
from missions.tokens import TOKEN_SECONDS, Claims, Tokens

log = logging.getLogger(__name__)

_DELETED_AT_A_TIME = 100
_INACTIVE = "this account is not active; ask an administrator"
_LIKE_SIGNS = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})


@dataclass(frozen=True)
class NewAccount:
    """What somebody registers with; the values are right."""

    username: str
    email: str
    password: str
    name: str = ""


@dataclass(frozen=True)
class Viewer:
    """Somebody who is signed in, and with which token.

    `organization_id` is that of the organisation whose rows they see: None where it is not active.
    """

    user: User
    claims: Claims
    organization_id: uuid.UUID | None

    @property
    def id(self) -> uuid.UUID:
        return self.user.id

    @property
    def is_admin(self) -> bool:
        return self.user.is_admin


@dataclass(frozen=True)
class Page:
    """Which part of a list: pages begin at 1."""

    number: int = 1
    size: int = 20

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


class Accounts:
    """The accounts of a database."""

    def __init__(self, database: Database, secret: str) -> None:
        self._database = database
        self.tokens = Tokens(secret)
        self.lockout = Lockout(database)

    # Signing in and out

    def register(self, new: NewAccount, *, is_admin: bool = False) -> User:
        """Make an account. Raises ConflictError when the username or the address is taken."""
        password_hash = passwords.hashed(new.password)
        with self._database.writing() as session:
            _refuse_taken(session, None, username=new.username, email=new.email)
            now = session.execute(select(now_seconds())).scalar_one()
            user = User(
                username=new.username,
                username_key=new.username.lower(),
                email=new.email.lower(),
                name=new.name,
                password_hash=password_hash,
                created=now,
                updated=now,
                is_admin=is_admin,
            )
            session.add(user)
            session.flush()
            return _loaded(session, user.id)

    def login(self, username: str, password: str, address: str | None) -> tuple[Viewer, str]:
        """Sign in; the viewer and the token.

        Raises NotSignedInError, which does not tell whether there is such a user, ForbiddenError for one that is not
        active, BusyError after too many failures.
        """
        by_both, known = lockout.of_username(username, address or ""), lockout.of_known(username, address)
        by_name, by_address = lockout.of_username(username), lockout.of_address(address)
        keys = {by_both: lockout.OF_USERNAME_FROM_ADDRESS}
        if not self.lockout.is_known(known):
            keys |= {by_name: lockout.OF_USERNAME, by_address: lockout.OF_ADDRESS}
        self.lockout.attempt(keys)
        with self._database.reading() as session:
            found = session.execute(select(User).where(User.username_key == username.lower())).scalar_one_or_none()
        if not passwords.is_right(password, found.password_hash if found else None) or found is None:
            log.warning("failed login from %s", address)
            raise NotSignedInError("wrong username or password")
        self.lockout.succeeded(forget=[by_both], undo=[key for key in keys if key != by_both], known=known)
        if not found.is_active:
            raise ForbiddenError(_INACTIVE)
        return self._signed_in(found, password)

    def _signed_in(self, found: User, password: str) -> tuple[Viewer, str]:
        rehashed = passwords.hashed(password) if passwords.needs_rehash(found.password_hash) else found.password_hash
        with self._database.writing() as session:
            user = _loaded(session, found.id, lock=True)
            if user.password_hash != found.password_hash or not user.is_active:
                raise NotSignedInError("the account has just changed; sign in again")
            user.password_hash = rehashed
            user.last_login = session.execute(select(now_seconds())).scalar_one()
            return self._with_token(user, user.last_login)

    def _with_token(self, user: User, now: float) -> tuple[Viewer, str]:
        claims = Claims(user.id, uuid.uuid4().hex, float(int(now) + TOKEN_SECONDS), user.token_version)
        return Viewer(user, claims, _seen_organization(user)), self.tokens.made(claims)

    def viewer(self, token: str) -> Viewer:
        """Who the token is of. Raises NotSignedInError for one that is not valid, or no longer."""
        claims = self.tokens.read(token)
        with self._database.reading() as session:
            revoked = exists().where(RevokedToken.jti == claims.jti)
            query = select(User, revoked).options(joinedload(User.organization)).where(User.id == claims.user_id)
            row = session.execute(query).first()
        if row is not None and not row[0].is_active:
            raise NotSignedInError(_INACTIVE)
        if row is None or row[1] or row[0].token_version != claims.version:
            raise NotSignedInError("the token is no longer valid; sign in again")
        return Viewer(row[0], claims, _seen_organization(row[0]))

    def logout(self, viewer: Viewer) -> None:
        """Revoke the token that the viewer came with."""
        with self._database.writing() as session:
            insert_if_absent(session, RevokedToken, jti=viewer.claims.jti, expires=viewer.claims.expires)
            session.execute(delete(RevokedToken).where(RevokedToken.expires < now_seconds()))

    def change_own(
        self, viewer: Viewer, changes: Mapping[str, Any], current_password: str | None
    ) -> tuple[Viewer, str]:
        """Change the own name, email or password; the viewer anew, and the token to go on with.

        A new password revokes all tokens. It and a new address need the current password. Raises ForbiddenError,
        ConflictError, BusyError.
        """
        if {"password", "email"} & changes.keys():
            key = f"own password of {viewer.id}"  # of who is signed in: nobody else can use it up
            self.lockout.attempt({key: lockout.OF_USERNAME_FROM_ADDRESS})
            if not passwords.is_right(current_password or "", viewer.user.password_hash):
                raise ForbiddenError("that is not the current password of this account")
            self.lockout.succeeded(forget=[key])
        user = self._change(viewer.id, changes)
        now = self._database.now()
        if user.token_version != viewer.claims.version:
            return self._with_token(user, now)
        return Viewer(user, viewer.claims, _seen_organization(user)), self.tokens.made(viewer.claims)

    # For administrators

    def users(self, page: Page, search: str = "") -> tuple[list[User], int]:
        """A page of the users by username, and how many there are; those whose names or address hold `search`."""
        condition: list[ColumnElement[bool]] = []
        if search:
            pattern = f"%{search.lower().translate(_LIKE_SIGNS)}%"
            columns = (User.username_key, User.email, func.lower(User.name))
            condition = [or_(*(column.like(pattern, escape="\\") for column in columns))]
        with self._database.reading() as session:
            total = session.execute(select(func.count()).select_from(User).where(*condition)).scalar_one()
            query = select(User).options(joinedload(User.organization)).where(*condition).order_by(User.username_key)
            return list(session.scalars(query.limit(page.size).offset(page.offset))), total

    def user(self, user_id: uuid.UUID) -> User:
        """Raises NotFoundError."""
        with self._database.reading() as session:
            return _loaded(session, user_id)

    def change(self, user_id: uuid.UUID, changes: Mapping[str, Any]) -> User:
        """Set `is_admin`, `is_active`, `email`, `name`, `password` or `organization_id`.

        A user who is no longer active, and one with a new password, is signed out everywhere. Raises NotFoundError,
        ConflictError.
        """
        return self._change(user_id, changes)

    def _change(self, user_id: uuid.UUID, changes: Mapping[str, Any]) -> User:
        changes = dict(changes)
        password = changes.pop("password", None)
        password_hash = passwords.hashed(password) if password is not None else None
        with self._database.writing() as session:
            user = _loaded(session, user_id, lock=True)
            if "email" in changes:
                changes["email"] = changes["email"].lower()
                _refuse_taken(session, user_id, email=changes["email"])
            if (
                changes.get("organization_id") is not None
                and session.get(Organization, changes["organization_id"]) is None
            ):
                raise NotFoundError(f"there is no organisation {changes['organization_id']}")
            stays = changes.get("is_admin", user.is_admin) and changes.get("is_active", user.is_active)
            if user.is_admin and user.is_active and not stays:
                _refuse_last_admin(session, user)
            if password_hash is not None:
                user.password_hash = password_hash
            if password_hash is not None or (user.is_active and not changes.get("is_active", True)):
                user.token_version += 1
            for name, value in changes.items():
                setattr(user, name, value)
            user.updated = session.execute(select(now_seconds())).scalar_one()
            session.flush()
            session.expire(user, ["organization"])
            return _loaded(session, user_id)

    def delete(self, user_id: uuid.UUID, removed: Callable[[set[uuid.UUID]], None]) -> None:
        """Remove an account and its simulations; `removed` is told of those that may have files, as they go.

        Raises NotFoundError, ConflictError for the last administrator. The simulations go some at a time, so that
        nobody waits long for the database; who may not sign in any more makes no new ones.
        """
        with self._database.writing() as session:
            user = _loaded(session, user_id, lock=True)
            if user.is_admin and user.is_active:
                _refuse_last_admin(session, user)
            user.is_active = False
            user.token_version += 1
        some = select(Simulation.id).where(Simulation.user_id == user_id).limit(_DELETED_AT_A_TIME)
        while True:
            with self._database.writing() as session:
                if session.execute(some).first() is None:
                    session.execute(delete(User).where(User.id == user_id))
                    return
                gone = deleted(session, Simulation.id.in_(some))
            removed(gone)

    def make_admin(self, new: NewAccount, *, promote: bool) -> tuple[User, bool]:
        """An administrator of that username, and whether the account is new.

        An account that there is stays as it is or, with `promote`, becomes an active administrator with the new
        password, and is signed out everywhere.
        """
        password_hash = passwords.hashed(new.password) if promote else ""
        with self._database.writing() as session:
            found = session.execute(select(User).where(User.username_key == new.username.lower())).scalar_one_or_none()
            if found is not None and promote:
                found.is_admin = found.is_active = True
                found.password_hash = password_hash
                found.token_version += 1
            if found is not None:
                return found, False
        return self.register(new, is_admin=True), True


def _loaded(session: Session, user_id: uuid.UUID, *, lock: bool = False) -> User:
    query = select(User).options(joinedload(User.organization)).where(User.id == user_id)
    user = session.execute(query.with_for_update(of=User) if lock else query).scalar_one_or_none()
    if user is None:
        raise NotFoundError(f"there is no user {user_id}")
    return user


def _seen_organization(user: User) -> uuid.UUID | None:
    return user.organization_id if user.organization is not None and user.organization.is_active else None


def _refuse_taken(
    session: Session, user_id: uuid.UUID | None, *, username: str | None = None, email: str | None = None
) -> None:
    for what, value, column in (("username", username, User.username_key), ("email", email, User.email)):
        if value is not None:
            holder = session.execute(select(User.id).where(column == value.lower())).scalar_one_or_none()
            if holder is not None and holder != user_id:
                raise ConflictError(f"the {what} {value} is taken")


def _refuse_last_admin(session: Session, user: User) -> None:
    admins = select(User.id).where(User.is_admin, User.is_active).order_by(User.id).with_for_update()
    if set(session.scalars(admins)) <= {user.id}:
        raise ConflictError(f"{user.username} is the last active administrator; make another one first")
