"""What the routes of accounts, simulations and history answer as JSON, for the description of the API."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.answers import Answer, FailedMember, Flight, Provenance


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


class SearchSize(Answer):
    """How large a search is: `flights` = places x times x configurations x members."""

    places: int
    times: int = Field(description="launch times")
    configurations: int
    members: int
    flights: int
    chunks: int = Field(description="parts that are computed and kept one by one")
    seconds: float = Field(description="about, when everything is flown by a worker on a machine like this one alone")


class SearchEstimate(SearchSize):
    """The size of a search on a cycle."""

    cycle: str = Field(description="YYYYMMDDHH, UTC")
    warnings: list[str]


class SearchSubmitted(Answer):
    """A search that waits for a worker."""

    id: str
    status: Literal["pending"]
    estimate: SearchEstimate


class BestLaunch(Answer):
    """A launch place and time with a configuration.

    Of `members` that could be judged `hits` reach the zone; `probability` is their share of all members of the search
    and `score` the mean of their scores: 1 through the centre, 0.5 at the edge, 0 for a miss, or for a member that
    could not be judged. The rest is the closest approach of all members, that of `member`, and null where neighbours
    told that it misses.
    """

    time: str = Field(description="RFC 3339")
    lat: float
    lon: float
    configuration: str
    probability: float
    score: float
    members: int
    hits: int
    member: int
    distance: float | None = Field(description="from the centre of the zone, m")
    hit_time: str | None = Field(description="RFC 3339")
    hit_lat: float | None
    hit_lon: float | None
    hit_altitude: float | None = Field(description="m")


class LaunchCandidate(BestLaunch):
    """One of the best, the first being 1."""

    rank: int
    over_water: bool = Field(description="whether the place is on ground at 0 m")


class SearchLaunchTime(Answer):
    """How good a launch time is: its best launch, and all places with the configuration of that one."""

    time: str = Field(description="RFC 3339")
    rank: int = Field(description="among the launch times, the best being 1")
    places: int = Field(description="with a hit")
    mean_probability: float = Field(description="of a launch from anywhere in the search area")
    reaching: int = Field(description="launches with a hit, of all configurations")
    best: BestLaunch


class LostFlights(Answer):
    """Flights that cannot be judged, why, and the first and last of their launches, RFC 3339."""

    reason: str
    flights: int
    first: str
    last: str


class SearchFlights(Answer):
    """Flights of a search."""

    asked: int = Field(description="places x times x configurations x members")
    flown: int = Field(description="the others were told by their neighbours")
    judged: int
    hits: int
    lost: list[LostFlights]


class PlacePoint(Answer):
    """Longitude and latitude, degrees."""

    type: Literal["Point"]
    coordinates: tuple[float, float]


class PlaceProperties(Answer):
    """The best that a place offers."""

    time: str
    configuration: str
    probability: float
    score: float
    members: int
    hits: int


class PlaceFeature(Answer):
    """A launch place."""

    type: Literal["Feature"]
    geometry: PlacePoint
    properties: PlaceProperties


class PlaceLayer(Answer):
    """Launch places as GeoJSON, RFC 7946, the best first."""

    type: Literal["FeatureCollection"]
    features: list[PlaceFeature]
    total: int = Field(description="places that could be judged")
    cut: bool = Field(description="whether the best of them alone are among the features")


class SearchResults(Answer):
    """What a search has found: a part of its candidates, its launch times, and a layer for the map."""

    id: str
    status: Literal["completed"]
    mission: Literal["launch_window", "target_window"]
    places: int
    times: int
    configurations: list[str]
    members: list[int]
    failed_members: list[FailedMember]
    flights: SearchFlights
    launch_times: list[SearchLaunchTime]
    time: str | None = Field(description="the launch time that candidates and map are of; null for all")
    limit: int
    offset: int
    total: int = Field(description="candidates that are kept, the best")
    reaching: int = Field(description="launches with a hit, of the search or of the launch time")
    cut: bool = Field(description="whether more launches have a hit than are kept")
    candidates: list[LaunchCandidate]
    map: PlaceLayer
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
