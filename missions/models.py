"""The tables. Times are Unix seconds, ids are UUIDs."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    Uuid,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, deferred, mapped_column, relationship

NEWEST_MIGRATION = "0003"

FORWARD, ENSEMBLE, REVERSE = "forward", "ensemble", "reverse"
PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED = "pending", "processing", "completed", "failed", "cancelled"
STATUSES = (PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED)
LIVE = (PENDING, PROCESSING)
LANES = ("forward", "reverse")

USERNAME_LENGTH, EMAIL_LENGTH, NAME_LENGTH, DESCRIPTION_LENGTH = 50, 255, 100, 500
USERNAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]+$"
TITLE_LENGTH, NOTE_LENGTH = 200, 2000  # name and description of a simulation


class Base(DeclarativeBase):
    """Constraints have names, so that a migration can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Organization(Base):
    """People who see what its members share."""

    __tablename__ = "organizations"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    description: Mapped[str] = mapped_column(String(DESCRIPTION_LENGTH), default="")
    created: Mapped[float] = mapped_column(Double)
    is_active: Mapped[bool] = mapped_column(default=True)


class User(Base):
    """An account. `token_version` is in every token: raising it revokes all of them."""

    __tablename__ = "users"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    username: Mapped[str] = mapped_column(String(USERNAME_LENGTH))
    # In lower case, as the address is: names that differ in their case only would be taken for each other.
    username_key: Mapped[str] = mapped_column(String(USERNAME_LENGTH), unique=True)
    email: Mapped[str] = mapped_column(String(EMAIL_LENGTH), unique=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), default="")
    password_hash: Mapped[str] = mapped_column(String(200))
    created: Mapped[float] = mapped_column(Double)
    updated: Mapped[float] = mapped_column(Double)
    last_login: Mapped[float | None] = mapped_column(Double)
    is_active: Mapped[bool] = mapped_column(default=True)
    is_admin: Mapped[bool] = mapped_column(default=False)
    token_version: Mapped[int] = mapped_column(default=0)
    organization_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("organizations.id", ondelete="SET NULL"))
    organization: Mapped[Organization | None] = relationship(lazy="raise")

    __table_args__ = (Index("ix_users_organization_id", "organization_id"),)


class RevokedToken(Base):
    """A token that was signed out before its time."""

    __tablename__ = "revoked_tokens"

    jti: Mapped[str] = mapped_column(String(32), primary_key=True)
    expires: Mapped[float] = mapped_column(Double, index=True)


class Attempts(Base):
    """How often a login failed for a username or from an address, and until when no other is tried."""

    __tablename__ = "login_attempts"

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    failures: Mapped[int]
    last: Mapped[float] = mapped_column(Double, index=True)
    blocked_until: Mapped[float] = mapped_column(Double)


class Simulation(Base):
    """What a user asked for, and the job that flies it.

    `plan` is the config with all that it leaves open (cycle, members), fixed when the job first starts.
    `organization_id` is the organisation that it is shared with. `fence` grows with each claim: what an earlier holder
    writes is refused.
    """

    __tablename__ = "simulations"

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    organization_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("organizations.id", ondelete="SET NULL"))
    type: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(TITLE_LENGTH), default="")
    description: Mapped[str] = mapped_column(String(NOTE_LENGTH), default="")
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(20), default=PENDING)
    progress: Mapped[float] = mapped_column(Double, default=0.0)  # percent
    error: Mapped[str | None] = mapped_column(Text)
    provenance: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created: Mapped[float] = mapped_column(Double)
    started: Mapped[float | None] = mapped_column(Double)
    completed: Mapped[float | None] = mapped_column(Double)
    computation_seconds: Mapped[float] = mapped_column(Double, default=0.0)
    result_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    result_reference: Mapped[str | None] = mapped_column(String(100))

    lane: Mapped[str] = mapped_column(String(20))
    plan: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    ready: Mapped[float] = mapped_column(Double)  # when it may start; later than `created` after a failure
    attempts: Mapped[int] = mapped_column(default=0)  # claims since the last progress, less those that count for none
    fence: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str | None] = mapped_column(String(100))
    lease_until: Mapped[float | None] = mapped_column(Double)
    # The last columns: a list of rows does not read through them.
    result: Mapped[bytes | None] = deferred(mapped_column(LargeBinary))
    # Since when, without progress, its tries have failed; later by the time in which it could be tried and was not.
    failing_since: Mapped[float | None] = deferred(mapped_column(Double))

    user: Mapped[User] = relationship(lazy="raise")

    __table_args__ = (
        CheckConstraint("status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')", name="status"),
        Index("ix_simulations_user_id_created_id", "user_id", "created", "id"),
        Index("ix_simulations_user_id_status_created_id", "user_id", "status", "created", "id"),
        Index("ix_simulations_user_id_type_created_id", "user_id", "type", "created", "id"),
        # Also whose and how they are: members ask for those of others, which must not be looked up one by one.
        Index("ix_simulations_organization_id_created_id", "organization_id", "created", "id", "user_id", "status"),
        Index("ix_simulations_created_id", "created", "id"),
        Index("ix_simulations_type_created_id", "type", "created", "id"),
        # The queue: who may start in a lane, who waits longest first; and whose lease has run out.
        Index("ix_simulations_status_lane_ready", "status", "lane", "ready"),
    )


class Chunk(Base):
    """The result of a part of a job, kept as it finishes, until the job ends."""

    __tablename__ = "chunks"

    simulation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("simulations.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seconds: Mapped[float] = mapped_column(Double)
    result: Mapped[bytes] = mapped_column(LargeBinary)


class WorkerProcess(Base):
    """A worker and when it was last heard of."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    started: Mapped[float] = mapped_column(Double)
    seen: Mapped[float] = mapped_column(Double)
