"""Landing statistics against closed forms, independent samples and the rules of GeoJSON."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from habsim.landing import (
    BANDWIDTH_FLOOR_M,
    BANDWIDTH_FLOOR_RATIO,
    LandingStatistics,
    probability_inside,
    statistics,
)

Array = npt.NDArray[np.float64]

RADIUS = 6_371_009.0
CENTRES = {
    "mid-latitude": (40.0, -105.0),
    "antimeridian": (10.0, 180.0),
    "just east of the antimeridian": (60.0, -179.9),
    "north pole": (90.0, 0.0),
    "close to the north pole": (89.8, 77.0),
    "south pole": (-90.0, 0.0),
    "south pole beside": (-89.9, -120.0),
}
everywhere = pytest.mark.parametrize("centre", CENTRES.values(), ids=CENTRES.keys())


def place(points: Array, centre: tuple[float, float]) -> tuple[Array, Array]:
    """Latitude and longitude of points (n, 2) given by metres east and north along great circles from a centre."""
    lat, lon = np.radians(centre)
    up = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    distance = np.hypot(points[:, 0], points[:, 1])
    bearing = np.arctan2(points[:, 0], points[:, 1])
    direction = np.outer(np.sin(bearing), east) + np.outer(np.cos(bearing), north)
    arc = (distance / RADIUS)[:, None]
    x, y, z = (np.cos(arc) * up + np.sin(arc) * direction).T
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def gaussian(seed: int, count: int, major: float, minor: float, bearing: float) -> Array:
    """A sample (n, 2), metres, whose major axis has a bearing in degrees."""
    along, across = np.random.default_rng(seed).normal(size=(2, count))
    turn = math.radians(bearing)
    axis = np.array([math.sin(turn), math.cos(turn)])
    side = np.array([math.cos(turn), -math.sin(turn)])
    return major * np.outer(along, axis) + minor * np.outer(across, side)


def blobs(seed: int, count: int, distance: float, spread: float) -> Array:
    """Two clumps (n, 2), `distance` metres apart."""
    points = spread * np.random.default_rng(seed).normal(size=(count, 2))
    points[::2, 0] += distance
    return points


def circle(count: int, radius: float) -> Array:
    turn = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    return radius * np.column_stack([np.cos(turn), np.sin(turn)])


def draws_from_kernels(seed: int, points: Array, count: int) -> Array:
    """A sample of the kernel density estimate itself: a landing, and noise of n^(-1/3) times the covariance."""
    rng = np.random.default_rng(seed)
    covariance = np.cov(points.T) * len(points) ** (-1.0 / 3.0)
    return points[rng.integers(len(points), size=count)] + rng.multivariate_normal([0.0, 0.0], covariance, count)


def features(result: LandingStatistics) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = result.to_dict()["contours"]["features"]
    return found


def share_in(feature: dict[str, Any], lat: Array, lon: Array) -> float:
    """Share inside by planar geometry, which RFC 7946 makes right for cut polygons."""
    geometry = shapely.geometry.shape(feature["geometry"])
    shapely.prepare(geometry)
    return float(np.mean(shapely.contains_xy(geometry, lon, lat)))


def area_on_sphere_km2(geometry: shapely.Geometry) -> float:
    """Sum of (sin of the mean latitude) x (change of longitude) along all rings (Gauss-Green on the sphere)."""
    total = 0.0
    for part in shapely.get_parts(shapely.orient_polygons(geometry)):
        for ring in (part.exterior, *part.interiors):
            lon, lat = np.radians(shapely.get_coordinates(ring)).T
            total -= float(np.sum(np.sin((lat[1:] + lat[:-1]) / 2.0) * np.diff(lon)))
    return total * (RADIUS / 1000.0) ** 2


def assert_rfc_7946(feature: dict[str, Any]) -> None:
    geometry = shapely.geometry.shape(feature["geometry"])
    assert not geometry.is_empty
    assert geometry.is_valid, shapely.is_valid_reason(geometry)
    for part in shapely.get_parts(geometry):
        assert part.exterior.is_ccw
        assert not any(hole.is_ccw for hole in part.interiors)
        for ring in (part.exterior, *part.interiors):
            lon, lat = shapely.get_coordinates(ring).T
            assert len(lon) >= 4
            assert (lon[0], lat[0]) == (lon[-1], lat[-1])
            assert np.abs(lon).max() <= 180.0
            assert np.abs(lat).max() <= 90.0
            assert np.abs(np.diff(lon)).max() <= 180.0


def assert_nested(result: LandingStatistics) -> None:
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in features(result)]
    for inner, outer in itertools.pairwise(shapes):
        outside = shapely.difference(inner, outer, grid_size=1e-7)
        assert area_on_sphere_km2(outside) <= 0.002 * area_on_sphere_km2(inner)
        assert area_on_sphere_km2(outer) > area_on_sphere_km2(inner)


# Mean and ellipses


@everywhere
def test_ellipse_of_a_gaussian_has_its_axes_bearing_and_coverage(centre: tuple[float, float]) -> None:
    lat, lon = place(gaussian(1, 20_000, 30_000.0, 12_000.0, 35.0), centre)
    result = statistics(lat, lon)
    sample = gaussian(2, 20_000, 30_000.0, 12_000.0, 35.0)
    for ellipse in result.ellipses:
        scale = math.sqrt(-2.0 * math.log(1.0 - ellipse.probability))
        assert ellipse.semi_major_m == pytest.approx(30_000.0 * scale, rel=0.015)
        assert ellipse.semi_minor_m == pytest.approx(12_000.0 * scale, rel=0.015)
        turn = math.radians(ellipse.bearing_deg)
        along = sample @ [math.sin(turn), math.cos(turn)] / ellipse.semi_major_m
        across = sample @ [math.cos(turn), -math.sin(turn)] / ellipse.semi_minor_m
        if abs(centre[0]) < 80.0:  # at a pole, north at the centre is not north at the mean
            assert ellipse.bearing_deg == pytest.approx(35.0, abs=1.0)
            assert np.mean(along**2 + across**2 <= 1.0) == pytest.approx(ellipse.probability, abs=0.015)


@pytest.mark.parametrize("bearing", [0.0, 20.0, 90.0, 135.0, 179.0])
def test_bearing_is_clockwise_from_north(bearing: float) -> None:
    turn = math.radians(bearing)
    points = np.outer([-2000.0, -500.0, 500.0, 2000.0], [math.sin(turn), math.cos(turn)])
    ellipse = statistics(*place(points, (52.0, 5.0))).ellipses[0]
    assert (ellipse.bearing_deg - bearing + 90.0) % 180.0 == pytest.approx(90.0, abs=1e-3)
    assert 0.0 <= ellipse.bearing_deg < 180.0


@everywhere
def test_ellipse_of_a_cross_is_the_closed_form(centre: tuple[float, float]) -> None:
    cross = np.array([[3000.0, 0.0], [-3000.0, 0.0], [0.0, 1000.0], [0.0, -1000.0]])
    result = statistics(*place(cross, centre))
    # Unbiased variance of two landings at +-a and two at 0: 2 a^2 / 3.
    scale = math.sqrt(2.0 * math.log(10.0)) * math.sqrt(2.0 / 3.0)
    assert result.ellipses[1].semi_major_m == pytest.approx(3000.0 * scale, rel=1e-6)
    assert result.ellipses[1].semi_minor_m == pytest.approx(1000.0 * scale, rel=1e-6)


@everywhere
def test_mean_is_the_centre_of_symmetry(centre: tuple[float, float]) -> None:
    result = statistics(*place(circle(8, 500_000.0), centre))
    assert result.latitude == pytest.approx(centre[0], abs=1e-7)
    if abs(centre[0]) < 90.0:
        assert (result.longitude - centre[1] + 180.0) % 360.0 == pytest.approx(180.0, abs=1e-6)
    assert abs(result.longitude) <= 180.0


def test_weight_counts_like_repetition_in_the_mean_and_scale_does_not_matter() -> None:
    lat, lon = [10.0, 10.3, 10.1], [179.9, -179.8, 180.4]
    weighted = statistics(lat, lon, [1.0, 3.0, 2.0])
    repeated = statistics(np.repeat(lat, [1, 3, 2]), np.repeat(lon, [1, 3, 2]))
    assert weighted.latitude == pytest.approx(repeated.latitude, abs=1e-12)
    assert weighted.longitude == pytest.approx(repeated.longitude, abs=1e-12)
    assert weighted.to_dict() == statistics(lat, lon, [0.5, 1.5, 1.0]).to_dict()


def test_landing_without_weight_is_as_if_it_were_not_there() -> None:
    lat, lon = place(gaussian(3, 50, 9000.0, 4000.0, 70.0), (47.0, 8.0))
    with_stray = statistics(np.append(lat, -30.0), np.append(lon, 100.0), np.append(np.ones(50), 0.0))
    assert with_stray.to_dict() == statistics(lat, lon).to_dict()


def test_stray_of_hardly_any_weight_changes_hardly_anything() -> None:
    lat, lon = place(gaussian(3, 50, 9000.0, 4000.0, 70.0), (47.0, 8.0))
    plain = statistics(lat, lon)
    stray = statistics(np.append(lat, 60.0), np.append(lon, 40.0), np.append(np.ones(50), 1e-9))
    for region, expected in zip(stray.regions, plain.regions, strict=True):
        assert region.area_km2 == pytest.approx(expected.area_km2, rel=1e-3)
    one_heavy = statistics([47.0, 60.0], [8.0, 40.0], [1.0, 1e-9])
    assert one_heavy.ellipses[0].semi_major_m < 500.0


# Regions


@everywhere
@pytest.mark.parametrize(
    "points",
    [
        gaussian(4, 441, 30_000.0, 12_000.0, 35.0),
        gaussian(4, 21, 30_000.0, 900.0, 120.0),
        blobs(4, 441, 120_000.0, 8_000.0),
        gaussian(4, 200, 700_000.0, 300_000.0, 10.0),
    ],
    ids=["gaussian", "narrow", "two clumps", "wide"],
)
def test_region_holds_its_share_of_the_density(centre: tuple[float, float], points: Array) -> None:
    result = statistics(*place(points, centre))
    lat, lon = place(draws_from_kernels(5, points, 40_000), centre)
    for feature in features(result):
        share = share_in(feature, lat, lon)
        assert share == pytest.approx(feature["properties"]["probability"], abs=0.015)
        coordinates = feature["geometry"]["coordinates"]
        assert probability_inside(coordinates, lat, lon) == pytest.approx(share, abs=1e-4)
    assert_nested(result)


@everywhere
def test_area_of_a_gaussian_is_the_closed_form(centre: tuple[float, float]) -> None:
    count, major, minor = 20_000, 30.0, 12.0
    result = statistics(*place(gaussian(6, count, 1000.0 * major, 1000.0 * minor, 35.0), centre))
    smoothing = 1.0 + count ** (-1.0 / 3.0)
    for region in result.regions:
        expected = 2.0 * math.pi * major * minor * -math.log(1.0 - region.probability) * smoothing
        assert region.area_km2 == pytest.approx(expected, rel=0.03)


@everywhere
@pytest.mark.parametrize(
    "points",
    [gaussian(7, 441, 30_000.0, 12_000.0, 35.0), gaussian(7, 441, 900_000.0, 400_000.0, 80.0)],
    ids=["30 km", "900 km"],
)
def test_area_is_that_of_the_polygons_on_the_sphere(centre: tuple[float, float], points: Array) -> None:
    result = statistics(*place(points, centre))
    for feature in features(result):
        expected = area_on_sphere_km2(shapely.geometry.shape(feature["geometry"]))
        assert feature["properties"]["area_km2"] == pytest.approx(expected, rel=2e-3)


@everywhere
def test_the_same_cloud_has_the_same_statistics_everywhere(centre: tuple[float, float]) -> None:
    points = gaussian(8, 300, 40_000.0, 10_000.0, 60.0)
    there, here = statistics(*place(points, centre)), statistics(*place(points, (0.0, 0.0)))
    for moved, expected in zip(there.regions, here.regions, strict=True):
        # The grid may lie the other way round on the cloud.
        assert moved.area_km2 == pytest.approx(expected.area_km2, rel=0.015)
    for ellipse, original in zip(there.ellipses, here.ellipses, strict=True):
        assert ellipse.semi_major_m == pytest.approx(original.semi_major_m, rel=1e-6)
        assert ellipse.semi_minor_m == pytest.approx(original.semi_minor_m, rel=1e-6)


def test_names_of_longitudes_do_not_matter() -> None:
    lat, lon = place(gaussian(9, 60, 40_000.0, 10_000.0, 60.0), (5.0, 179.9))
    renamed = np.where(np.arange(60) % 2 == 0, lon + 360.0, lon % 360.0)
    first, second = statistics(lat, lon), statistics(lat, renamed)
    assert first.longitude == pytest.approx(second.longitude, abs=1e-9)
    for region, other in zip(first.regions, second.regions, strict=True):
        assert region.area_km2 == pytest.approx(other.area_km2, rel=1e-6)


def test_two_clumps_give_two_polygons_and_one_gives_one() -> None:
    apart = features(statistics(*place(blobs(10, 441, 200_000.0, 5_000.0), (50.0, 0.0))))
    assert [feature["geometry"]["type"] for feature in apart] == ["MultiPolygon"] * 4
    assert len(apart[1]["geometry"]["coordinates"]) == 2
    single = features(statistics(*place(gaussian(10, 441, 20_000.0, 20_000.0, 0.0), (50.0, 0.0))))
    assert single[1]["geometry"]["type"] == "Polygon"


def test_heavy_clump_has_the_region_to_itself() -> None:
    points = blobs(10, 400, 200_000.0, 5_000.0)
    heavy = points[:, 0] > 100_000.0
    lat, lon = place(points, (50.0, 0.0))
    result = statistics(lat, lon, np.where(heavy, 9.0, 1.0))
    for feature in features(result)[:3]:
        assert share_in(feature, lat[~heavy], lon[~heavy]) == 0.0
        assert share_in(feature, lat[heavy], lon[heavy]) > 0.3
    assert result.longitude == pytest.approx(float(np.average(lon, weights=np.where(heavy, 9, 1))), abs=0.02)


@everywhere
def test_landings_on_a_circle_leave_a_hole(centre: tuple[float, float]) -> None:
    result = statistics(*place(circle(2000, 50_000.0), centre))
    feature = features(result)[1]
    assert_rfc_7946(feature)
    at_centre = place(np.array([[0.0, 0.0], [3000.0, 2000.0]]), centre)
    on_circle = place(circle(50, 50_000.0), centre)
    assert share_in(feature, *at_centre) == 0.0
    assert share_in(feature, *on_circle) > 0.9


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_region_round_a_pole_reaches_the_pole(pole: float) -> None:
    result = statistics(*place(gaussian(11, 100, 20_000.0, 20_000.0, 0.0), (pole, 0.0)))
    for feature in features(result):
        geometry = shapely.geometry.shape(feature["geometry"])
        west, south, east, north = geometry.bounds
        assert (west, east) == (-180.0, 180.0)
        assert (north if pole > 0.0 else south) == pole


def test_region_across_the_antimeridian_is_cut_there() -> None:
    result = statistics(*place(gaussian(12, 100, 20_000.0, 20_000.0, 0.0), (20.0, 180.0)))
    for feature in features(result):
        parts = shapely.get_parts(shapely.geometry.shape(feature["geometry"]))
        assert sorted(part.bounds[0] > 0.0 for part in parts) == [False, True]
        assert max(part.bounds[2] for part in parts) == 180.0
        assert min(part.bounds[0] for part in parts) == -180.0


clouds = st.builds(
    lambda seed, count, major, ratio: gaussian(seed, count, major, major * ratio, 360.0 * (seed % 7) / 7.0),
    st.integers(0, 2**32 - 1),
    st.integers(1, 60),
    st.floats(1.0, 6.5).map(lambda power: 10.0**power),
    st.sampled_from([0.0, 1e-3, 0.2, 1.0]),
)
latitudes = st.one_of(st.floats(-90.0, 90.0), st.sampled_from([-90.0, 90.0, 89.999, -89.999, 0.0]))
longitudes = st.one_of(st.floats(-540.0, 540.0), st.sampled_from([-180.0, 180.0, 0.0, 179.9999, 360.0]))


@settings(max_examples=200, deadline=None)
@given(points=clouds, lat=latitudes, lon=longitudes)
@example(points=blobs(1, 30, 4_000_000.0, 1_000_000.0), lat=0.0, lon=0.0)
@example(points=np.zeros((3, 2)), lat=90.0, lon=0.0)
@example(points=circle(40, 200.0), lat=-90.0, lon=0.0)
@example(points=circle(40, 9_000_000.0), lat=45.0, lon=100.0)
def test_contours_are_valid_geojson_wherever_and_however_large(points: Array, lat: float, lon: float) -> None:
    result = statistics(*place(points, (lat, lon)))
    json.dumps(result.to_dict(), allow_nan=False)
    for feature in features(result):
        assert_rfc_7946(feature)
    assert_nested(result)
    areas = [region.area_km2 for region in result.regions]
    assert areas == sorted(areas)
    assert areas[0] > 0.0


@pytest.mark.parametrize("seed", range(8))
def test_landings_all_over_the_globe_give_valid_regions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1.0, 1.0, 300))), rng.uniform(-180.0, 180.0, 300)
    result = statistics(lat, lon)
    for feature in features(result):
        assert_rfc_7946(feature)
        expected = area_on_sphere_km2(shapely.geometry.shape(feature["geometry"]))
        assert feature["properties"]["area_km2"] == pytest.approx(expected, rel=0.02)
    assert_nested(result)


def ragged(seed: int) -> tuple[Array, Array, Array]:
    """Latitude, longitude and very unequal weights of a clump, a strip or a circle, often beside a pole."""
    rng = np.random.default_rng(seed)
    count, size = int(rng.integers(2, 60)), 10.0 ** rng.uniform(2.0, 6.0)
    points = size * rng.normal(size=(count, 2)) * [1.0, rng.choice([0.0, 0.05, 1.0])]
    points = points if rng.random() < 0.5 else circle(count, size)
    lat = math.copysign(90.0 - rng.choice([0.0, size / 111_000.0, 50.0]), rng.choice([-1.0, 1.0]))
    return *place(points, (lat, rng.uniform(-180.0, 180.0))), 10.0 ** rng.uniform(-3.0, 0.0, count)


# Of the later seeds, some give a contour that touches itself when rounded, with and without crossing the antimeridian.
@pytest.mark.parametrize("seed", [*range(1, 160), 228, 229, 244, 1343, 1484, 1620, 1673, 2603, 2717, 2837, 6189, 21898])
def test_ragged_clouds_give_valid_regions_of_their_area(seed: int) -> None:
    result = statistics(*ragged(seed))
    for feature in features(result):
        assert_rfc_7946(feature)
        expected = area_on_sphere_km2(shapely.geometry.shape(feature["geometry"]))
        assert feature["properties"]["area_km2"] == pytest.approx(expected, rel=0.01)
    assert_nested(result)


def test_landings_round_the_antipode_give_valid_regions() -> None:
    here, there = gaussian(16, 100, 500_000.0, 500_000.0, 0.0), gaussian(17, 80, 500_000.0, 500_000.0, 0.0)
    here_lat, here_lon = place(here, (10.0, 20.0))
    there_lat, there_lon = place(there, (-10.0, -160.0))
    result = statistics(np.append(here_lat, there_lat), np.append(here_lon, there_lon))
    for feature in features(result):
        assert_rfc_7946(feature)
        expected = area_on_sphere_km2(shapely.geometry.shape(feature["geometry"]))
        assert feature["properties"]["area_km2"] == pytest.approx(expected, rel=0.02)
    assert_nested(result)


# Degenerate clouds


@everywhere
@pytest.mark.parametrize("count", [1, 2, 441])
def test_identical_landings_give_discs_of_the_bandwidth_floor(centre: tuple[float, float], count: int) -> None:
    result = statistics(*place(np.zeros((count, 2)), centre))
    assert result.latitude == pytest.approx(centre[0], abs=1e-9)
    for ellipse in result.ellipses:
        assert ellipse.semi_major_m == pytest.approx(0.0, abs=1e-6)
        assert math.isfinite(ellipse.bearing_deg)
    for region, feature in zip(result.regions, features(result), strict=True):
        expected = 2.0 * math.pi * (BANDWIDTH_FLOOR_M / 1000.0) ** 2 * -math.log(1.0 - region.probability)
        assert region.area_km2 == pytest.approx(expected, rel=0.015)
        assert_rfc_7946(feature)


def test_strip_between_far_landings_grows_with_their_distance() -> None:
    near, far = (np.array([[0.0, distance], [0.0, -distance]]) for distance in (10_000.0, 100_000.0))
    areas = [statistics(*place(points, (0.0, 0.0))).regions[1].area_km2 for points in (near, far)]
    assert areas[1] == pytest.approx(100.0 * areas[0], rel=1e-3)


@everywhere
@pytest.mark.parametrize("count", [2, 3, 21])
def test_collinear_landings_give_a_narrow_strip(centre: tuple[float, float], count: int) -> None:
    points = np.outer(np.linspace(-5000.0, 5000.0, count), [0.6, 0.8])
    result = statistics(*place(points, centre))
    assert result.ellipses[0].semi_minor_m < 1.0
    for feature in features(result):
        assert_rfc_7946(feature)
    # The kernels reach 2.15 bandwidths to each side for 90 %, and as far beyond both ends.
    wide = max(BANDWIDTH_FLOOR_M, BANDWIDTH_FLOOR_RATIO * 7100.0) / 1000.0
    assert 0.0 < result.regions[3].area_km2 < 2.0 * 2.15 * wide * 2.0 * (5.0 + 2.15 * 7.1)


@pytest.mark.parametrize(
    ("lat", "lon", "weight", "message"),
    [
        ([1.0, math.nan], [2.0, 3.0], None, r"latitude\[1\] is nan"),
        ([1.0, 2.0], [math.inf, 3.0], None, r"longitude\[0\] is inf"),
        ([1.0, 90.5], [2.0, 3.0], None, r"latitude\[1\] is 90.5.* at most 90"),
        ([1.0, 2.0], [2.0, 3.0], [1.0, -0.5], r"weight\[1\] is -0.5.* at least 0"),
        ([1.0, 2.0], [2.0, 3.0], [1.0, math.nan], r"weight\[1\] is nan"),
        ([1.0, 2.0], [2.0, 3.0], [0.0, 0.0], "weights of all 2 landings are 0"),
        ([1.0, 2.0], [2.0], None, "shapes"),
        ([], [], None, "shapes"),
        ([[1.0]], [[1.0]], None, "shapes"),
    ],
)
def test_values_that_mean_nothing_are_refused(lat: Any, lon: Any, weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        statistics(lat, lon, weight)
    with pytest.raises(ValueError, match=message):
        probability_inside([[[0, 0], [1, 0], [1, 1]]], lat, lon, weight)


def test_antipodes_have_no_mean() -> None:
    with pytest.raises(ValueError, match="cancel out"):
        statistics([10.0, -10.0], [20.0, -160.0])


def test_answer_has_the_shape_of_the_contract() -> None:
    answer = statistics(*place(gaussian(13, 441, 30_000.0, 10_000.0, 45.0), (40.0, -105.0))).to_dict()
    assert answer.keys() == {"mean", "ellipse", "contours"}
    assert answer["mean"].keys() == {"lat", "lon"}
    assert answer["ellipse"].keys() == {"50", "90"}
    for ellipse in answer["ellipse"].values():
        assert ellipse.keys() == {"semi_major_m", "semi_minor_m", "bearing_deg"}
    assert answer["contours"]["type"] == "FeatureCollection"
    found = answer["contours"]["features"]
    assert [feature["properties"]["probability"] for feature in found] == [0.3, 0.5, 0.7, 0.9]
    assert all(feature["type"] == "Feature" for feature in found)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


# Inside a polygon

SQUARE = [[[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0], [0.0, 0.0]]]


def test_share_inside_is_weighted() -> None:
    assert probability_inside(SQUARE, [5.0, 5.0, 15.0], [5.0, 15.0, 5.0]) == pytest.approx(1.0 / 3.0)
    assert probability_inside(SQUARE, [5.0, 5.0, 15.0], [5.0, 15.0, 5.0], [6, 1, 1]) == pytest.approx(0.75)


@pytest.mark.parametrize("turns", [-720.0, -360.0, 0.0, 360.0])
@pytest.mark.parametrize(
    "ring",
    [
        [[170, 0], [190, 0], [190, 10], [170, 10], [170, 0]],
        [[170, 0], [-170, 0], [-170, 10], [170, 10], [170, 0]],
        [[-190, 0], [-170, 0], [-170, 10], [-190, 10]],
    ],
    ids=["190", "-170", "-190 open"],
)
def test_polygon_across_the_antimeridian(ring: Any, turns: float) -> None:
    lat = [5.0] * 8
    lon = np.array([175.0, 180.0, -180.0, 181.0, -175.0, 169.0, -169.0, 0.0])
    expected = [1, 1, 1, 1, 1, 0, 0, 0]
    moved = [[x + turns, y] for x, y in ring]
    assert [probability_inside([moved], lat[:1], [x]) for x in lon] == expected
    assert probability_inside([moved], lat, lon) == 5.0 / 8.0
    assert probability_inside([moved[::-1]], lat, lon + 360.0) == 5.0 / 8.0


def test_edge_along_the_antimeridian_may_change_its_name() -> None:
    ring = [[170, -1], [180, 0], [-180, 10], [170, 10], [170, -1]]
    assert [probability_inside([ring], [5.0], [lon]) for lon in (175.0, 179.0, -179.0, 0.0)] == [1, 1, 0, 0]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("hemisphere", [1.0, -1.0])
@pytest.mark.parametrize("over_pole", [False, True], ids=["ring", "ring and pole"])
def test_polygon_round_a_pole(direction: int, hemisphere: float, over_pole: bool) -> None:
    ring = [[lon, hemisphere * (60.0 + (lon % 7))] for lon in range(-180, 180, 20)]
    if over_pole:
        ring += [[180, ring[0][1]], [180, hemisphere * 90.0], [-180, hemisphere * 90.0]]
    ring.append(ring[0])
    lon = np.array([-180.0, -77.0, 0.0, 10.0, 123.0, 180.0, 355.0])
    polygon = [ring[::direction]]
    assert probability_inside(polygon, np.full(7, hemisphere * 80.0), lon) == 1.0
    assert probability_inside(polygon, np.full(7, hemisphere * 50.0), lon) == 0.0
    assert probability_inside(polygon, np.full(7, hemisphere * -80.0), lon) == 0.0
    assert probability_inside(polygon, [hemisphere * 90.0], [12.0]) == 1.0


def test_hole_round_a_pole() -> None:
    outer = [[lon, 60.0] for lon in range(-180, 180, 30)]
    hole = [[lon, 80.0] for lon in range(-180, 180, 30)]
    lat, lon = [85.0, 70.0, 90.0, 50.0], [10.0, -180.0, 0.0, 20.0]
    assert [probability_inside([outer, hole], [y], [x]) for y, x in zip(lat, lon, strict=True)] == [
        0,
        1,
        0,
        0,
    ]


def test_whole_world_and_hemispheres() -> None:
    rng = np.random.default_rng(14)
    lat, lon = rng.uniform(-90.0, 90.0, 200), rng.uniform(-180.0, 540.0, 200)
    world = [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]
    east = [[[0, -90], [180, -90], [180, 90], [0, 90], [0, -90]]]
    assert probability_inside(world, lat, lon) == pytest.approx(1.0)
    assert probability_inside(east, lat, lon) == pytest.approx(np.mean(lon % 360.0 < 180.0))


def test_hole_and_second_polygon() -> None:
    hole = [[4.0, 4.0], [6.0, 4.0], [6.0, 6.0], [4.0, 6.0], [4.0, 4.0]]
    second = [[[20.0, 0.0], [30.0, 0.0], [25.0, 10.0], [20.0, 0.0]]]
    lat, lon = [5.0, 1.0, 2.0, 9.0], [5.0, 1.0, 25.0, 21.0]
    multi = [[*SQUARE, hole], second]
    assert [probability_inside(multi, [y], [x]) for y, x in zip(lat, lon, strict=True)] == [0, 1, 1, 0]
    assert probability_inside([*SQUARE, hole], [5.0], [5.0]) == 0.0
    overlapping = [SQUARE, SQUARE]
    assert probability_inside(overlapping, [5.0], [5.0]) == 1.0


@settings(max_examples=200, deadline=None)
@given(
    lat=st.one_of(st.sampled_from([-30.0, 0.0, 30.0, 60.0, 10.0]), st.floats(-90.0, 89.999)),
    lon=st.one_of(
        st.sampled_from([-180.0, 180.0, 540.0, 50.1, 410.1, 170.1, -189.9, 530.1, 0.0]),
        st.floats(-720.0, 720.0),
    ),
    shift=st.sampled_from([0.0, 50.1, 410.1, 179.7]),
)
def test_tiles_of_the_world_share_no_landing_and_lose_none(lat: float, lon: float, shift: float) -> None:
    shares = []
    for south in range(-90, 90, 30):
        for west in range(-180, 180, 60):
            w, e = west + shift, west + 60.0 - (360.0 if west > 0 else 0.0) + shift
            tile = [[[w, south], [e, south], [e, south + 30], [w, south + 30], [w, south]]]
            shares.append(probability_inside(tile, [lat], [lon]))
    assert sum(shares) == 1.0


@pytest.mark.parametrize("landing_turns", [0.0, -360.0, 720.0])
@pytest.mark.parametrize("tile_turns", [0.0, 360.0, -720.0])
def test_landing_on_a_border_is_in_one_tile_by_any_name(landing_turns: float, tile_turns: float) -> None:
    for border in np.arange(-179.9, 180.0, 7.3):
        west = [[border - 9.9, 0.0], [border, 0.0], [border, 9.0], [border - 9.9, 9.0]]
        east = [[border, 0.0], [border + 9.9, 0.0], [border + 9.9, 9.0], [border, 9.0]]
        renamed = [[lon + tile_turns, lat] for lon, lat in east]
        landing = [5.0], [border + landing_turns]
        assert probability_inside([west], *landing) + probability_inside([renamed], *landing) == 1.0


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    centre=st.tuples(st.floats(-60.0, 60.0), st.floats(-720.0, 720.0)),
)
def test_star_agrees_with_planar_geometry_after_any_turn_of_the_globe(seed: int, centre: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    turn = np.sort(rng.uniform(0.0, 2.0 * np.pi, 12))
    star = (rng.uniform(2.0, 25.0, 12) * np.array([np.cos(turn), np.sin(turn)])).T
    points = rng.uniform(-25.0, 25.0, (200, 2))
    expected = np.mean(shapely.contains_xy(shapely.Polygon(star), points[:, 0], points[:, 1]))
    ring = star + np.array([centre[1], centre[0]])
    ring[:, 0] = (ring[:, 0] + 180.0) % 360.0 - 180.0
    share = probability_inside([ring.tolist()], points[:, 1] + centre[0], points[:, 0] + centre[1])
    assert share == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        ([], "not those of a GeoJSON"),
        ([[0.0, 1.0]], "not those of a GeoJSON"),
        (5.0, "not those of a GeoJSON"),
        ([[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]], "3 different"),
        ([[[0.0, 0.0], [1.0, math.nan], [0.0, 1.0]]], r"latitude of ring\[1\] is nan"),
        ([[[0.0, 0.0], [1.0, 91.0], [0.0, 1.0]]], r"latitude of ring\[1\] is 91"),
    ],
)
def test_malformed_polygon_is_refused(coordinates: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        probability_inside(coordinates, [1.0], [1.0])
