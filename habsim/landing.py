"""Where an ensemble lands: mean, Gaussian ellipses, highest-density regions, share inside a polygon.

Everything metric happens in the azimuthal equidistant plane about the mean landing (Snyder, J. P., 1987: Map
Projections - A Working Manual, USGS PP 1395, pp. 191-202), x eastward and y northward in metres on a sphere of
6 371 009 m. The plane has no seam at the antimeridian and none at a pole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from contourpy import FillType, contour_generator

from habsim.atmosphere import EARTH_RADIUS

ELLIPSE_PROBABILITIES = (0.5, 0.9)
REGION_PROBABILITIES = (0.3, 0.5, 0.7, 0.9)

# A landing is not known better than this, however well the flights agree: the ground under the last step, and the
# gusts below the lowest level. It also keeps the density of identical or collinear landings finite.
BANDWIDTH_FLOOR_M = 25.0
# Nor is a kernel thinner than this: two landings 1000 km apart say nothing about a strip of 25 m between them.
BANDWIDTH_FLOOR_RATIO = 0.02

_GRID_STEP = 0.25  # bandwidths; a contour of a unit Gaussian is then off by less than 1 % of its radius
_GRID_MARGIN = 3.5  # bandwidths beyond the outermost landing, where its kernel has fallen to 0.2 %
_GRID_TAIL = 0.001  # share on each side of an axis that may lie outside: a stray must not coarsen the grid
_GRID_POINTS = (48, 256)  # least and most along an axis
_GRID_SHIFT = 0.3  # of a step, so that a symmetric cloud does not put many cells on the same level

_DECIMALS = 7  # of a degree: 1 cm
_SNAP_DEG = 10.0**-_DECIMALS
_SAME_DECIMALS = 9  # of a degree: two longitudes that agree so far are the same meridian
_BEND_LIMIT = 0.02  # grid steps that a contour may be moved by drawing it straight in longitude and latitude

Array = npt.NDArray[np.float64]
Ring = list[list[float]]
Polygon = list[Ring]

_WORLD = shapely.box(-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True)
class Ellipse:
    """Holds `probability` of a Gaussian with the covariance of the landings.

    Semi-axes in metres, `bearing_deg` of the major axis clockwise from north at the mean, 0..180.
    """

    probability: float
    semi_major_m: float
    semi_minor_m: float
    bearing_deg: float


@dataclass(frozen=True)
class Region:
    """The smallest region that holds `probability` of the estimated density.

    `polygons` are the coordinates of a GeoJSON MultiPolygon (RFC 7946: longitude before latitude, exterior
    rings anticlockwise, closed, cut at the antimeridian).
    """

    probability: float
    area_km2: float
    polygons: tuple[Polygon, ...]

    def to_feature(self) -> dict[str, Any]:
        """The region as a GeoJSON Feature, a Polygon where it is in one piece."""
        geometry: dict[str, Any] = {"type": "MultiPolygon", "coordinates": list(self.polygons)}
        if len(self.polygons) == 1:
            geometry = {"type": "Polygon", "coordinates": self.polygons[0]}
        properties = {"probability": self.probability, "area_km2": round(self.area_km2, 6)}
        return {"type": "Feature", "properties": properties, "geometry": geometry}


@dataclass(frozen=True)
class LandingStatistics:
    """Mean landing (degrees, longitude -180..180), ellipses and highest-density regions by rising probability."""

    latitude: float
    longitude: float
    ellipses: tuple[Ellipse, ...]
    regions: tuple[Region, ...]

    def to_dict(self) -> dict[str, Any]:
        """The `landing` object of the HTTP answer: `mean`, `ellipse`, `contours`."""
        ellipses = {
            f"{100 * ellipse.probability:.0f}": {
                "semi_major_m": round(ellipse.semi_major_m, 2),
                "semi_minor_m": round(ellipse.semi_minor_m, 2),
                "bearing_deg": round(ellipse.bearing_deg, 2),
            }
            for ellipse in self.ellipses
        }
        features = [region.to_feature() for region in self.regions]
        return {
            "mean": {"lat": round(self.latitude, _DECIMALS), "lon": round(self.longitude, _DECIMALS)},
            "ellipse": ellipses,
            "contours": {"type": "FeatureCollection", "features": features},
        }


@dataclass(frozen=True)
class Plane:
    """Azimuthal equidistant plane. `frame` (3, 3): rows are the unit vectors east, north and up at its centre."""

    frame: Array

    @classmethod
    def at(cls, up: Array) -> Plane:
        longitude = math.atan2(up[1], up[0])
        east = np.array([-math.sin(longitude), math.cos(longitude), 0.0])
        return cls(np.stack([east, np.cross(up, east), up]))

    def project(self, vectors: Array) -> Array:
        """Unit vectors (n, 3) to metres (n, 2)."""
        local = vectors @ self.frame.T
        sine = np.hypot(local[:, 0], local[:, 1])
        angle = np.arctan2(sine, local[:, 2])
        stretch = np.divide(angle, sine, out=np.ones_like(sine), where=sine > 0.0)
        result: Array = EARTH_RADIUS * stretch[:, None] * local[:, :2]
        return result

    def unproject(self, points: Array) -> Array:
        """Metres (n, 2), x eastward and y northward, to degrees (n, 2): longitude -180..180, latitude."""
        flat = points / EARTH_RADIUS
        angle = np.hypot(flat[:, 0], flat[:, 1])
        vectors = np.sinc(angle / np.pi)[:, None] * (flat @ self.frame[:2])
        vectors += np.cos(angle)[:, None] * self.frame[2]
        return _to_degrees(vectors)


@dataclass(frozen=True)
class _DensityGrid:
    """`density` (rows, columns) at `origin + column * step[0] * axes[0] + row * step[1] * axes[1]`, metres."""

    density: Array
    origin: Array
    step: Array
    axes: Array

    def to_plane(self, index: Array) -> Array:
        """Columns and rows (n, 2), fractions allowed, to metres (n, 2)."""
        result: Array = self.origin + (index * self.step) @ self.axes
        return result


def statistics(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, weight: npt.ArrayLike | None = None
) -> LandingStatistics:
    """Mean, ellipses and highest-density regions of landings.

    `latitude`, `longitude` (n,) degrees, any longitude; `weight` (n,) >= 0 on any scale, equal by default.

    The mean is the direction of the weighted mean unit vector. The ellipses assume a Gaussian: its covariance is
    that of the landings about the mean, its scale the chi-square quantile for 2 degrees of freedom,
    -2 ln(1 - p). The regions assume nothing: they are the highest-density regions (Hyndman, R. J., 1996:
    Computing and Graphing Highest Density Regions, The American Statistician 50) of a Gaussian kernel density
    estimate in the plane, at least `BANDWIDTH_FLOOR_M` wide along each principal axis, and along the minor one at
    least `BANDWIDTH_FLOOR_RATIO` of the major.

    Raises ValueError for no landings, unequal shapes, values that are not finite or out of range, weights that
    are all zero, and landings that cancel out (two antipodes), which have no mean.
    """
    degrees, share = _landings(latitude, longitude, weight)
    vectors = to_vectors(degrees)
    mean = share @ vectors
    length = float(np.linalg.norm(mean))
    if length < 1e-9:
        raise ValueError(f"the landings cancel out on the sphere: their mean vector has length {length:.1e}")
    plane = Plane.at(mean / length)
    points = plane.project(vectors)
    deviation, axes = _principal_axes(points, share)
    grid = _estimate_density(points, share, deviation, axes)
    centre = _to_degrees(mean[None, :])[0]
    return LandingStatistics(
        latitude=float(centre[1]),
        longitude=float(centre[0]),
        ellipses=tuple(_ellipse(p, deviation, axes) for p in ELLIPSE_PROBABILITIES),
        regions=_regions(grid, plane),
    )


def probability_inside(
    coordinates: Sequence[Any],
    latitude: npt.ArrayLike,
    longitude: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
) -> float:
    """Weighted share (0..1) of landings inside a polygon.

    `coordinates` as in a GeoJSON Polygon (rings of [longitude, latitude]) or MultiPolygon (a list of those);
    the first ring of a polygon is its exterior, the others are holes; direction and closing do not matter.
    Longitudes of vertices and landings may be any, 181 is -179. Landings as in `statistics`.

    An edge is straight in longitude and latitude and goes the short way round, except that an edge from one name
    of a point to another (180 to -180 on one latitude) is the whole parallel. A ring that goes round the
    globe encloses the pole on its smaller side. A landing on an edge belongs to exactly one of the two sides.

    Raises ValueError for coordinates that are not nested as above, a ring of fewer than three vertices, and what
    `statistics` refuses.
    """
    degrees, share = _landings(latitude, longitude, weight)
    inside = np.zeros(len(share), dtype=np.bool_)
    for polygon in _polygons_of(coordinates):
        within = _inside_ring(polygon[0], degrees)
        for hole in polygon[1:]:
            within &= ~_inside_ring(hole, degrees)
        inside |= within
    # Divided once more, so that all of them are exactly 1.
    return float(share[inside].sum() / share.sum())


def _landings(latitude: npt.ArrayLike, longitude: npt.ArrayLike, weight: npt.ArrayLike | None) -> tuple[Array, Array]:
    """Longitude and latitude (n, 2) of the landings, and their weights with sum 1."""
    lat = np.asarray(latitude, dtype=np.float64)
    lon = np.asarray(longitude, dtype=np.float64)
    weights = np.ones_like(lat) if weight is None else np.asarray(weight, dtype=np.float64)
    if lat.ndim != 1 or lat.size == 0 or not lat.shape == lon.shape == weights.shape:
        shapes = f"{lat.shape}, {lon.shape} and {weights.shape}"
        raise ValueError(f"latitude, longitude and weight have shapes {shapes}, all must be (n,) with n >= 1")
    _check_range("latitude", lat, -90.0, 90.0)
    _check_range("longitude", lon, -math.inf, math.inf)
    _check_range("weight", weights, 0.0, math.inf)
    if not weights.any():
        raise ValueError(f"the weights of all {weights.size} landings are 0, at least one must be greater")
    share = weights / weights.max()
    return np.column_stack([lon, lat]), share / share.sum()


def _check_range(name: str, values: Array, low: float, high: float) -> None:
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= low) & (values <= high)))
    if wrong.size:
        limit = "" if math.isinf(low) else f" and at least {low:g}"
        limit += "" if math.isinf(high) else f" and at most {high:g}"
        raise ValueError(f"{name}[{wrong[0]}] is {values[wrong[0]]}, it must be finite{limit}")


def to_vectors(degrees: Array) -> Array:
    """Longitude and latitude (n, 2), degrees, to unit vectors (n, 3)."""
    lon, lat = np.radians(degrees).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _to_degrees(vectors: Array) -> Array:
    lon = np.arctan2(vectors[:, 1], vectors[:, 0])
    lat = np.arctan2(vectors[:, 2], np.hypot(vectors[:, 0], vectors[:, 1]))
    result: Array = np.degrees(np.stack([lon, lat], axis=1))
    return result


def _principal_axes(points: Array, share: Array) -> tuple[Array, Array]:
    """Standard deviations (2,) along, and unit vectors (2, 2) of, the major and the minor axis about the origin.

    The covariance is made unbiased with 1 - sum of squared weights, as for independent draws. Two equal weights
    give the largest correction there is: beyond it, one heavy landing would let a weightless one set the spread.
    """
    covariance = (points * share[:, None]).T @ points / max(1.0 - float(share @ share), 0.5)
    middle = 0.5 * (covariance[0, 0] + covariance[1, 1])
    difference = 0.5 * (covariance[0, 0] - covariance[1, 1])
    radius = math.hypot(difference, covariance[0, 1])
    angle = 0.5 * math.atan2(covariance[0, 1], difference)
    major = [math.cos(angle), math.sin(angle)]
    # Right-handed, so that rings keep their direction.
    axes = np.array([major, [-major[1], major[0]]])
    return np.sqrt([middle + radius, max(middle - radius, 0.0)]), axes


def _ellipse(probability: float, deviation: Array, axes: Array) -> Ellipse:
    scale = math.sqrt(-2.0 * math.log1p(-probability))
    bearing = math.degrees(math.atan2(axes[0, 0], axes[0, 1])) % 180.0
    return Ellipse(probability, scale * float(deviation[0]), scale * float(deviation[1]), bearing)


def _estimate_density(points: Array, share: Array, deviation: Array, axes: Array) -> _DensityGrid:
    """Gaussian kernel density of the landings on a grid along their principal axes, any scale.

    The kernel has the shape of the covariance times the square of n^(-1/6), which in two dimensions is both
    Scott's and Silverman's factor (Silverman, B. W., 1986: Density Estimation for Statistics and Data Analysis,
    eq. 4.14); n is the effective number of landings, 1 / sum of squared weights (Kish). In its own axes the
    kernel is a product, so that the sum over all landings is the product of two matrices.
    """
    bandwidth = np.maximum(deviation * float(share @ share) ** (1.0 / 6.0), BANDWIDTH_FLOOR_M)
    bandwidth[1] = max(bandwidth[1], BANDWIDTH_FLOOR_RATIO * bandwidth[0])
    along = points @ axes.T
    columns, rows = (_grid_axis(along[:, k], share, float(bandwidth[k])) for k in range(2))
    across = np.exp(-0.5 * ((rows[:, None] - along[:, 1]) / bandwidth[1]) ** 2) * share
    density = across @ np.exp(-0.5 * ((columns[:, None] - along[:, 0]) / bandwidth[0]) ** 2).T
    step = np.array([columns[1] - columns[0], rows[1] - rows[0]])
    # Beyond the antipode the plane covers the sphere a second time. One cell short of it, because a contour lies
    # up to one cell outside the last point that is higher than it.
    limit = np.pi * EARTH_RADIUS - float(np.hypot(*step))
    if math.hypot(float(np.abs(columns).max()), float(np.abs(rows).max())) > limit:
        density[np.hypot(columns, rows[:, None]) > limit] = 0.0
    return _DensityGrid(density, np.array([columns[0], rows[0]]) @ axes, step, axes)


def _grid_axis(along: Array, share: Array, bandwidth: float) -> Array:
    ends = np.quantile(along, [_GRID_TAIL, 1.0 - _GRID_TAIL], weights=share, method="inverted_cdf")
    low, high = ends[0] - _GRID_MARGIN * bandwidth, ends[1] + _GRID_MARGIN * bandwidth
    fewest, most = _GRID_POINTS
    count = min(max(math.ceil((high - low) / (_GRID_STEP * bandwidth)), fewest), most)
    result: Array = low + (high - low) / (count - 1) * (np.arange(count) + _GRID_SHIFT)
    return result


def _regions(grid: _DensityGrid, plane: Plane) -> tuple[Region, ...]:
    generator = contour_generator(z=grid.density, name="serial", fill_type=FillType.OuterOffset)
    bend_limit = _BEND_LIMIT * float(grid.step.min())
    regions = []
    for probability, level in zip(REGION_PROBABILITIES, _levels(grid.density), strict=True):
        area = 0.0
        polygons: list[Polygon] = []
        for points, offsets in zip(*generator.filled(level, np.inf), strict=True):
            rings = np.split(grid.to_plane(points), np.asarray(offsets[1:-1], dtype=np.intp))
            areas = [_signed_area(ring) for ring in rings]
            area += sum(areas)
            polygons += _on_sphere([_to_sphere(ring, plane, bend_limit) for ring in rings], areas)
        regions.append(Region(probability, area / 1e6, tuple(polygons)))
    return tuple(regions)


def _levels(density: Array) -> Array:
    """The density above which each of `REGION_PROBABILITIES` of the mass on the grid lies."""
    falling = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(falling)
    return np.interp(REGION_PROBABILITIES, mass / mass[-1], falling)


def _signed_area(ring: Array) -> float:
    """Area on the sphere, m^2, of a closed ring in the plane: positive when anticlockwise.

    The triangle from the centre to an edge covers 1/2 r^2 dtheta of the plane and R^2 (1 - cos(r/R)) dtheta of the
    sphere. Their ratio hardly changes along an edge as short as a grid cell.
    """
    x, y = ring.T
    twice = x[:-1] * y[1:] - x[1:] * y[:-1]
    middle = np.hypot(x[:-1] + x[1:], y[:-1] + y[1:]) / 2.0
    shrink = np.sinc(middle / (2.0 * np.pi * EARTH_RADIUS)) ** 2
    return 0.5 * float(twice @ shrink)


def _short_way(turn: Array) -> Array:
    """A difference of longitudes, degrees, as it is the short way round."""
    result: Array = turn - 360.0 * np.round(turn / 360.0)
    return result


def _to_sphere(ring: Array, plane: Plane, bend_limit: float) -> Array:
    """A closed ring in metres as longitude and latitude, with vertices added where an edge would bend too much.

    That is close to a pole: on an edge that spans an angle at the pole, the line straight in longitude and latitude
    and the line straight in the plane part by no more than about length x angle / 4.
    """
    while True:
        degrees = plane.unproject(ring)
        turn = np.radians(np.abs(_short_way(np.diff(degrees[:, 0]))))
        length = np.hypot(*np.diff(ring, axis=0).T)
        bent = np.flatnonzero(length * turn > 4.0 * bend_limit)
        if not bent.size:
            break
        ring = np.insert(ring, bent + 1, (ring[bent] + ring[bent + 1]) / 2.0, axis=0)
    return np.round(degrees, _DECIMALS)


def _on_sphere(rings: list[Array], areas: list[float]) -> list[Polygon]:
    """GeoJSON polygons of the region to the left of all `rings` (longitude, latitude, closed; `areas` signed, m^2)."""
    if all(np.abs(np.diff(ring[:, 0])).max() <= 180.0 for ring in rings):
        polygon = shapely.Polygon(rings[0], rings[1:])
        if polygon.exterior.is_ccw and shapely.is_valid(polygon):
            return [[ring.tolist() for ring in rings]]
    region = _left_of(rings[0], areas[0])
    for hole, area in zip(rings[1:], areas[1:], strict=True):
        region = _areas(shapely.intersection(region, _left_of(hole, area), grid_size=_SNAP_DEG))
    # The edge along a pole is 360 degrees long.
    parts = shapely.get_parts(shapely.orient_polygons(shapely.segmentize(region, 90.0)))
    return [[shapely.get_coordinates(ring).tolist() for ring in (p.exterior, *p.interiors)] for p in parts]


def _areas(geometry: shapely.Geometry) -> shapely.Geometry:
    """The polygons of a geometry: where two areas touch, their intersection also has points and lines."""
    return shapely.MultiPolygon([part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"])


def _left_of(ring: Array, area: float) -> shapely.Geometry:
    """The part of the longitude-latitude rectangle to the left of a ring, which may cross the antimeridian.

    Unrolled, a ring round a pole ends 360 degrees from its start, and is closed over the pole to its left. It
    starts at its vertex closest to that pole, so that nothing lies between the vertex and the pole.
    """
    turn = _short_way(np.diff(ring[:, 0]))
    rounds = round(float(turn.sum()) / 360.0)
    if rounds:
        start = int(np.argmax(rounds * ring[:-1, 1]))
        ring, turn = np.roll(ring[:-1], -start, axis=0), np.roll(turn, -start)
        ring = np.vstack([ring, ring[:1]])
    lon = ring[0, 0] + np.append(0.0, np.cumsum(turn))
    unrolled = np.column_stack([lon, ring[:, 1]])
    if rounds:
        over_pole = [[lon[-1], rounds * 90.0], [lon[0], rounds * 90.0], unrolled[0]]
        unrolled = np.vstack([unrolled, over_pole])
    first, last = math.floor((lon.min() + 180.0) / 360.0), math.floor((lon.max() + 180.0) / 360.0)
    copies = [shapely.Polygon(unrolled - [360.0 * k, 0.0]) for k in range(first, last + 1)]
    if not shapely.is_valid(copies[0]):
        copies = shapely.make_valid(copies, method="structure", keep_collapsed=False)
    pieces = shapely.intersection(_WORLD, copies, grid_size=_SNAP_DEG)
    left = _areas(shapely.union_all([_areas(piece) for piece in pieces], grid_size=_SNAP_DEG))
    if _is_inside_left(unrolled, area):
        return left
    return _areas(shapely.difference(_WORLD, left, grid_size=_SNAP_DEG))


def _is_inside_left(unrolled: Array, area: float) -> bool:
    """Whether the inside of an unrolled ring is what lies to its left, which measures `area` or the globe less it.

    Its direction would not tell: a ring a few centimetres wide, or one that bends close to a pole, may cross itself.
    """
    globe = 4.0 * np.pi * EARTH_RADIUS**2
    lon, lat = np.radians(unrolled).T
    inside = EARTH_RADIUS**2 * abs(float(np.diff(lon) @ np.sin((lat[1:] + lat[:-1]) / 2.0)))
    left = area % globe
    return abs(inside - left) < abs(globe - inside - left)


def _polygons_of(coordinates: Sequence[Any]) -> list[list[Array]]:
    """Polygons, each a list of rings (n, 2), of GeoJSON Polygon or MultiPolygon coordinates."""
    try:
        polygons = coordinates if np.ndim(coordinates[0][0][0]) else [coordinates]
        return [[_checked_ring(ring) for ring in polygon] for polygon in polygons if len(polygon)]
    except (TypeError, IndexError, KeyError) as error:
        raise ValueError("coordinates are not those of a GeoJSON Polygon or MultiPolygon") from error


def _checked_ring(positions: Sequence[Any]) -> Array:
    ring = np.array([position[:2] for position in positions], dtype=np.float64)
    if ring.ndim != 2 or ring.shape[1] != 2 or len(np.unique(ring, axis=0)) < 3:
        raise ValueError(f"a ring has shape {ring.shape}, it needs 3 different [longitude, latitude] or more")
    _check_range("longitude of ring", ring[:, 0], -math.inf, math.inf)
    _check_range("latitude of ring", ring[:, 1], -90.0, 90.0)
    return np.round(ring, _SAME_DECIMALS)


def _inside_ring(ring: Array, degrees: Array) -> npt.NDArray[np.bool_]:
    """Whether each landing (n, 2) is inside a ring: the meridian north of it crosses the ring an odd number of times.

    Only longitudes of one normal form are compared, so that a meridian through a vertex crosses one of its edges.
    """
    if np.any(ring[0] != ring[-1]):
        ring = np.vstack([ring, ring[:1]])
    turn = np.diff(ring[:, 0])
    whole_parallel = (np.diff(ring[:, 1]) == 0.0) & (np.abs(turn) == 360.0)
    turn = np.where(whole_parallel, turn, _short_way(turn))
    lon, point_lon = _normal_longitude(ring[:, 0]), _normal_longitude(degrees[:, :1])
    eastward = turn > 0.0
    west, east = np.where(eastward, lon[:-1], lon[1:]), np.where(eastward, lon[1:], lon[:-1])
    after, before = point_lon >= west, point_lon < east
    meets = np.where(west <= east, after & before, after | before) | whole_parallel
    point, edge = np.nonzero(meets)
    way = (point_lon[point, 0] - west[edge]) % 360.0 / np.abs(turn[edge])
    start, end = ring[:-1, 1], ring[1:, 1]
    south, north = np.where(eastward, start, end)[edge], np.where(eastward, end, start)[edge]
    crossing = south + (north - south) * way
    # An edge along the pole is north even of the pole.
    above = (crossing > degrees[point, 1]) | (crossing >= 90.0)
    odd = np.bincount(point[above], minlength=len(degrees)) % 2 == 1
    goes_round = round(float(turn.sum()) / 360.0) != 0
    holds_north_pole = goes_round and float(turn @ np.sin(np.radians(start + end) / 2.0)) * turn.sum() > 0.0
    result: npt.NDArray[np.bool_] = odd != holds_north_pole
    return result


def _normal_longitude(longitude: Array) -> Array:
    """Degrees, -180..180, the very same number for all names of a meridian rounded to `_SAME_DECIMALS`."""
    return np.round(longitude - 360.0 * np.floor((longitude + 180.0) / 360.0), _SAME_DECIMALS)
