"""The bodies of searches."""

from __future__ import annotations

import reprlib
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from api.bodies import Body, Note, Title
from api.params import CYCLE, BalloonParameters
from api.tawhiri import as_rfc3339, within_calendar
from habsim.montecarlo import MAX_ALTITUDE
from habsim.profiles import PROFILES

WIDEST = 2_000_000.0  # m
MOST_BALLOONS, MOST_MEMBERS = 20, 100

Real = Annotated[float, Field(allow_inf_nan=False)]


def _moment(text: str) -> str:
    """Refuse what is no RFC 3339 time of the calendar."""
    given = str(as_rfc3339(text)).upper()
    try:
        read = datetime.fromisoformat(given)
    except ValueError as error:
        raise ValueError(f"{text[:40]!a} is not an RFC 3339 time with its zone: {error}") from None
    within_calendar(read)
    return given


Moment = Annotated[
    str, StringConstraints(max_length=40), AfterValidator(_moment), Field(json_schema_extra={"format": "date-time"})
]


def _members(value: Any) -> Any:
    if value == "all":
        return value
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= MOST_MEMBERS
        or not all(type(member) is int and 0 <= member < MOST_MEMBERS for member in value)
        or len(set(value)) < len(value)
    ):
        given = reprlib.repr(value)[:40]  # as deep as it may be
        raise ValueError(f'{given} is neither "all" nor a list of different members, 0..{MOST_MEMBERS - 1}')
    return value


Members = Annotated[
    Any,
    AfterValidator(_members),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "const": "all"},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": MOST_MEMBERS - 1},
                    "minItems": 1,
                    "maxItems": MOST_MEMBERS,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]


class _Place(Body):
    lat: Real = Field(ge=-90, le=90, description="latitude of the centre, degrees")
    lon: Real = Field(ge=-180, le=360, description="longitude of the centre, degrees")


class SearchTarget(_Place):
    """The zone to reach: all within `radius` of a centre, between two altitudes."""

    radius: Real = Field(ge=1, le=WIDEST, description="m")
    lowest: Real | None = Field(None, ge=-500, le=MAX_ALTITUDE, description="m; by default all altitudes count")
    highest: Real | None = Field(None, ge=-500, le=MAX_ALTITUDE, description="m")

    @model_validator(mode="after")
    def _is_not_empty(self) -> SearchTarget:
        if self.lowest is not None and self.highest is not None and self.lowest > self.highest:
            raise ValueError(f"lowest is {self.lowest:g} m, it must be at most highest, {self.highest:g} m")
        return self


class SearchPlaces(_Place):
    """The launch places: a grid about a centre, which is one of them."""

    radius: Real = Field(ge=0, le=WIDEST, description="of the circle, or half the side of the square, m")
    spacing: Real = Field(ge=10, le=WIDEST, description="between places, m")
    shape: Literal["circle", "square"] = "circle"


CycleName = Annotated[str, StringConstraints(pattern=CYCLE)]
StepHours = Annotated[Real, Field(ge=0.05, le=168, description="between launch times, h")]


class SearchWindow(Body):
    """The launch times: `from`, and every step after it before `to`."""

    start: Moment = Field(alias="from", description="first launch time, RFC 3339")
    end: Moment = Field(alias="to", description="all are earlier, RFC 3339")
    step_hours: StepHours = 6.0

    @model_validator(mode="after")
    def _has_an_end_after_its_start(self) -> SearchWindow:
        if datetime.fromisoformat(self.end) <= datetime.fromisoformat(self.start):
            raise ValueError(f"to is {self.end}, it must be after from, {self.start}")
        return self


class SearchArrival(Body):
    """When to be in the zone, and how long before to look for launches."""

    time: Moment = Field(description="RFC 3339")
    days: Real = Field(gt=0, le=30, description="before `time`, from when on launches are looked for")
    tolerance_minutes: Real = Field(0.0, ge=0, le=1440, description="how much earlier or later counts")
    step_hours: StepHours = 6.0


class SearchBalloon(BalloonParameters):
    """A balloon that could be launched, by the names of `/sim`; a gas balloon is filled at sea level."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f\x7f]*$")]

    @model_validator(mode="after")
    def _can_fly(self) -> SearchBalloon:
        self.seconds()
        return self


class SearchBody(Body):
    """A search for launches that reach a zone. Unknown fields are refused, at every depth."""

    target: SearchTarget
    area: SearchPlaces
    mission: Literal["launch_window", "target_window"] = Field(
        description="reach the zone at any time from a `window` of launches, or be there at an `arrival`"
    )
    hit: Literal["pass", "land"] = Field(
        "pass", description="for `launch_window`: pass through the zone, or land in it"
    )
    window: SearchWindow | None = Field(None, description="for `launch_window`")
    arrival: SearchArrival | None = Field(None, description="for `target_window`")
    balloons: list[SearchBalloon] = Field(min_length=1, max_length=MOST_BALLOONS)
    members: Members = Field("all", description="of the cycle; by default all")
    refine: bool = Field(True, description="fly only what may hit; `false` flies everything")
    cycle: Annotated[str, StringConstraints(pattern=CYCLE)] | None = Field(
        None, description="by default the current one"
    )

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> SearchBody:
        wanted, other = ("window", "arrival") if self.mission == "launch_window" else ("arrival", "window")
        if getattr(self, wanted) is None:
            raise ValueError(f"{wanted} is missing; mission {self.mission} needs it")
        if getattr(self, other) is not None:
            raise ValueError(f"{other} is not for mission {self.mission}; take {wanted}")
        if self.mission == "target_window" and self.hit == "land":
            raise ValueError("hit is land, but mission target_window asks who is in the zone at a time; leave it out")
        if self.mission == "launch_window" and self.hit == "land":
            self._can_land()
        names = [balloon.name for balloon in self.balloons]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"balloons has {name!a} {names.count(name)} times; names must differ")
        return self

    def _can_land(self) -> None:
        for name in ("lowest", "highest"):
            limit = getattr(self.target, name)
            if limit is not None:
                raise ValueError(
                    f"target.{name} is {limit:g} m, but hit is land, and a landing is on the ground; leave it out "
                    "or take hit pass"
                )
        for balloon in self.balloons:
            if not PROFILES[balloon.profile].lands:
                raise ValueError(
                    f"hit is land, but the profile {balloon.profile} of balloon {balloon.name!a} ends in the air; "
                    "take hit pass or another profile"
                )

    def config(self) -> dict[str, Any]:
        """As the job takes it."""
        given = self.model_dump(by_alias=True, exclude_none=True, include=set(SearchBody.model_fields))
        if self.mission == "target_window":
            del given["hit"]
        return given


class ReversePlanBody(SearchBody):
    """A search as a job."""

    name: Title = ""
    description: Note = ""
    shared: bool = Field(False, description="with the own organisation")
