"""What the routes of accounts, simulations and history answer as JSON, for the description of the API."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.answers import Answer, Flight, Provenance


class Paged(Answer):
    """A part of a list."""

    page: int
    per_page: int
    total: int = Field(description="of the whole list")


class OrganizationName(Answer):
    """Which organisation."""

    id: str
    name: str


class User(Answer):
    """An account. Times are RFC 3339."""

    id: str
    username: str
    email: str
    name: str
    is_admin: bool
    is_active: bool
    organization: OrganizationName | None
    created: str
    updated: str
    last_login: str | None


class SignedIn(Answer):
    """Who is signed in, with a token that is good until `expires`; `csrf_token` is for changes with the cookie."""

    user: User
    token: str
    expires: str
    csrf_token: str


class Me(Answer):
    """Who is signed in, until when."""

    user: User
    expires: str
    csrf_token: str = Field(description="the header X-CSRF-Token of changes with the cookie")


class SignedOut(Answer):
    """The token is no longer good."""

    signed_out: Literal[True]


class Users(Paged):
    """A page of the users."""

    users: list[User]


class Organization(Answer):
    """An organisation and how many are in it."""

    id: str
    name: str
    description: str
    is_active: bool
    created: str
    members: int


class Organizations(Paged):
    """A page of the organisations."""

    organizations: list[Organization]


class Deleted(Answer):
    """What is gone."""

    deleted: str


class UserName(Answer):
    """Whose it is."""

    id: str
    username: str


class Simulation(Answer):
    """A simulation and how far its job is. Times are RFC 3339."""

    id: str
    type: Literal["forward", "ensemble", "reverse"]
    name: str
    description: str
    user: UserName
    shared: bool
    config: dict[str, Any]
    status: Literal["pending", "processing", "completed", "failed", "cancelled"]
    progress: float = Field(description="percent")
    error: str | None = Field(description="why it failed, or waits for another try")
    attempts: int
    created: str
    started: str | None
    completed: str | None
    computation_seconds: float
    result_bytes: int = Field(description="as it is kept")
    provenance: dict[str, Any] | None


class Simulations(Paged):
    """A page of simulations, the newest first."""

    simulations: list[Simulation]


class Landed(Answer):
    """Where and when a flight ends."""

    timestamp: float = Field(description="Unix seconds")
    lat: float
    lon: float
    alt: float


class ForwardResult(Answer):
    """The result of a simulation of type `forward`; that of an `ensemble` is a `Spaceshot`."""

    path: Flight
    landing: Landed
    warnings: list[str]
    provenance: Provenance


class Lane(Answer):
    """Jobs in a lane."""

    pending: int
    processing: int


class Lanes(Answer):
    """Simulations of types `forward` and `ensemble`, and searches."""

    forward: Lane
    reverse: Lane


class QueueStats(Answer):
    """The queue of all users, and how many workers have been heard of lately."""

    lanes: Lanes
    workers: int


class Totals(Answer):
    """Sums over simulations."""

    simulations: int
    by_status: dict[str, int]
    by_type: dict[str, int]
    result_bytes: int = Field(description="that the results take")
    computation_seconds: float


class HistoryStats(Answer):
    """The own simulations, and those that the organisation shares."""

    own: Totals
    organization: Totals | None
