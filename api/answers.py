"""What the routes answer as JSON, for the description of the API.

Answers are made without these classes, which cost nothing while the service runs; a test holds every answer to its
class. A field without a default is always there.
"""

from __future__ import annotations

from typing import Any, Literal

from flask_openapi3 import Schema
from pydantic import MISSING, BaseModel, Field, RootModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

REFERENCE = "#/components/schemas/{model}"


class Answer(BaseModel):
    """Base of the answers that are objects."""


# Flights


class Point(RootModel[tuple[float, float, float, float, float, float, float, float]]):
    """Unix seconds, latitude, longitude (degrees), altitude (m), eastward and northward wind (m/s), 0, 0."""


class Flight(RootModel[tuple[list[Point], list[Point], list[Point]]]):
    """Ascent, coast and descent; a phase that the flight does not have is empty."""


class Provenance(Answer):
    """What an answer was made from."""

    cycle: str = Field(description="YYYYMMDDHH, UTC")
    product: str = Field(description="what the winds are, for example `classic`, `full` or `demo`")
    demo: bool = Field(description="the winds are made up")
    members: list[int]
    code_version: str
    vertical_scheme: str = Field(description="how altitudes become levels")
    step_seconds: float | None = Field(description="longest step of a flight; null where nothing flew")
    seed: int | None = Field(description="of the Monte Carlo; null where nothing was drawn")


class FailedMember(Answer):
    """A member that is left out, and why."""

    model_id: int
    reason: str


# Landings


class HeatmapRow(Answer):
    """One landing. `perturbation_id` is -1 for the member's own flight, which weighs 2."""

    lat: float
    lon: float
    perturbation_id: int
    model_id: int
    weight: float


class MeanLanding(Answer):
    """The weighted mean of all landings, degrees."""

    lat: float
    lon: float


class Ellipse(Answer):
    """A Gaussian with the covariance of the landings: semi-axes, and the bearing of the major one from north."""

    semi_major_m: float
    semi_minor_m: float
    bearing_deg: float


class Ellipses(Answer):
    """Ellipses about the mean by the probability that they hold, percent."""

    p50: Ellipse = Field(alias="50")
    p90: Ellipse = Field(alias="90")


class Position(RootModel[tuple[float, float]]):
    """Longitude and latitude, degrees."""


class Polygon(Answer):
    """A GeoJSON Polygon."""

    type: Literal["Polygon"]
    coordinates: list[list[Position]]


class MultiPolygon(Answer):
    """A GeoJSON MultiPolygon."""

    type: Literal["MultiPolygon"]
    coordinates: list[list[list[Position]]]


class RegionProperties(Answer):
    """How probable a landing in the region is, 0..1, and how large the region is."""

    probability: float
    area_km2: float


class Region(Answer):
    """The smallest region that holds a landing with its probability, as a GeoJSON Feature."""

    type: Literal["Feature"]
    properties: RegionProperties
    geometry: Polygon | MultiPolygon


class Contours(Answer):
    """The 30, 50, 70 and 90 % regions, as a GeoJSON FeatureCollection."""

    type: Literal["FeatureCollection"]
    features: list[Region]


class Landing(Answer):
    """Where the ensemble lands."""

    mean: MeanLanding
    ellipse: Ellipses
    contours: Contours
    over_water: float = Field(description="share of the weight of the landings on ground at 0 m, 0..1")


class Spaceshot(Answer):
    """All members of a cycle, each flown as asked and perturbed."""

    paths: list[Flight | None] = Field(description="one for each of `members`; null where the member failed")
    heatmap_data: list[HeatmapRow] = Field(description="the members' own landings, then the perturbed ones")
    request_id: str
    cycle: str = Field(description="YYYYMMDDHH, UTC")
    members: list[int]
    failed_members: list[FailedMember]
    seed: int
    landing: Landing
    warnings: list[str] = Field(description="sentences for the user")
    provenance: Provenance


class Progress(Answer):
    """How much of an ensemble is done. `percentage` is 100 with the status `complete` alone."""

    completed: int = Field(description="flights")
    total: int
    ensemble_completed: int = Field(description="members")
    ensemble_total: int
    montecarlo_completed: int = Field(description="perturbed flights")
    montecarlo_total: int
    percentage: int
    status: Literal["loading", "simulating", "complete", "failed"]
    bytes_loaded: int | MISSING = Field(MISSING, description="of the winds, where they were asked for")
    bytes_total: int | MISSING = Field(MISSING, description="of the winds, as far as they have been asked for")
    error: str | MISSING = Field(MISSING, description="why it failed")


# A flight as GeoJSON


class Position3D(RootModel[tuple[float, float, float]]):
    """Longitude, latitude (degrees), altitude (m)."""


class LineString(Answer):
    """A GeoJSON LineString."""

    type: Literal["LineString"]
    coordinates: list[Position3D]


class MultiLineString(Answer):
    """A GeoJSON MultiLineString: a line that is cut at the antimeridian."""

    type: Literal["MultiLineString"]
    coordinates: list[list[Position3D]]


class GeoPoint(Answer):
    """A GeoJSON Point."""

    type: Literal["Point"]
    coordinates: Position3D


class PhaseProperties(Answer):
    """RFC 3339 times and winds (m/s) of the positions of a phase, nested like these."""

    phase: Literal["ascent", "coast", "descent"]
    times: list[str] | list[list[str]]
    u_wind: list[float] | list[list[float]]
    v_wind: list[float] | list[list[float]]


class PhaseFeature(Answer):
    """One phase of a flight."""

    type: Literal["Feature"]
    geometry: LineString | MultiLineString
    properties: PhaseProperties


class MarkProperties(Answer):
    """What is marked, when (RFC 3339) and at which altitude (m)."""

    name: Literal["launch", "burst", "float", "descent", "landing", "end"]
    time: str
    altitude: float


class MarkFeature(Answer):
    """A marked point of a flight."""

    type: Literal["Feature"]
    geometry: GeoPoint
    properties: MarkProperties


class GeoProvenance(Answer):
    """What a flight was made from, and warnings for the user."""

    title: str
    cycle: str
    member: int
    product: str
    demo: bool
    warnings: list[str]


class FlightGeoJSON(Answer):
    """A flight as a GeoJSON FeatureCollection: a line for each phase, then the marked points."""

    type: Literal["FeatureCollection"]
    features: list[PhaseFeature | MarkFeature]
    provenance: GeoProvenance


# Winds and ground


class Wind(Answer):
    """Eastward and northward wind, its speed (m/s) and where it comes from (degrees clockwise from north)."""

    u: float
    v: float
    speed: float
    direction: float


class MemberWind(Wind):
    """The wind of a member."""

    model: int


class WindSpread(Answer):
    """Standard deviation over the members, m/s."""

    u: float
    v: float


class WindEnsemble(Answer):
    """The wind of all members; `mean` is that of their mean vector."""

    cycle: str = Field(description="YYYYMMDDHH, UTC")
    members: list[MemberWind]
    failed_members: list[FailedMember]
    mean: Wind
    spread: WindSpread


class WindColumn(Answer):
    """Winds at the altitudes of a profile, as in `Wind`."""

    u: list[float]
    v: list[float]
    speed: list[float]
    direction: list[float]


class MemberWindColumn(WindColumn):
    """The winds of a member."""

    model: int


class WindSpreadColumn(Answer):
    """Standard deviation over the members at the altitudes of a profile, m/s."""

    u: list[float]
    v: list[float]


class WindProfile(Answer):
    """The winds of all members over a point; `mean` is that of their mean vectors."""

    cycle: str = Field(description="YYYYMMDDHH, UTC")
    timestamp: float = Field(description="Unix seconds")
    ground: float = Field(description="ground elevation, m")
    altitudes: list[float] = Field(description="m, rising from the ground; all lists of winds go with it")
    members: list[MemberWindColumn]
    mean: WindColumn
    spread: WindSpreadColumn
    failed_members: list[FailedMember]


class Elevation(Answer):
    """Ground elevation, m."""

    elevation: float


# Balloons


class Gas(Answer):
    """A lifting gas."""

    name: str
    molar_mass: float = Field(description="kg/mol")
    cylinder_share: float = Field(description="contents of a cylinder, in those of helium")
    source: str


class Envelope(Answer):
    """A balloon without its gas; latex ones burst at their volume, the others are then full."""

    name: str
    kind: Literal["latex", "zero-pressure", "super-pressure"]
    maker: str
    mass: float = Field(description="kg")
    volume: float = Field(description="m3")
    diameter: float = Field(description="of the sphere of that volume, m; of latex the burst diameter")
    drag_coefficient: float
    pressure_limit: float | None = Field(description="Pa above the air that it stands; null of all but super-pressure")
    source: str
    discontinued: bool = Field(description="whether it may be out of production")


class Cylinder(Answer):
    """A gas cylinder, and its contents in m3 of helium at 15 C and 1013.25 hPa."""

    name: str
    contents: float
    source: str


class BalloonParts(Answer):
    """What balloons can be made of."""

    gases: list[Gas]
    envelopes: list[Envelope]
    cylinders: list[Cylinder]


class Cylinders(Answer):
    """How many cylinders the gas takes."""

    name: str
    contents: float = Field(description="m3 of this gas")
    count: int


class BalloonSpecs(Answer):
    """What a balloon does. Lift is in newtons, and in grams as a spring balance has it; altitudes are geopotential."""

    envelope: Envelope
    lift_gas: Gas
    payload_mass: float = Field(description="kg, with parachute and strings")
    volume: float = Field(description="gas, m3 at sea level (15 C, 1013.25 hPa)")
    gas_mass: float = Field(description="kg")
    cylinders: Cylinders
    gross_lift: float = Field(description="buoyancy less the weight of the gas, N")
    neck_lift: float = Field(description="gross lift less the weight of the envelope, N: what to measure at the neck")
    free_lift: float = Field(description="neck lift less the weight of the payload, N")
    gross_lift_g: float
    neck_lift_g: float
    free_lift_g: float
    launch_volume: float = Field(description="gas at the launch, m3")
    launch_diameter: float = Field(description="m")
    ascent_rate: float = Field(description="at the launch, m/s")
    mean_ascent_rate: float = Field(description="to burst or float, m/s")
    ascent_seconds: float = Field(description="from the launch to burst or float")
    burst_altitude: float | None = Field(description="geopotential m; null where it floats")
    float_altitude: float | None = Field(description="geopotential m; null where it bursts")
    geometric_altitude: float = Field(description="of burst or float, m above the sea as GPS and makers have it")
    superpressure: float = Field(description="at float, as a share of the pressure of the air")
    overpressure: float = Field(
        description="the same in Pa; the gas is as warm as the air, what the sun adds is not in it"
    )
    vented_gas_mass: float = Field(description="gas let out until float, kg")
    descent_rate: float | None = Field(description="under the parachute at sea level, m/s; null without one")


# The state of the service


class Models(Answer):
    """Members of the current cycle."""

    models: list[int]


class Which(Answer):
    """The current cycle."""

    gefs: str = Field(description="YYYYMMDDHH, UTC")


class Refreshed(Answer):
    """The current cycle after a look for a new one."""

    gefs: str = Field(description="YYYYMMDDHH, UTC")
    members: int = Field(description="how many")
    product: str


class Span(Answer):
    """RFC 3339 times."""

    start: str = Field(alias="from")
    end: str = Field(alias="to")


class Status(Answer):
    """What runs on what."""

    status: Literal["online"]
    memory_mb: float = Field(description="memory that this process shares with no other")
    simulator_cache_size: int = Field(description="wind files open in this process")
    prediction_cache_size: int = Field(description="ensemble results kept on this machine")
    active_requests: int = Field(description="ensembles that run on this machine")
    time: str = Field(description="the server's clock, RFC 3339")
    gefs_cycle: str = Field(description="YYYYMMDDHH, UTC")
    cycle_age_seconds: int = Field(description="since the start of the cycle; negative before it")
    stale: bool = Field(description="a newer cycle should be here")
    product: str
    demo: bool = Field(description="the winds are made up")
    members: list[int]
    expected_members: int = Field(description="how many there should be")
    covers: Span = Field(description="times that the winds cover")
    ground: str = Field(description="the ground elevation: name of the file, or `embedded`")
    store: Literal["folder", "s3"] = Field(description="where the wind files are from")
    warnings: list[str] = Field(description="what users must know of the winds")


class SimulatorCache(Answer):
    """Wind files that a process holds open."""

    size: int
    max_size: int
    entries: list[str]


class WindFileCache(Answer):
    """Wind files on the local disk."""

    files: int
    total_size_mb: float


class PredictionCache(Answer):
    """Ensemble results kept."""

    size: int
    max_size: int


class CacheStatus(Answer):
    """What is kept."""

    simulator_cache: SimulatorCache
    gefs_cache: WindFileCache
    prediction_cache: PredictionCache


class Health(Answer):
    """The process is alive."""

    status: Literal["ok"]


class Ready(Answer):
    """A cycle can be flown."""

    status: Literal["ready"]
    cycle: str = Field(description="YYYYMMDDHH, UTC")


class _Untitled(GenerateJsonSchema):
    """Without a title for each field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _below(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [each for child in model.__subclasses__() for each in (child, *_below(child))]


def components() -> dict[str, Schema]:
    """The schemas of all answers by their names, for the components of the OpenAPI document."""
    roots: list[type[BaseModel]] = [Flight, *_below(Answer)]
    _, schema = models_json_schema(
        [(model, "serialization") for model in roots], ref_template=REFERENCE, schema_generator=_Untitled
    )
    return {name: Schema(**definition) for name, definition in schema["$defs"].items()}
