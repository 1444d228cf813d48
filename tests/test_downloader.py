"""GRIB2 files become wind files that hold the atmosphere they were encoded from, or a refusal that says why."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import eccodes
import numpy as np
import numpy.typing as npt
import pytest

import gefs
from downloader import Assembly, convert, plan
from forecasts.grib import Header, decode, messages, scan
from habsim.atmosphere import GAS_CONSTANT_AIR, STANDARD_GRAVITY, altitude
from habsim.classes import WindField
from habsim.errors import ConversionError
from scripts import convert_grib
from store.bucket import LocalBucket
from store.manifest import cycle_start
from tests import gribs
from tests.gribs import Spec
from windfile import WindFile

LEVELS = [10.0, 250.0, 500.0, 1000.0]
HOUR = 3600


def read(path: Path) -> tuple[WindField, dict[str, Any]]:
    """The winds and the source of a wind file."""
    file = WindFile(path)
    return file.winds, file.source


def converted(tmp_path: Path, content: Iterable[bytes], **options: Any) -> tuple[WindField, dict[str, Any]]:
    """What `convert` makes of one file with `content`."""
    return read(convert([gribs.write(tmp_path / "input.grib2", content)], tmp_path / "out", **options).path)


def refusal(tmp_path: Path, content: Iterable[bytes], **options: Any) -> str:
    """Why `convert` refuses one file with `content`; it must leave nothing behind."""
    with pytest.raises(ConversionError) as caught:
        convert([gribs.write(tmp_path / "input.grib2", content)], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
    return caught.value.message


def without(content: list[bytes], *unwanted: tuple[str, float, int]) -> list[bytes]:
    """`content` without the fields (variable, level, step in hours)."""
    start = int(gribs.RUN.timestamp())
    slots = [(variable, level, start + step * HOUR) for variable, level, step in unwanted]
    return [message for message in content if scan(message)[0][0].slot not in slots]


# --- What is in the wind file


@pytest.mark.parametrize("packing", ["grid_simple", gribs.SPATIAL])
def test_every_node_has_the_wind_and_height_that_was_encoded(tmp_path: Path, packing: str) -> None:
    steps = [0, 6, 12]
    winds, _ = converted(tmp_path, gribs.cycle(LEVELS, steps, packing=packing))
    assert winds.levels.tolist() == LEVELS
    assert (winds.start, winds.interval_seconds, winds.data.shape[3]) == (gribs.RUN.timestamp(), 6 * HOUR, 3)
    assert winds.height is not None
    arrays = {"UGRD": winds.data[..., 0], "VGRD": winds.data[..., 1], "HGT": winds.height}
    for variable, array in arrays.items():
        for i, level in enumerate(LEVELS):
            for j, step in enumerate(steps):
                spec = Spec(variable, level, step, packing=packing)
                expected = spec.plane() - (altitude(level) if variable == "HGT" else 0)
                error = np.abs(array[:, :-1, i, j] - expected)
                assert (error <= gribs.tolerance(spec, expected)).all(), (variable, level, step)
        np.testing.assert_array_equal(array[:, -1], array[:, 0])


def test_files_and_messages_may_come_in_any_order_and_split(tmp_path: Path) -> None:
    content = gribs.cycle(LEVELS, [0, 3, 6])
    whole, _ = converted(tmp_path, content)
    order = np.random.default_rng(1).permutation(len(content))
    shuffled = [content[i] for i in order]
    files = [gribs.write(tmp_path / f"part{i}", shuffled[i::3]) for i in range(3)]
    split, source = read(convert(files, tmp_path / "split").path)
    np.testing.assert_array_equal(split.data, whole.data)
    np.testing.assert_array_equal(split.height, whole.height)
    assert source["files"] == ["part0", "part1", "part2"]


def test_winds_that_share_a_message_are_both_there(tmp_path: Path) -> None:
    single = gribs.cycle(LEVELS, [0, 6])
    shared = [gribs.joined(single[i : i + 3]) for i in range(0, len(single), 3)]
    np.testing.assert_array_equal(converted(tmp_path, shared)[0].data, converted(tmp_path, single)[0].data)


def test_fields_on_other_levels_and_averages_do_not_disturb(tmp_path: Path) -> None:
    content = gribs.cycle(LEVELS, [0, 6])
    average = {"productDefinitionTemplateNumber": 8, "typeOfStatisticalProcessing": 0}
    noise = [
        gribs.message(keys={"typeOfFirstFixedSurface": 7}),
        gribs.message(level=500, values=np.full((13, 24), 99.0), keys={"typeOfFirstFixedSurface": 105}),
        gribs.message(level=500, values=np.full((13, 24), 99.0), keys=average),
        gribs.message(pressure=(1, 0)),
        gribs.message(variable="TMP"),
        gribs.message(variable="HGT", level=400),
    ]
    winds, _ = converted(tmp_path, noise + content)
    assert winds.levels.tolist() == LEVELS
    np.testing.assert_array_equal(winds.data, converted(tmp_path, content)[0].data)
    assert winds.height is not None


def test_source_says_where_the_winds_are_from(tmp_path: Path) -> None:
    _, source = converted(tmp_path, gribs.cycle(LEVELS, [0, 6], member=4))
    assert source == {
        "product": "GEFS 15 deg",
        "centre": "kwbc",
        "kind": "member of ensemble type 3",
        "run": "2026-07-24T00:00:00Z",
        "steps_hours": [0, 6],
        "member": 4,
        "files": ["input.grib2"],
        "messages": 24,
        "converter": source["converter"],
    }


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    file = gribs.write(tmp_path / "input", gribs.cycle(LEVELS, [0, 6]))
    first, second = (convert([file], tmp_path / folder).path.read_bytes() for folder in ("a", "b"))
    assert first == second


def test_file_is_named_by_run_and_member(tmp_path: Path) -> None:
    file = gribs.write(tmp_path / "input", gribs.cycle(LEVELS, [0, 6], member=4))
    assert convert([file], tmp_path / "out").path.name == "2026072400_04.npz"
    assert convert([file], tmp_path / "out", member=11).path.name == "2026072400_11.npz"
    deterministic = gribs.write(tmp_path / "input", gribs.cycle(LEVELS, [0, 6]))
    assert convert([deterministic], tmp_path / "out").path.name == "2026072400_00.npz"
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_member_that_a_file_name_cannot_hold_is_refused(tmp_path: Path) -> None:
    assert "member is 100, it must be 0..99" in refusal(tmp_path, gribs.cycle(LEVELS, [0, 6]), member=100)


# --- Times


def test_a_run_from_a_later_step_is_named_by_its_first_valid_time(tmp_path: Path) -> None:
    file = gribs.write(tmp_path / "input", gribs.cycle(LEVELS, [6, 9, 12]))
    made = convert([file], tmp_path / "out")
    winds, source = read(made.path)
    assert made.cycle == "2026072406"
    assert winds.start == gribs.RUN.timestamp() + 6 * HOUR == cycle_start(made.cycle)
    assert (source["run"], source["steps_hours"]) == ("2026-07-24T00:00:00Z", [6, 9, 12])


@pytest.mark.parametrize("step", [3, 7])
def test_a_first_time_that_names_no_cycle_is_refused(tmp_path: Path, step: int) -> None:
    message = refusal(tmp_path, gribs.cycle(LEVELS, [step, step + 6]))
    assert f"first time is 2026-07-24 0{step}:00 UTC" in message


def test_a_first_time_between_the_hours_is_refused(tmp_path: Path) -> None:
    run = gribs.RUN.replace(minute=30)
    assert "2026-07-24 00:30 UTC" in refusal(tmp_path, gribs.cycle(LEVELS, [0, 6], run=run))


def test_unequal_intervals_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, gribs.cycle(LEVELS, [0, 3, 9]))
    assert "not at equal intervals: 2026-07-24 00:00 UTC, 2026-07-24 03:00 UTC, 2026-07-24 09:00 UTC" in message


def test_one_time_is_refused_without_steady_hours(tmp_path: Path) -> None:
    assert "one time only, 2026-07-24 06:00 UTC" in refusal(tmp_path, gribs.cycle(LEVELS, [6]))


def test_one_time_can_be_made_steady(tmp_path: Path) -> None:
    winds, source = converted(tmp_path, gribs.cycle(LEVELS, [120]), steady_hours=24)
    assert winds.name == "2026072900_00.npz"
    assert (winds.start, winds.interval_seconds) == (gribs.RUN.timestamp() + 120 * HOUR, 24 * HOUR)
    assert winds.data.shape[3] == 2
    spec = Spec("VGRD", 250.0, 120)
    for j in range(2):
        error = np.abs(winds.data[:, :-1, 1, j, 1] - spec.plane())
        assert (error <= gribs.tolerance(spec, spec.plane())).all()
    assert winds.height is not None
    np.testing.assert_array_equal(winds.height[..., 0], winds.height[..., 1])
    assert (source["steady_hours"], source["steps_hours"]) == (24, [120])
    assert source["run"] == "2026-07-24T00:00:00Z"


def test_steady_hours_with_several_times_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, gribs.cycle(LEVELS, [0, 6]), steady_hours=24)
    assert message == "the input has 2 times; a steady wind is made of one"


@pytest.mark.parametrize("hours", [-6, 0, 385])
def test_steady_hours_have_a_limit(tmp_path: Path, hours: int) -> None:
    message = refusal(tmp_path, gribs.cycle(LEVELS, [0]), steady_hours=hours)
    assert message == f"steady hours are {hours}, they must be 1..384"


# --- Incomplete and mixed input


def test_a_level_without_northward_wind_is_refused(tmp_path: Path) -> None:
    content = without(gribs.cycle(LEVELS, [0, 6]), ("VGRD", 250, 0), ("VGRD", 250, 6))
    message = refusal(tmp_path, content)
    assert message.startswith(
        "2 fields are missing: VGRD at 250 hPa, 2026-07-24 00:00 UTC; VGRD at 250 hPa, 2026-07-24 06"
    )


def test_a_time_that_lacks_a_level_is_refused(tmp_path: Path) -> None:
    content = without(gribs.cycle(LEVELS, [0, 6, 12]), ("UGRD", 10, 6), ("VGRD", 10, 6), ("HGT", 10, 6))
    message = refusal(tmp_path, content)
    assert message == (
        "2 fields are missing: UGRD at 10 hPa, 2026-07-24 06:00 UTC; VGRD at 10 hPa, 2026-07-24 06:00 UTC"
    )


def test_a_time_with_heights_only_is_refused(tmp_path: Path) -> None:
    content = gribs.cycle(LEVELS, [0, 6]) + gribs.cycle(LEVELS, [12], variables=["HGT"])
    message = refusal(tmp_path, content)
    assert message.startswith("8 fields are missing: UGRD at 10 hPa, 2026-07-24 12:00 UTC")


def test_many_missing_fields_are_counted(tmp_path: Path) -> None:
    content = gribs.cycle(LEVELS, [0, 6, 12], variables=["UGRD"])
    message = refusal(tmp_path, content)
    assert message.startswith("12 fields are missing: ")
    assert message.endswith("; and 2 more")


def test_one_level_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, gribs.cycle([10], [0, 6]))
    assert message == "the input has wind on one level only, 10 hPa; a wind file needs at least 2"


def test_input_without_isobaric_wind_is_refused_with_what_it_has(tmp_path: Path) -> None:
    aloft = [gribs.message(keys={"typeOfFirstFixedSurface": surface}) for surface in (6, 6, 105)]
    message = refusal(tmp_path, aloft)
    assert message == "the input has no wind on isobaric levels; left out: 1 on surface type 105, 2 on surface type 6"
    assert "no UGRD or VGRD" in refusal(tmp_path, gribs.cycle(LEVELS, [0, 6], variables=["HGT"]))


def test_heights_that_are_not_complete_are_left_out_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = gribs.cycle(LEVELS, [0, 6])
    with caplog.at_level(logging.WARNING):
        winds, source = converted(tmp_path, without(content, ("HGT", 500, 6)))
    assert winds.height is None
    assert source["height"] == "left out: 1 of 8 fields are missing"
    assert "first HGT at 500 hPa, 2026-07-24 06:00 UTC" in caplog.text
    np.testing.assert_array_equal(winds.data, converted(tmp_path, content)[0].data)


def test_winds_without_any_height_are_converted(tmp_path: Path) -> None:
    winds, source = converted(tmp_path, gribs.cycle(LEVELS, [0, 6], variables=["UGRD", "VGRD"]))
    assert winds.height is None
    assert source["height"] == "left out: 8 of 8 fields are missing"


def test_a_field_that_is_there_twice_is_accepted_when_equal(tmp_path: Path) -> None:
    content = gribs.cycle(LEVELS, [0, 6])
    winds, _ = converted(tmp_path, [*content, content[4]])
    np.testing.assert_array_equal(winds.data, converted(tmp_path, content)[0].data)


@pytest.mark.parametrize("variable", ["UGRD", "VGRD", "HGT"])
def test_a_field_that_is_there_twice_is_refused_when_different(tmp_path: Path, variable: str) -> None:
    values = Spec(variable, 250.0).plane()
    values[3, 3] += 5
    other = gribs.message(variable=variable, level=250, values=values)
    message = refusal(tmp_path, [*gribs.cycle(LEVELS, [0, 6]), other])
    assert message.endswith(f"{variable} at 250 hPa, 2026-07-24 00:00 UTC is there twice with different values")
    assert message.startswith("input.grib2, message 25 at byte ")


MIXTURES: list[tuple[dict[str, Any], str]] = [
    ({"rows": 7, "columns": 12}, "rows 7 and 13, columns 13 and 25"),
    ({"run": gribs.RUN.replace(hour=6), "step_hours": 0}, "run .* and "),
    ({"member": 3}, "member 3 and 2"),
    ({"keys": {"typeOfEnsembleForecast": 2}}, "kind member of ensemble type 2 and member of ensemble type 3"),
    ({"keys": {"productDefinitionTemplateNumber": 2, "derivedForecast": 0}}, "kind ensemble mean and member"),
    ({"keys": {"productDefinitionTemplateNumber": 0}}, "kind forecast and member of ensemble type 3"),
    ({"keys": {"centre": 98}}, "centre ecmf and kwbc"),
]


@pytest.mark.parametrize(("changes", "reason"), MIXTURES)
def test_fields_that_do_not_belong_together_are_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    content = without(gribs.cycle(LEVELS, [0, 6], member=2), ("VGRD", 250, 6))
    stranger = gribs.message(Spec("VGRD", 250, 6, member=2), **changes)
    message = refusal(tmp_path, [*content, stranger])
    assert re.search(
        f"VGRD at 250 hPa, 2026-07-24 06:00 UTC does not belong with the other fields: .*{reason}", message
    )


def test_analysis_and_forecast_of_one_model_belong_together(tmp_path: Path) -> None:
    analysis = gribs.cycle(LEVELS, [0], keys={"generatingProcessIdentifier": 81, "typeOfGeneratingProcess": 0})
    _, source = converted(tmp_path, analysis + gribs.cycle(LEVELS, [6]))
    assert source["product"] == "GFS 15 deg"


def test_a_cut_file_is_refused_though_its_first_messages_decode(tmp_path: Path) -> None:
    whole = b"".join(gribs.cycle(LEVELS, [0, 6]) + gribs.cycle([700], [0]))
    message = refusal(tmp_path, [whole[:-10]])
    assert "input.grib2, message 27 at byte" in message
    assert "is cut off" in message


def test_a_gap_is_reported_with_message_level_and_time(tmp_path: Path) -> None:
    content = without(gribs.cycle(LEVELS, [0, 6]), ("UGRD", 500, 6))
    values = Spec("UGRD", 500, 6).plane()
    values[0, 0] = 9999
    gap = gribs.message(level=500, step_hours=6, values=values, keys={"bitmapPresent": 1, "missingValue": 9999})
    message = refusal(tmp_path, [*content, gap])
    assert message.startswith("input.grib2, message 24 at byte")
    assert "UGRD at 500 hPa, 2026-07-24 06:00 UTC: 1 of 312 values are missing" in message


def test_a_grid_that_cannot_be_converted_is_reported_with_its_message(tmp_path: Path) -> None:
    content = gribs.cycle(LEVELS, [0, 6])
    message = refusal(tmp_path, [*content, gribs.message(keys={"gridType": "lambert"})])
    assert message.startswith(f"input.grib2, message 25 at byte {sum(map(len, content))}: its grid is lambert")


# --- Headers and fields from elsewhere


def headers_of(content: Iterable[bytes]) -> list[Header]:
    return [header for message in content for header in scan(message)[0]]


def test_plan_refuses_what_is_incomplete_or_mixed_before_anything_is_decoded() -> None:
    headers = headers_of(gribs.cycle(LEVELS, [0, 6], member=1))
    with pytest.raises(ConversionError, match="1 fields are missing: UGRD at 10 hPa, 2026-07-24 00:00 UTC"):
        plan(headers[1:])
    with pytest.raises(ConversionError, match="does not belong with the other fields: member 2 and 1"):
        plan(headers + headers_of([gribs.message(level=500, member=2)]))


def test_assembly_is_not_written_before_every_field_is_there(tmp_path: Path) -> None:
    content = gribs.cycle(LEVELS, [0, 6])
    with Assembly(plan(headers_of(content)), tmp_path) as assembly:
        for message in content[:-1]:
            assembly.put(decode(message)[0])
        with pytest.raises(ConversionError, match="1 fields are missing: HGT at 1000 hPa, 2026-07-24 06:00 UTC"):
            assembly.write(tmp_path / "2026072400_00.npz", {})
        assert not (tmp_path / "2026072400_00.npz").exists()
        assembly.put(decode(content[-1])[0])
        assembly.write(tmp_path / "2026072400_00.npz", {})
    assert [path.name for path in tmp_path.iterdir()] == ["2026072400_00.npz"]


def test_assembly_refuses_a_field_of_another_member(tmp_path: Path) -> None:
    content = gribs.cycle(LEVELS, [0, 6], member=1)
    with (
        Assembly(plan(headers_of(content)), tmp_path) as assembly,
        pytest.raises(ConversionError, match="member 2 and 1"),
    ):
        assembly.put(decode(gribs.message(level=500, member=2))[0])


def test_a_full_disk_is_an_error_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    message = refusal(tmp_path, gribs.cycle(LEVELS, [0, 6]))
    assert message == f"15600 bytes of working space in {tmp_path / 'out'}: No space left on device"


# --- The command


def test_command_publishes_a_cycle_that_can_be_flown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = gribs.write(tmp_path / "input", gribs.cycle(LEVELS, [0, 6], member=3))
    bucket, output = tmp_path / "bucket", tmp_path / "output"
    assert convert_grib.main([str(file), "--bucket", str(bucket), "--output", str(output)]) == 0
    cycles = gefs.Cycles(LocalBucket(bucket), tmp_path / "data")
    current = cycles.current()
    assert (current.name, current.members, current.product) == ("2026072400", (3,), "gefs")
    assert cycles.open_member(current, 3).winds.levels.tolist() == LEVELS
    assert (output / "2026072400_03.npz").read_bytes() == (bucket / "2026072400_03.npz").read_bytes()
    assert sorted(path.name for path in bucket.iterdir()) == ["2026072400.json", "2026072400_03.npz", "whichgefs"]
    assert "published cycle 2026072400, member 3" in capsys.readouterr().out


def test_command_writes_a_steady_file_into_a_folder(tmp_path: Path) -> None:
    file = gribs.write(tmp_path / "input", gribs.cycle(LEVELS, [6]))
    words = [str(file), "--output", str(tmp_path / "out"), "--steady-hours", "48", "--member", "9"]
    assert convert_grib.main(words) == 0
    winds, source = read(tmp_path / "out" / "2026072406_09.npz")
    assert (winds.interval_seconds, source["steady_hours"], source["member"]) == (48 * HOUR, 48, 9)


def test_command_says_why_it_refuses_and_publishes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = gribs.write(tmp_path / "input", [b"GRUB"])
    assert convert_grib.main([str(file), "--bucket", str(tmp_path / "bucket")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: input is not a GRIB file")
    assert list((tmp_path / "bucket").iterdir()) == []


def test_command_says_when_the_folder_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = gribs.write(tmp_path / "input", gribs.cycle(LEVELS, [0, 6]))
    assert convert_grib.main([str(file), "--output", str(file / "out")]) == 1
    assert "error: [Errno 20] Not a directory" in capsys.readouterr().err


def test_command_needs_a_place_for_the_wind_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        convert_grib.main(["input"])
    assert "--output FOLDER, --bucket DIR or both" in capsys.readouterr().err


# --- Real files of NOAA


def real(name: str) -> Path:
    """A file of the shared test data; the test is skipped where there is none."""
    folder = Path(os.environ.get("HABSIM_TEST_DATA", Path(__file__).parents[1].parent / "shared/data"))
    path = folder / "grib" / name
    if not path.exists():
        pytest.skip(f"test data {path} is absent; HABSIM_TEST_DATA names its folder")
    return path


GFS = "gfs.20110110.t12z.pgrbf120.2p5deg.grib2"
HEAD = "gefs.20260724.geavg.t00z.pgrb2a.0p50.{}"


@pytest.fixture
def gfs(tmp_path: Path) -> tuple[WindField, dict[str, Any]]:
    return read(convert([real(GFS)], tmp_path, steady_hours=24).path)


def fields_of(path: Path, category: int, number: int) -> dict[float, npt.NDArray[np.float64]]:
    """Isobaric fields (lat, lon) of a north-to-south file by level, read by eccodes' own reader of shared messages."""
    found = {}
    eccodes.codes_grib_multi_support_on()
    try:
        with path.open("rb") as file:
            while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
                keys = ("discipline", "parameterCategory", "parameterNumber", "typeOfFirstFixedSurface")
                if [eccodes.codes_get_long(handle, key) for key in keys] == [0, category, number, 100]:
                    level = eccodes.codes_get_long(handle, "scaledValueOfFirstFixedSurface") / 100
                    shape = [eccodes.codes_get_long(handle, key) for key in ("Nj", "Ni")]
                    found[level] = eccodes.codes_get_values(handle).reshape(shape)
                eccodes.codes_release(handle)
    finally:
        eccodes.codes_grib_multi_support_off()
    return found


def test_real_gfs_has_every_field_of_eccodes_own_reader(gfs: tuple[WindField, dict[str, Any]]) -> None:
    winds, source = gfs
    assert winds.data.shape == (73, 145, 26, 2, 2)
    assert (winds.name, winds.levels[0], winds.levels[-1]) == ("2011011512_00.npz", 10, 1000)
    assert (source["product"], source["run"], source["messages"]) == ("GFS 2.5 deg", "2011-01-10T12:00:00Z", 52)
    assert winds.height is not None
    for (category, number), array in {
        (2, 2): winds.data[..., 0],
        (2, 3): winds.data[..., 1],
        (3, 5): winds.height,
    }.items():
        fields = fields_of(real(GFS), category, number)
        assert sorted(fields) == winds.levels.tolist()
        for i, level in enumerate(winds.levels):
            expected = fields[level] - (altitude(level) if number == 5 else 0)
            for j in range(2):
                np.testing.assert_array_equal(array[:, :-1, i, j], expected.astype(np.float16))


def test_real_gfs_winds_blow_along_its_own_heights(gfs: tuple[WindField, dict[str, Any]]) -> None:
    winds, _ = gfs
    assert winds.height is not None
    latitude = np.radians(np.linspace(90, -90, 73))
    middle = (np.abs(latitude) > np.radians(30)) & (np.abs(latitude) < np.radians(65))
    step, radius = np.radians(2.5), 6371009.0
    coriolis = 2 * 7.292115e-5 * np.sin(latitude)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        for level in (200, 250, 300, 500, 700):
            i = winds.levels.tolist().index(level)
            height = winds.height[:, :-1, i, 0].astype(np.float64)
            slope_north = -np.gradient(height, step * radius, axis=0)
            slope_east = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / (
                2 * step * radius * np.cos(latitude)[:, None]
            )
            geostrophic = (-STANDARD_GRAVITY / coriolis * slope_north, STANDARD_GRAVITY / coriolis * slope_east)
            for component, expected in enumerate(geostrophic):
                wind = winds.data[:, :-1, i, 0, component].astype(np.float64)
                correlation = np.corrcoef(wind[middle].ravel(), expected[middle].ravel())[0, 1]
                assert correlation > 0.92, (level, component)


def test_real_gfs_heights_are_in_hydrostatic_balance_with_its_temperatures(
    gfs: tuple[WindField, dict[str, Any]],
) -> None:
    winds, _ = gfs
    assert winds.height is not None
    temperature = fields_of(real(GFS), 0, 0)
    heights = winds.height[:, :-1, :, 0] + altitude(winds.levels)
    errors = []
    for i, (upper, lower) in enumerate(zip(winds.levels[:-1], winds.levels[1:], strict=True)):
        if lower <= 500:
            mean = (temperature[upper] + temperature[lower]) / 2
            expected = GAS_CONSTANT_AIR / STANDARD_GRAVITY * mean * np.log(lower / upper)
            errors.append(np.abs((heights[..., i] - heights[..., i + 1]) / expected - 1))
    assert np.mean(errors) < 0.0035


@pytest.mark.parametrize("head", ["f000.head.grib2", "f003.head.grib2"])
def test_real_head_with_one_level_is_refused(tmp_path: Path, head: str) -> None:
    path = real(HEAD.format(head))
    with pytest.raises(ConversionError, match="wind on one level only, 10 hPa"):
        convert([path], tmp_path)


def test_real_messages_lie_where_the_inventory_says() -> None:
    path = real(HEAD.format("f003.head.grib2"))
    inventory = path.parents[1] / "idx" / "20260724.geavg.t00z.pgrb2a.0p50.f003.idx"
    found = messages(path)
    lines = [line.split(":") for line in inventory.read_text().splitlines()[: len(found)]]
    assert [message.position for message in found] == [int(line[1]) for line in lines]
    for message, line in zip(found, lines, strict=True):
        expected = [(line[3], line[4])] if line[3] in ("HGT", "UGRD", "VGRD") else []
        assert [(h.variable, f"{h.level:g} mb") for h in scan(message.content())[0]] == expected


def test_real_ensemble_mean_is_called_so() -> None:
    headers = [h for m in messages(real(HEAD.format("f003.head.grib2"))) for h in scan(m.content())[0]]
    assert {header.series.product for header in headers} == {"GEFS 0.5 deg ensemble mean"}


def test_real_cut_download_is_refused(tmp_path: Path) -> None:
    path = real(HEAD.format("f000.first1MiB.truncated"))
    with pytest.raises(ConversionError, match="message 6 at byte 892271 is cut off: 156305 of 210212 bytes"):
        convert([path], tmp_path)


def test_manifest_of_a_published_cycle_names_the_product(tmp_path: Path) -> None:
    file = gribs.write(tmp_path / "input", gribs.cycle(LEVELS, [0, 6]))
    assert convert_grib.main([str(file), "--bucket", str(tmp_path / "bucket")]) == 0
    manifest = json.loads((tmp_path / "bucket" / "2026072400.json").read_text())
    assert (manifest["product"], manifest["has_height"], manifest["levels"]) == ("gfs", True, LEVELS)
