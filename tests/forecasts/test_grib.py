"""What is read from GRIB2 messages, compared with the atmosphere they were encoded from."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import pytest

from forecasts.grib import Field, decode, messages, scan
from habsim.atmosphere import altitude
from habsim.errors import ConversionError
from tests import gribs
from tests.gribs import Spec


def only(message: bytes) -> Field:
    (field,) = decode(message)
    return field


def assert_is_truth(field: Field, spec: Spec) -> None:
    """Every node of `field` has the value of the analytic atmosphere there, and 360 degrees repeats 0."""
    plane = spec.plane() - (altitude(spec.level) if spec.variable == "HGT" else 0)
    assert field.values.dtype == np.float16
    assert field.values.shape == (spec.rows, spec.columns + 1)
    assert (np.abs(field.values[:, :-1] - plane) <= gribs.tolerance(spec, plane)).all()
    np.testing.assert_array_equal(field.values[:, -1], field.values[:, 0])


# --- Values, grids and orders


@pytest.mark.parametrize("west", [0, -180, 90])
@pytest.mark.parametrize("flags", list(itertools.product([0, 128], [0, 64], [0, 32], [0, 16])))
def test_every_scanning_order_gives_north_to_south_and_0_to_360(flags: tuple[int, ...], west: float) -> None:
    spec = Spec("VGRD", level=250, scanning=sum(flags), west=west)
    assert_is_truth(only(gribs.message(spec)), spec)


@pytest.mark.parametrize("variable", ["UGRD", "VGRD", "HGT"])
@pytest.mark.parametrize(
    "packing", ["grid_simple", "grid_complex", gribs.SPATIAL, "grid_ccsds", "grid_jpeg", "grid_ieee"]
)
def test_values_survive_every_packing(packing: str, variable: str) -> None:
    spec = Spec(variable, level=50, packing=packing, rows=37, columns=72)
    assert_is_truth(only(gribs.message(spec)), spec)


def test_height_is_stored_as_difference_from_the_standard_atmosphere() -> None:
    spec = Spec("HGT", level=10, values=np.full((13, 24), float(altitude(10.0)) + 123.0), packing="grid_ieee")
    np.testing.assert_allclose(only(gribs.message(spec)).values, 123.0, atol=0.1)


@pytest.mark.parametrize("packing", ["grid_simple", gribs.SPATIAL])
def test_a_field_of_one_value_everywhere_is_read(packing: str) -> None:
    message = gribs.message(values=np.full((13, 24), 12.5), packing=packing)
    assert (only(message).values == 12.5).all()


def test_a_real_height_of_9999_m_is_no_missing_value() -> None:
    values = Spec("HGT", level=270).plane()
    values[3, 4] = 9999.0
    field = only(gribs.message(Spec("HGT", level=270, values=values, packing="grid_ieee")))
    assert field.values[3, 4] == np.float16(9999.0 - altitude(270.0))


def test_grid_relative_winds_on_a_latitude_longitude_grid_are_earth_relative() -> None:
    spec = Spec(keys={"resolutionAndComponentFlags": 48 | 8}, scanning=128 | 64)
    assert_is_truth(only(gribs.message(spec)), spec)


REFUSED_GRIDS: list[tuple[dict[str, Any], str]] = [
    ({"gridType": "lambert"}, "grid is lambert"),
    ({"gridType": "rotated_ll"}, "grid is rotated_ll"),
    ({"gridType": "regular_gg"}, "grid is regular_gg"),
    ({"gridType": "polar_stereographic"}, "grid is polar_stereographic"),
    ({"latitudeOfLastGridPointInDegrees": 0}, "pole to pole: latitude 90..0,"),
    ({"latitudeOfFirstGridPointInDegrees": 89.5, "latitudeOfLastGridPointInDegrees": -89.5}, "pole to pole"),
    ({"longitudeOfLastGridPointInDegrees": 180}, "around the globe: .*longitude 0..180,"),
    ({"longitudeOfLastGridPointInDegrees": 360}, "around the globe"),
    (
        {"longitudeOfFirstGridPointInDegrees": 7.5, "longitudeOfLastGridPointInDegrees": 352.5},
        "no column at longitude 0",
    ),
    ({"scanningMode": 64}, "pole to pole: latitude -90..90"),
    ({"scanningMode": 128}, "around the globe"),
    ({"scanningMode": 8}, "shifted rows"),
]


@pytest.mark.parametrize(("keys", "reason"), REFUSED_GRIDS)
def test_a_grid_that_is_not_global_latitude_longitude_is_refused(keys: dict[str, Any], reason: str) -> None:
    message = gribs.message(keys=keys)
    for read in (scan, decode):
        with pytest.raises(ConversionError, match=reason):
            read(message)


def test_a_reduced_gaussian_grid_is_refused() -> None:
    handle = eccodes.codes_grib_new_from_samples("reduced_gg_pl_32_grib2")
    for key, value in {"discipline": 0, "parameterCategory": 2, "parameterNumber": 2}.items():
        eccodes.codes_set(handle, key, value)
    message = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    with pytest.raises(ConversionError, match="grid is reduced_gg"):
        scan(message)


def test_a_grid_of_a_variable_that_is_not_used_does_not_matter() -> None:
    assert scan(gribs.message(variable="TMP", keys={"gridType": "lambert"})) == ([], [])


# --- Gaps and limits


@pytest.mark.parametrize("packing", ["grid_simple", "grid_complex", gribs.SPATIAL])
def test_missing_values_of_a_bitmap_are_refused(packing: str) -> None:
    values = Spec().plane()
    values[5, 7] = values[6, 7] = 9999
    message = gribs.message(values=values, packing=packing, keys={"bitmapPresent": 1, "missingValue": 9999})
    with pytest.raises(ConversionError, match=r"UGRD at 500 hPa, 2026-07-24 00:00 UTC: 2 of \d+ values are missing"):
        decode(message)


def test_a_bitmap_without_gaps_is_read() -> None:
    spec = Spec(keys={"bitmapPresent": 1})
    assert_is_truth(only(gribs.message(spec)), spec)


def test_missing_values_inside_complex_packing_are_refused() -> None:
    values = np.cumsum(np.random.default_rng(0).normal(size=(5, 8))) * 3
    parts = gribs.sections(gribs.message(rows=5, columns=8, bits=4, packing=gribs.SPATIAL, values=values.reshape(5, 8)))
    representation = next(i for i, part in enumerate(parts) if i and part[4] == 5)
    # Octet 23, code table 5.5: the largest packed number of a group stands for a missing value.
    parts[representation] = parts[representation][:22] + b"\1" + parts[representation][23:]
    with pytest.raises(ConversionError, match="2 of 40 values are missing"):
        decode(gribs.from_sections(parts))


def test_a_nan_in_the_values_is_refused() -> None:
    parts = gribs.sections(gribs.message(packing="grid_ieee"))
    parts[-2] = parts[-2][:5] + b"\x7f\xc0\0\0" + parts[-2][9:]
    with pytest.raises(ConversionError, match="values are missing"):
        decode(gribs.from_sections(parts))


@pytest.mark.parametrize(("variable", "extreme"), [("UGRD", -70000.0), ("HGT", 90000.0)])
def test_a_value_beyond_float16_is_refused(variable: str, extreme: float) -> None:
    values = Spec(variable).plane()
    values[2, 2] = extreme
    with pytest.raises(ConversionError, match=f"{variable} at 500 hPa.* does not fit float16, limit 65504"):
        decode(gribs.message(variable=variable, values=values))


# --- What counts as a wind or height on an isobaric level


@pytest.mark.parametrize(
    ("pressure", "level"),
    [((85000, 0), 850), ((85, -3), 850), ((925, -2), 925), ((150, 0), 1.5), ((40, 0), 0.4), ((700000, 1), 700)],
)
def test_level_is_read_from_scaled_value_and_factor(pressure: tuple[int, int], level: float) -> None:
    assert only(gribs.message(pressure=pressure)).header.level == level


@pytest.mark.parametrize("pressure", [(1, 0), (20, 0), (39, 0), (1, 2)])
def test_levels_above_every_flight_are_left_out(pressure: tuple[int, int]) -> None:
    message = gribs.message(pressure=pressure)
    assert scan(message) == ([], ["above 0.4 hPa"])
    assert decode(message) == []


@pytest.mark.parametrize("surface", [1, 4, 6, 7, 102, 103, 104, 105, 107, 108, 109, 220])
@pytest.mark.parametrize("variable", ["UGRD", "HGT"])
def test_levels_that_are_not_isobaric_are_left_out(surface: int, variable: str) -> None:
    message = gribs.message(variable=variable, keys={"typeOfFirstFixedSurface": surface})
    assert scan(message) == ([], [f"on surface type {surface}"])
    assert decode(message) == []


def test_a_layer_between_two_levels_is_left_out() -> None:
    second = {
        "typeOfSecondFixedSurface": 100,
        "scaleFactorOfSecondFixedSurface": 0,
        "scaledValueOfSecondFixedSurface": 40000,
    }
    assert scan(gribs.message(keys=second)) == ([], ["a layer between two surfaces"])


NOT_INSTANTANEOUS_WEATHER: list[tuple[dict[str, Any], str]] = [
    ({"productDefinitionTemplateNumber": 8, "typeOfStatisticalProcessing": 0}, "an average or extreme over time"),
    ({"productDefinitionTemplateNumber": 11, "typeOfStatisticalProcessing": 2}, "an average or extreme over time"),
    ({"productDefinitionTemplateNumber": 5}, "product template 5"),
    ({"productDefinitionTemplateNumber": 2, "derivedForecast": 4}, "an ensemble statistic other than the mean"),
    ({"productDefinitionTemplateNumber": 2, "derivedForecast": 2}, "an ensemble statistic other than the mean"),
    ({"typeOfGeneratingProcess": 6}, "a forecast error"),
]


@pytest.mark.parametrize(("keys", "reason"), NOT_INSTANTANEOUS_WEATHER)
def test_what_is_not_the_weather_of_a_moment_is_left_out(keys: dict[str, Any], reason: str) -> None:
    message = gribs.message(keys=keys)
    assert scan(message) == ([], [reason])
    assert decode(message) == []


def test_an_ensemble_mean_is_used_and_said_so() -> None:
    header = only(gribs.message(keys={"productDefinitionTemplateNumber": 2, "derivedForecast": 0})).header
    assert (header.series.kind, header.series.member) == ("ensemble mean", None)
    assert header.series.product == "GFS 15 deg ensemble mean"


def test_member_and_model_are_read() -> None:
    series = only(gribs.message(member=7)).header.series
    assert (series.centre, series.model, series.member) == ("kwbc", "GEFS", 7)


# --- Times


@pytest.mark.parametrize(
    ("unit", "step", "seconds"), [(0, 90, 5400), (1, 120, 432000), (2, 2, 172800), (11, 3, 64800), (13, 1800, 1800)]
)
def test_step_counts_in_its_time_unit(unit: int, step: int, seconds: int) -> None:
    keys = {"indicatorOfUnitOfTimeRange": unit, "forecastTime": step}
    header = only(gribs.message(keys=keys)).header
    assert header.series.run == gribs.RUN.timestamp()
    assert header.valid - header.series.run == seconds


def test_months_are_refused_as_time_unit() -> None:
    with pytest.raises(ConversionError, match=r"time unit 3 of table 4.4"):
        scan(gribs.message(keys={"indicatorOfUnitOfTimeRange": 3}))


def test_a_reference_time_that_is_not_the_start_of_the_run_is_refused() -> None:
    with pytest.raises(ConversionError, match="not the start of a forecast"):
        scan(gribs.message(keys={"significanceOfReferenceTime": 2}))


# --- Messages of several fields


@pytest.mark.parametrize("start_section", [3, 4])
def test_all_fields_of_one_message_are_read(start_section: int) -> None:
    specs = [Spec("UGRD", level=300), Spec("VGRD", level=300), Spec("TMP", level=300), Spec("HGT", level=300)]
    message = gribs.joined([gribs.message(spec) for spec in specs], start_section)
    assert message.count(b"GRIB") == 1
    fields = {field.header.variable: field for field in decode(message)}
    assert list(fields) == ["UGRD", "VGRD", "HGT"]
    for spec in specs:
        if spec.variable in fields:
            assert_is_truth(fields[spec.variable], spec)
    assert scan(message)[0] == [field.header for field in fields.values()]


@pytest.mark.parametrize("gaps", [0, 1])
def test_a_field_may_refer_to_the_bitmap_of_the_field_before(gaps: int) -> None:
    spec = Spec()
    values = spec.plane()
    values.flat[:gaps] = 9999
    bitmap = {"bitmapPresent": 1, "missingValue": 9999}
    first = gribs.sections(gribs.message(variable="TMP", values=values, keys=bitmap))
    second = gribs.sections(gribs.message(values=values, keys=bitmap))
    assert [part[4] for part in second[-5:-1]] == [4, 5, 6, 7]
    as_before = (6).to_bytes(4, "big") + bytes([6, 254])
    message = gribs.from_sections([*first[:-1], *second[-5:-3], as_before, *second[-2:]])
    if gaps:
        with pytest.raises(ConversionError, match="UGRD at 500 hPa, 2026-07-24 00:00 UTC: 1 of 312 values"):
            decode(message)
    else:
        assert_is_truth(only(message), spec)


@pytest.mark.parametrize("indicator", [1, 254])
def test_a_bitmap_that_is_not_in_the_message_is_refused(indicator: int) -> None:
    parts = gribs.sections(gribs.message())
    parts[-3] = parts[-3][:5] + bytes([indicator])
    with pytest.raises(ConversionError, match=f"its bitmap \\(indicator {indicator}"):
        decode(gribs.from_sections(parts))


# --- Damaged input


@pytest.fixture
def three(tmp_path: Path) -> Path:
    return gribs.write(tmp_path / "three.grib2", gribs.cycle([500], [0]))


def test_messages_of_a_file_are_found_where_they_lie(three: Path) -> None:
    parts = gribs.cycle([500], [0])
    found = messages(three)
    assert [message.number for message in found] == [1, 2, 3]
    assert [message.position for message in found] == [0, len(parts[0]), len(parts[0]) + len(parts[1])]
    assert [message.content() for message in found] == parts


@pytest.mark.parametrize("kept", [3, 11, 16, 100, -4, -1])
def test_a_cut_file_is_refused_with_message_and_byte(three: Path, kept: int) -> None:
    third = messages(three)[2]
    left = kept if kept > 0 else third.length + kept
    three.write_bytes(three.read_bytes()[: third.position + left])
    expected = rf"three.grib2, message 3 at byte {third.position} is cut off: {left} of .*bytes"
    with pytest.raises(ConversionError, match=expected):
        messages(three)


def test_bytes_between_messages_are_refused(three: Path) -> None:
    first, *others = gribs.cycle([500], [0])
    gribs.write(three, [first, b"\n\n", *others])
    with pytest.raises(ConversionError, match=f"message 2 at byte {len(first)} is not a GRIB message"):
        messages(three)


def test_bytes_after_the_last_message_are_refused(three: Path) -> None:
    three.write_bytes(three.read_bytes() + b"\0")
    with pytest.raises(ConversionError, match=r"message 4 at byte .* is not a GRIB message"):
        messages(three)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<html><body>404 Not Found</body></html>", "is not a GRIB file: it starts with b'<html>"),
        (b"CDF\x01" + bytes(100), "is not a GRIB file"),
        (b"GRIB\0\0\0\2" + (12).to_bytes(8, "big"), "its length is 12 bytes"),
        (b"GRIB\0\0\0\3" + bytes(100), "GRIB edition 3"),
    ],
)
def test_a_file_that_is_not_grib2_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)
    with pytest.raises(ConversionError, match=reason):
        messages(path)


def test_grib_edition_1_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="message 1 at byte 0 is GRIB edition 1; only edition 2"):
        messages(gribs.write(tmp_path / "one.grib", [gribs.grib1()]))


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="cannot be read: No such file"):
        messages(tmp_path / "absent.grib2")


def test_part_of_a_message_is_not_decoded() -> None:
    message = gribs.message()
    for part in (message[:-1], message[5:], message + message, b""):
        with pytest.raises(ConversionError, match="not a whole GRIB2 message"):
            decode(part)


@pytest.mark.parametrize("length", [0, 4, 5, 2**31])
@pytest.mark.parametrize("section", [1, 2, 3, 4, 5, 6])
def test_a_damaged_section_length_is_refused(section: int, length: int) -> None:
    parts = gribs.sections(gribs.message())
    parts[section] = length.to_bytes(4, "big") + parts[section][4:]
    with pytest.raises(ConversionError, match="it is damaged"):
        decode(b"".join(parts))


@pytest.mark.parametrize("damaged", [[3], [5], [3, 5]])
@pytest.mark.parametrize("count", [0, 311, 2**31])
def test_a_number_of_values_that_is_not_that_of_the_grid_is_refused(damaged: list[int], count: int) -> None:
    parts = gribs.sections(gribs.message())
    for i, part in enumerate(parts):
        if 0 < i < len(parts) - 1 and part[4] in damaged:
            at = 6 if part[4] == 3 else 5
            parts[i] = part[:at] + count.to_bytes(4, "big") + part[at + 4 :]
    for read in (scan, decode):
        with pytest.raises(ConversionError, match=r"it is damaged: \d+ points with \d+ values on the grid"):
            read(gribs.from_sections(parts))


@pytest.mark.parametrize("section", [1, 3, 4, 5, 6, 7])
def test_a_message_that_lacks_a_section_is_refused(section: int) -> None:
    parts = gribs.sections(gribs.message())
    lacking = [part for i, part in enumerate(parts) if i in (0, len(parts) - 1) or part[4] != section]
    with pytest.raises(ConversionError, match="it is damaged"):
        decode(gribs.from_sections(lacking))
