"""A wind file that is only partly here gives the flights of the whole file, and nothing from what was not fetched."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from habsim import balloons, kernels, sizing
from habsim.classes import ElevationFile, Location, Simulator, Tiles, WindField, Zone
from habsim.envelopes import ENVELOPES, GASES
from habsim.errors import BucketError, NotResidentError, ObjectChangedError, UnavailableError, WindFileError
from habsim.profiles import PROFILES
from simulate import MemberSimulator
from store import resident
from store.ranges import LARGEST_BYTES, MERGE_BYTES, RangeReader, merged
from store.resident import Layout, ResidentFile
from tests import faults
from tests.elsewhere import Elsewhere, heights, waves
from tests.worlds import START, launches, sample, write_field
from windfile import WindFile

NAME = "2026111900_00.npz"
GROUND = ElevationFile.flat()
Floats = npt.NDArray[np.floating[Any]]
NAN = np.float16(np.nan).tobytes()


def winds(*, with_heights: bool = False, degrees: float = 2.5) -> WindField:
    levels = [10.0, 50.0, 100.0, 200.0, 300.0, 500.0, 700.0, 850.0, 1000.0]
    return sample(waves, levels=levels, degrees=degrees, times=9, height=heights if with_heights else None)


@pytest.fixture
def narrow_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 8 columns in the small files of these tests."""
    monkeypatch.setattr(resident, "TILE_BYTES", 2000)


@pytest.fixture(params=[False, True], ids=["winds", "winds and heights"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, narrow_tiles: None) -> Elsewhere:
    """A bucket with one wind file."""
    bucket = Elsewhere(tmp_path / "bucket")
    bucket.root.mkdir()
    write_field(bucket.root / NAME, winds(with_heights=request.param), source={"product": "waves"})
    return bucket


def made(bucket: Elsewhere, folder: Path, *, room: Callable[[], bool] = lambda: False) -> ResidentFile:
    """The wind file of `bucket` in `folder`, with nothing but its frame there and every hole full of NaN."""
    folder.mkdir(exist_ok=True)
    reader = RangeReader(bucket)
    resident.create(folder, NAME, bucket.info(NAME), "token", reader)
    file = ResidentFile(folder, NAME, reader, room)
    for offset, column_bytes in file.head.layout.arrays:
        size = file.head.layout.rows * file.head.layout.columns * column_bytes
        os.pwrite(file.descriptor, NAN * (size // 2), offset)
    return file


def whole(bucket: Elsewhere) -> Simulator:
    return Simulator(WindFile(bucket.root / NAME).winds, GROUND)


# --- Ranges


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), max_size=40), st.integers(1, 5000))
def test_merged_ranges_hold_all_bytes_once_and_little_else(gaps: list[tuple[int, int]], scale: int) -> None:
    ranges, position = [], 0
    for gap, length in gaps:
        ranges.append((position + gap * scale, length * scale))
        position += (gap + length) * scale
    requests = merged(list(reversed(ranges)))
    assert all(length <= LARGEST_BYTES for _, length in requests)
    for (offset, length), (following, _) in pairwise(requests):
        assert offset + length <= following
    covered = sum(length for _, length in requests)
    assert covered <= sum(length for _, length in ranges) + MERGE_BYTES * max(0, len(ranges) - 1)
    for offset, length in ranges:
        reached = offset
        for start, size in requests:
            if start <= reached < start + size:
                reached = start + size
        assert reached >= offset + length


@given(st.data())
def test_ranges_of_tiles_are_their_columns(data: st.DataObject) -> None:
    rows, columns, tile_columns = (
        data.draw(st.integers(3, 9)),
        data.draw(st.integers(3, 40)),
        2 ** data.draw(st.integers(0, 4)),
    )
    layout = Layout(rows, columns, tile_columns, ((100, 6), (100 + rows * columns * 6 + 7, 2)))
    tiles = np.array(sorted(data.draw(st.sets(st.integers(0, layout.tiles - 1)))), np.intp)
    covered = np.zeros(layout.arrays[1][0] + rows * columns * 2, bool)
    for offset, length in layout.ranges(tiles):
        assert length > 0
        assert not covered[offset : offset + length].any()
        covered[offset : offset + length] = True
    for offset, column_bytes in layout.arrays:
        grid = covered[offset : offset + rows * columns * column_bytes].reshape(rows, columns, column_bytes)
        for row in range(rows):
            for column in range(columns):
                wanted = row * layout.in_row + column // tile_columns in tiles
                assert (grid[row, column] == wanted).all()
        covered[offset : offset + rows * columns * column_bytes] = False
    assert not covered.any()


def test_tiles_are_worth_a_request_and_no_more_than_twice_that() -> None:
    for levels, times in ((19, 65), (31, 65), (3, 2)):
        data = np.zeros((3, 721, levels, times, 2), np.float16)
        columns = resident.tile_columns(WindField("x", data, None, np.arange(1.0, levels + 1), 0.0, 1.0))
        assert 32768 <= columns * levels * times * 4 < 65536


# --- Opening


def test_only_the_frame_is_fetched_to_open(bucket: Elsewhere, tmp_path: Path) -> None:
    file = made(bucket, tmp_path / "cache")
    assert bucket.moved() < 10 * 16384 < bucket.info(NAME).size
    assert len(bucket.ranges) <= 4
    original = WindFile(bucket.root / NAME)
    assert file.source == original.source == {"product": "waves"}
    assert file.winds.levels.tolist() == original.winds.levels.tolist()
    assert (file.winds.start, file.winds.end) == (original.winds.start, original.winds.end)
    assert file.winds.data.shape == original.winds.data.shape
    assert len(file.missing()) == file.head.layout.tiles


def test_file_of_another_tool_is_opened_too(tmp_path: Path) -> None:
    bucket = Elsewhere(tmp_path / "bucket")
    bucket.root.mkdir()
    field = winds()
    parts = {"data": field.data, "timestamp": field.start, "interval": field.interval_seconds, "levels": field.levels}
    np.savez(bucket.root / NAME, **parts)  # type: ignore[arg-type]
    file = made(bucket, tmp_path / "cache")
    file.fetch(file.missing())
    assert file.winds.data.tobytes() == field.data.tobytes()
    assert file.path.read_bytes() == (bucket.root / NAME).read_bytes()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"no zip at all" * 1000, "is damaged: File is not a zip file"),
        (bytes(3_000_000), "is damaged: File is not a zip file"),
    ],
)
def test_object_that_is_no_wind_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    bucket = Elsewhere(tmp_path / "bucket")
    bucket.write(NAME, content)
    with pytest.raises(WindFileError, match=f"{NAME} {reason}"):
        made(bucket, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_compressed_or_cut_wind_file_is_refused(tmp_path: Path) -> None:
    bucket = Elsewhere(tmp_path / "bucket")
    field = winds()
    path = write_field(tmp_path / NAME, field)
    bucket.write(NAME, path.read_bytes()[:-5000])
    with pytest.raises(WindFileError, match="is damaged: File is not a zip file"):
        made(bucket, tmp_path / "cache")
    parts = {"data": field.data, "timestamp": field.start, "interval": field.interval_seconds, "levels": field.levels}
    np.savez_compressed(bucket.root / NAME, **parts)  # type: ignore[arg-type]
    with pytest.raises(WindFileError, match="is compressed"):
        made(bucket, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_file_of_before_a_power_cut_is_not_trusted(
    bucket: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = made(bucket, tmp_path / "cache")
    file.fetch(file.missing())
    ResidentFile(tmp_path / "cache", NAME, RangeReader(bucket), lambda: False)
    monkeypatch.setattr(resident, "boot_id", lambda: "another run of the system")
    with pytest.raises(WindFileError, match="is of another file"):
        ResidentFile(tmp_path / "cache", NAME, RangeReader(bucket), lambda: False)


def test_map_of_another_file_is_not_trusted(bucket: Elsewhere, tmp_path: Path) -> None:
    file = made(bucket, tmp_path / "cache")
    file.fetch(file.missing())
    other = tmp_path / "cache" / "copy"
    other.write_bytes(file.path.read_bytes())
    other.replace(file.path)
    with pytest.raises(WindFileError, match="is of another file"):
        ResidentFile(tmp_path / "cache", NAME, RangeReader(bucket), lambda: False)
    map_path = tmp_path / "cache" / f"{NAME}.tiles"
    for content in (b"", b"{", map_path.read_bytes()[:5000], b"[]".ljust(map_path.stat().st_size)):
        map_path.write_bytes(content)
        with pytest.raises(WindFileError):
            ResidentFile(tmp_path / "cache", NAME, RangeReader(bucket), lambda: False)


# --- Fetching


def test_fetched_tiles_are_the_bytes_of_the_object(bucket: Elsewhere, tmp_path: Path) -> None:
    file = made(bucket, tmp_path / "cache")
    layout = file.head.layout
    tiles = np.array([3, 4, layout.in_row, 5 * layout.in_row - 1, 20 * layout.in_row + 2, layout.tiles - 1])
    file.fetch(tiles)
    original = WindFile(bucket.root / NAME).winds
    present = np.zeros((layout.rows, layout.columns), bool)
    for tile in tiles:
        row, first = tile // layout.in_row, tile % layout.in_row * layout.tile_columns
        present[row, first : first + layout.tile_columns] = True
    assert file.winds.data[present].tobytes() == original.data[present].tobytes()
    if original.height is not None:
        assert file.winds.height is not None
        assert file.winds.height[present].tobytes() == original.height[present].tobytes()
    assert set(file.missing()) == set(range(layout.tiles)) - set(tiles.tolist())


def test_what_is_there_is_not_fetched_again(bucket: Elsewhere, tmp_path: Path) -> None:
    file = made(bucket, tmp_path / "cache")
    file.fetch(np.arange(10))
    before = bucket.moved()
    file.fetch(np.arange(10))
    assert bucket.moved() == before
    file.fetch(np.arange(12))
    assert 0 < bucket.moved() - before <= 3 * file.tile_bytes


def test_tile_is_marked_only_when_all_its_bytes_are_there(bucket: Elsewhere, tmp_path: Path) -> None:
    """With heights a tile is two ranges; here the store fails at the last one."""
    file = made(bucket, tmp_path / "cache")
    count = len(merged(file.head.layout.ranges(np.arange(3))))
    calls: list[int] = []

    def fail_at_the_last(name: str, offset: int, length: int) -> None:
        calls.append(offset)
        if len(calls) == count:
            raise BucketError("the store does not answer")

    bucket.before = fail_at_the_last
    with pytest.raises(BucketError):
        file.fetch(np.arange(3))
    assert len(file.missing()) == file.head.layout.tiles
    bucket.before = lambda name, offset, length: None
    file.fetch(np.arange(3))
    assert len(file.missing()) == file.head.layout.tiles - 3


def test_object_that_is_replaced_gives_no_more_tiles(bucket: Elsewhere, tmp_path: Path) -> None:
    file = made(bucket, tmp_path / "cache")
    file.fetch(np.arange(3))
    write_field(bucket.root / NAME, winds(degrees=5.0))
    with pytest.raises(ObjectChangedError, match="was replaced"):
        file.fetch(np.arange(6))
    assert 3 in file.missing()


def test_tiles_that_one_fetches_are_there_for_all(bucket: Elsewhere, tmp_path: Path) -> None:
    file = made(bucket, tmp_path / "cache")
    other = ResidentFile(tmp_path / "cache", NAME, RangeReader(bucket), lambda: False)
    code = """
import sys
from pathlib import Path
from typing import Any
import numpy as np
from store.ranges import RangeReader
from store.resident import ResidentFile
from tests.elsewhere import Elsewhere, heights, waves
file = ResidentFile(Path(sys.argv[2]), sys.argv[3], RangeReader(Elsewhere(Path(sys.argv[1]))), lambda: False)
file.fetch(np.arange(7))
"""
    with faults.Process(code, bucket.root, tmp_path / "cache", NAME) as process:
        process.result()
    for seen in (file, other):
        assert seen.missing()[0] == 7
        assert seen.winds.data[0, :4].tobytes() == WindFile(bucket.root / NAME).winds.data[0, :4].tobytes()


def test_threads_that_fetch_the_same_tiles_do_no_harm(bucket: Elsewhere, tmp_path: Path) -> None:
    files = [made(bucket, tmp_path / "cache")]
    files += [ResidentFile(tmp_path / "cache", NAME, RangeReader(bucket), lambda: False) for _ in range(2)]
    together = threading.Barrier(3)

    def fetch(file: ResidentFile) -> None:
        together.wait(faults.DEADLINE_SECONDS)
        for first in range(0, file.head.layout.tiles, 100):
            file.fetch(np.arange(first, min(first + 100, file.head.layout.tiles)))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(fetch, files))
    assert files[0].path.read_bytes() == (bucket.root / NAME).read_bytes()


def test_file_that_is_completed_while_it_is_fetched_is_not_written_again(bucket: Elsewhere, tmp_path: Path) -> None:
    file = made(bucket, tmp_path / "cache")
    other = ResidentFile(tmp_path / "cache", NAME, RangeReader(bucket), lambda: False)
    changed: list[int] = []

    def complete_first(name: str, offset: int, length: int) -> None:
        bucket.before = lambda name, offset, length: None
        other.fetch(other.missing())
        # What it wrote counts from when it is on the disk.
        with file.path.open("rb") as written:
            os.fsync(written.fileno())
        changed.append(file.path.stat().st_mtime_ns)

    bucket.before = complete_first
    file.fetch(np.arange(1))
    assert [file.path.stat().st_mtime_ns] == changed


def test_full_disk_is_said_and_what_is_there_stays(tmp_path: Path, narrow_tiles: None) -> None:
    bucket = Elsewhere(tmp_path / "bucket")
    bucket.root.mkdir()
    write_field(bucket.root / NAME, winds())
    with faults.small_disk(tmp_path / "disk", kilobytes=1024) as disk:
        reader = RangeReader(bucket)
        resident.create(disk, NAME, bucket.info(NAME), "token", reader)
        asked: list[int] = []

        def no_room() -> bool:
            asked.append(1)
            return False

        file = ResidentFile(disk, NAME, reader, no_room)
        file.fetch(np.arange(5))
        filler = faults.fill(disk)
        with pytest.raises(UnavailableError, match=f"the disk has no room for what is fetched of {NAME}"):
            file.fetch(np.arange(40))
        assert asked == [1]
        assert file.missing()[0] == 5
        assert file.winds.data[0, :5].tobytes() == WindFile(bucket.root / NAME).winds.data[0, :5].tobytes()

        def make_room() -> bool:
            filler.unlink()
            return True

        ResidentFile(disk, NAME, reader, make_room).fetch(np.arange(6))
        assert file.missing()[0] == 6


# --- Flying


def everywhere(count: int = 200) -> npt.NDArray[np.float64]:
    """Launches all over the globe, its poles and its date line among them."""
    random = np.random.default_rng(3)
    lat = np.degrees(np.arcsin(random.uniform(-1.0, 1.0, count)))
    lon = random.uniform(0.0, 360.0, count)
    lat[:8] = 90.0, -90.0, 89.99, -89.99, 0.0, 0.0, 45.0, -45.0
    lon[4:8] = 0.0, 359.9999, 180.0, 2.4999
    batch = launches(START + random.uniform(0, 86400.0, count), lat, lon, 0.0, coast=random.uniform(0, 20000.0, count))
    return batch.table


def test_flights_everywhere_are_those_of_the_whole_file(bucket: Elsewhere, tmp_path: Path) -> None:
    """Holes are NaN: a flight that reads one is lost."""
    file = made(bucket, tmp_path / "cache")
    simulator = MemberSimulator(file, GROUND)
    exact = whole(bucket)
    for row in everywhere():
        launch = launches()
        launch.table[:] = row
        found = simulator.fly(launch, PROFILES["zpb"], paths=1)
        expected = exact.fly(launch, PROFILES["zpb"], paths=1)
        assert found.failures == expected.failures == {}
        assert found.landing.tobytes() == expected.landing.tobytes()
        for mine, theirs in zip(found.trajectories, expected.trajectories, strict=True):
            assert mine is not None
            assert theirs is not None
            assert mine.warnings == theirs.warnings
            for one, other in zip(mine.phases, theirs.phases, strict=True):
                assert one.points.tobytes() == other.points.tobytes()
    assert 0 < len(file.missing()) < file.head.layout.tiles


@pytest.mark.parametrize("profile", ["zpb", "standard", "float", "physical", "reverse"])
def test_batch_of_every_profile_is_that_of_the_whole_file(bucket: Elsewhere, tmp_path: Path, profile: str) -> None:
    simulator, exact = MemberSimulator(made(bucket, tmp_path / "cache"), GROUND), whole(bucket)
    table = everywhere(60)
    table[:, 0] += 86400.0  # that there are winds before, too
    batch = launches()
    batch.table = table
    if PROFILES[profile].climbs:
        spec = sizing.filled(ENVELOPES["kaymont-1200"], GASES["helium"], 1.0, sizing.Wish(ascent_rate=5.0))
        batch = balloons.launches_of(batch, np.array([spec.row()]))
    found, expected = (s.fly(batch, PROFILES[profile], paths=3) for s in (simulator, exact))
    assert found.landing.tobytes() == expected.landing.tobytes()
    assert {i: str(e) for i, e in found.failures.items()} == {i: str(e) for i, e in expected.failures.items()}


def test_approaches_to_a_zone_are_those_of_the_whole_file(bucket: Elsewhere, tmp_path: Path) -> None:
    simulator, exact = MemberSimulator(made(bucket, tmp_path / "cache"), GROUND), whole(bucket)
    batch = launches()
    batch.table = everywhere(60)
    found, expected = (s.approach(batch, PROFILES["zpb"], Zone(45.0, 180.0)) for s in (simulator, exact))
    assert found.closest.tobytes() == expected.closest.tobytes()
    assert found.status.tolist() == [kernels.LANDED] * 60


def test_flight_without_winds_says_which_tiles_it_needs(bucket: Elsewhere, tmp_path: Path) -> None:
    file = made(bucket, tmp_path / "cache")
    flights = Simulator(file.winds, GROUND).fly(launches(lat=37.0, lon=10.0), PROFILES["zpb"], paths=1)
    assert flights.trajectories == (None,)
    assert "near 37.00, 10.00 are not on this machine" in flights.failures[0].message
    layout = file.head.layout
    rows = (90.0 - 37.0) / 2.5
    assert {int(tile) // layout.in_row for tile in flights.missing} == {int(rows) + d for d in (-1, 0, 1, 2)}


def test_flight_is_never_answered_from_winds_that_stand_in(bucket: Elsewhere, tmp_path: Path) -> None:
    """With the tiles of the launch alone the whole flight is guessed: it counts as not flown."""
    file = made(bucket, tmp_path / "cache")
    simulator = Simulator(file.winds, GROUND)
    launch = launches(lat=37.0, lon=10.0, asc=1.0)
    file.fetch(simulator.fly(launch, PROFILES["zpb"]).missing)
    guessed = simulator.fly(launch, PROFILES["zpb"], paths=1)
    assert list(guessed.failures) == [0]
    assert guessed.trajectories == (None,)
    assert guessed.missing.size
    assert not np.intersect1d(guessed.missing, np.setdiff1d(np.arange(file.head.layout.tiles), file.missing())).size


@pytest.mark.parametrize("with_heights", [False, True])
@pytest.mark.parametrize("columns", [1, 4, 8])
def test_flight_among_random_holes_is_that_of_the_whole_file_or_none(columns: int, with_heights: bool) -> None:
    """Tiles are there or are NaN, by chance: each corner of a cell is missed alone now and then."""
    random = np.random.default_rng(5)
    field = winds(with_heights=with_heights, degrees=5.0)
    in_row = -(-73 // columns)
    exact = Simulator(field, GROUND)
    flown = 0
    for profile in ("zpb", "standard", "float", "reverse"):
        batch = launches()
        batch.table = everywhere(300)
        batch.table[:, 0] += 86400.0
        batch.table[20:60, 2] = random.uniform(354.0, 366.0, 40) % 360.0
        expected = exact.fly(batch, PROFILES[profile])
        for share in (0.8, 0.95):
            present = (random.random(37 * in_row) < share).astype(np.uint8)
            hole = np.repeat(present.reshape(37, in_row), columns, axis=1)[:, :73] == 0
            data = field.data.copy()
            data[hole] = np.nan
            height = None if field.height is None else field.height.copy()
            if height is not None:
                height[hole] = np.nan
            tiles = Tiles(columns, in_row, present)
            patchy = Simulator(dataclasses.replace(field, data=data, height=height, tiles=tiles), GROUND)
            found = patchy.fly(batch, PROFILES[profile])
            for i in range(len(batch)):
                if i in found.failures and "are not on this machine" in found.failures[i].message:
                    assert found.lacks_winds
                    assert found.missing.size
                else:
                    flown += 1
                    assert str(found.failures.get(i)) == str(expected.failures.get(i))
                    assert found.landing[i].tobytes() == expected.landing[i].tobytes()
    assert flown > 500


def test_scout_stops_after_a_while(bucket: Elsewhere, tmp_path: Path) -> None:
    """A flight of days in winds that stand in would want tiles all around the Earth."""
    file = made(bucket, tmp_path / "cache")
    simulator = Simulator(file.winds, GROUND)
    launch = launches(lat=40.0, lon=10.0, coast=150000.0)
    file.fetch(simulator.fly(launch, PROFILES["zpb"]).missing)
    wanted = simulator.fly(launch, PROFILES["zpb"]).missing
    assert wanted.size
    columns = wanted % file.head.layout.in_row * file.head.layout.tile_columns * 2.5
    assert np.abs((columns - 10.0 + 180.0) % 360.0 - 180.0).max() < 60.0


def test_few_rounds_bring_all_a_flight_needs(bucket: Elsewhere, tmp_path: Path) -> None:
    """The launch, the way that its winds foretell, and what they got wrong."""
    file = made(bucket, tmp_path / "cache")
    rounds: list[int] = []
    fetch = file.fetch

    def counted(tiles: npt.NDArray[np.intp], watch: resident.Watch | None = None) -> None:
        rounds.append(len(tiles))
        fetch(tiles, watch)

    file.fetch = counted  # type: ignore[method-assign]
    batch = launches(lat=np.linspace(37.0, 37.01, 20), lon=-121.9, asc=4.0, desc=8.0)
    assert not MemberSimulator(file, GROUND).fly(batch, PROFILES["zpb"]).failures
    assert len(rounds) <= 4
    assert bucket.moved() < bucket.info(NAME).size / 5


def test_watch_hears_of_every_byte_that_was_asked_for(bucket: Elsewhere, tmp_path: Path) -> None:
    file = made(bucket, tmp_path / "cache")
    before = bucket.moved()
    heard: list[tuple[int, int]] = []
    MemberSimulator(file, GROUND).fly(
        launches(lat=37.0), PROFILES["zpb"], watch=lambda asked, come: heard.append((asked, come))
    )
    asked, come = np.array(heard).sum(axis=0)
    assert asked == come == bucket.moved() - before


def test_wind_at_a_point_is_fetched(bucket: Elsewhere, tmp_path: Path) -> None:
    simulator, exact = MemberSimulator(made(bucket, tmp_path / "cache"), GROUND), whole(bucket)
    for lat, lon in ((37.3, -121.9), (90.0, 0.0), (-90.0, 359.0), (0.0, 359.99), (12.0, 180.0)):
        place = Location(lat, lon, 12000.0)
        assert simulator.wind(START + 5000.0, place) == exact.wind(START + 5000.0, place)
    with pytest.raises(NotResidentError):
        Simulator(simulator.field, GROUND).wind(START + 5000.0, Location(-40.0, 77.0, 1000.0))


def test_tiles_wider_than_the_grid_and_as_narrow_as_a_column_are_flown() -> None:
    field = winds(degrees=10.0)
    exact = Simulator(field, GROUND)
    batch = launches()
    batch.table = everywhere(40)
    for columns in (1, 2, 8, 64):
        in_row = -(-37 // columns)
        present = np.zeros(19 * in_row, np.uint8)
        simulator = Simulator(dataclasses.replace(field, tiles=Tiles(columns, in_row, present)), GROUND)
        for _ in range(200):
            flights = simulator.fly(batch, PROFILES["zpb"])
            if not flights.missing.size:
                break
            assert not present[flights.missing].any()
            present[flights.missing] = 1
        assert flights.landing.tobytes() == exact.fly(batch, PROFILES["zpb"]).landing.tobytes()
