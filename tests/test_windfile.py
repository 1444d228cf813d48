"""A wind file is mapped as it lies, or refused as a WindFileError whatever is wrong with it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import gc
import io
import json
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import windfile
from habsim.classes import ElevationFile, Location, Simulator, WindField
from habsim.errors import WindFileError
from habsim.profiles import PROFILES
from tests import faults
from tests.worlds import START, launches, sample, uniform, write_field
from windfile import WindFile

LEVELS = [200.0, 500.0, 850.0]
NAN = float("nan")
SEA = ElevationFile.flat()


def small(*, height: bool = False, levels: list[float] | None = None, **more: Any) -> WindField:
    """A wind field of some kilobytes whose every node differs from its neighbours."""
    with_height = (lambda lat, lon, p, t: 16000.0 - 16.0 * p + lat) if height else None
    return sample(
        lambda lat, lon, p, t: (lat / 9 + p / 500 + np.cos(np.radians(lon)), np.sin(np.radians(lon)) + t / 9000),
        levels=levels or LEVELS,
        degrees=more.pop("degrees", 45.0),
        times=more.pop("times", 3),
        height=with_height,
        **more,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A wind file with all that a wind file can have."""
    return write_field(tmp_path / "2026111900_00.npz", small(height=True), source={"product": "test", "member": 0})


def refusal(path: Path) -> str:
    """Why the reader refuses the file."""
    with pytest.raises(WindFileError) as caught:
        WindFile(path)
    assert path.name in caught.value.message
    return caught.value.message


def assert_same(found: WindField, expected: WindField) -> None:
    np.testing.assert_array_equal(found.data, expected.data)
    if expected.height is None:
        assert found.height is None
    else:
        assert found.height is not None
        np.testing.assert_array_equal(found.height, expected.height)
    assert found.levels.tolist() == expected.levels.tolist()
    assert (found.start, found.interval_seconds) == (expected.start, expected.interval_seconds)


# --- What is written is read


@pytest.mark.parametrize("height", [False, True])
@pytest.mark.parametrize("degrees", [90.0, 36.0, 2.5])
@pytest.mark.parametrize("levels", [[500.0, 1000.0], [1.0, 2.0, 3.0, 5.5, 1013.25]])
@pytest.mark.parametrize("times", [2, 9])
def test_any_grid_is_read_as_it_was_written(
    tmp_path: Path, height: bool, degrees: float, levels: list[float], times: int
) -> None:
    field = small(height=height, degrees=degrees, levels=levels, times=times, interval=10800.0)
    path = write_field(tmp_path / "a.npz", field, source={"product": "test"})
    file = WindFile(path)
    assert_same(file.winds, field)
    assert file.source == {"product": "test"}
    assert file.winds.name == "a.npz"


def test_file_of_older_tools_is_read_in_place_at_odd_offsets(tmp_path: Path) -> None:
    field = small(degrees=5.0)
    flown = []
    offsets = set()
    for length in range(1, 5):
        # Entries of other lengths before it move the array to every offset.
        path = tmp_path / f"{'x' * length}.npz"
        np.savez(
            path,
            **{"n" * length: np.frombuffer(b"12345"[:length], np.uint8)},
            timestamp=np.array(START),
            interval=np.array(21600),
            levels=np.array([200, 500, 850]),
            data=field.data,
            allow_pickle=False,
        )
        file = WindFile(path)
        assert_same(file.winds, field)
        assert not file.winds.data.flags.owndata
        with zipfile.ZipFile(path) as archive:
            offsets.add(file.winds.data.ctypes.data % 64)
            assert "data.npy" in archive.namelist()
        flights = Simulator(file.winds, SEA).fly(launches(lat=20.0, equil=9000.0), PROFILES["zpb"])
        flown.append(flights.landing.tobytes())
    assert any(offset % 2 for offset in offsets)
    expected = Simulator(field, SEA).fly(launches(lat=20.0, equil=9000.0), PROFILES["zpb"])
    assert set(flown) == {expected.landing.tobytes()}


def test_arrays_start_at_a_multiple_of_64_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "ab.npz", "abc.npz"):
        for source in (None, {"x": "y" * len(name)}):
            file = WindFile(write_field(tmp_path / name, small(height=True), source=source))
            assert file.winds.height is not None
            assert file.winds.data.ctypes.data % windfile.ALIGNMENT == 0
            assert file.winds.height.ctypes.data % windfile.ALIGNMENT == 0


def test_written_file_is_read_by_numpy_and_has_the_documented_entries(path: Path) -> None:
    field = small(height=True)
    with np.load(path, allow_pickle=False) as archive:
        assert set(archive.files) == {"data", "timestamp", "interval", "levels", "height", "source"}
        np.testing.assert_array_equal(archive["data"], field.data)
        assert archive["timestamp"].dtype == np.float64
        assert float(archive["timestamp"]) == START
        assert json.loads(str(archive["source"])) == {"product": "test", "member": 0}
    with zipfile.ZipFile(path) as whole:
        assert whole.testzip() is None


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    first = write_field(tmp_path / "a.npz", small(height=True), source={"a": 1, "b": 2})
    second = write_field(tmp_path / "b.npz", small(height=True), source={"b": 2, "a": 1})
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("order", ["column-major", "every other row", "mapped"])
def test_arrays_in_any_memory_order_are_written_right(tmp_path: Path, order: str) -> None:
    field = small(height=True)
    assert field.height is not None
    data, height = field.data, field.height
    if order == "column-major":
        data, height = np.asfortranarray(data), np.asfortranarray(height)
    elif order == "every other row":
        data, height = np.repeat(data, 2, axis=0)[::2], np.repeat(height, 2, axis=0)[::2]
    else:
        np.save(tmp_path / "data.npy", data)
        data = np.load(tmp_path / "data.npy", mmap_mode="r")
    changed = WindField("b", data, height, field.levels, field.start, field.interval_seconds)
    plain, other = write_field(tmp_path / "a.npz", field), write_field(tmp_path / "b.npz", changed)
    assert_same(WindFile(other).winds, field)
    assert plain.read_bytes() == other.read_bytes()


def test_arrays_larger_than_a_piece_are_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windfile, "_COPY_BYTES", 1000)
    field = small(height=True, degrees=10.0)
    assert_same(WindFile(write_field(tmp_path / "a.npz", field)).winds, field)


def test_entries_that_other_tools_add_are_ignored(path: Path) -> None:
    faults.rewrite(path, cloud=np.zeros((3, 3)), source=None)
    file = WindFile(path)
    assert_same(file.winds, small(height=True))
    assert file.source == {}


@pytest.mark.parametrize("source", [["a"], "text", 3])
def test_source_that_is_no_object_is_kept_under_its_name(path: Path, source: Any) -> None:
    faults.rewrite(path, source=np.array(json.dumps(source)))
    assert WindFile(path).source == {"source": source}


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float32, np.float64, np.uint32])
def test_scalars_and_levels_may_be_of_any_number_type(path: Path, kind: type) -> None:
    faults.rewrite(path, timestamp=np.array(1.0, kind), interval=np.array([3600], kind), levels=np.array(LEVELS, kind))
    winds = WindFile(path).winds
    assert (winds.start, winds.interval_seconds, winds.levels.tolist()) == (1.0, 3600.0, LEVELS)
    assert winds.levels.dtype == np.float64


def test_winds_cannot_be_changed_through_the_map(path: Path) -> None:
    winds = WindFile(path).winds
    with pytest.raises(ValueError, match="read-only"):
        winds.data[0, 0, 0, 0, 0] = 0


def test_nodes_without_a_number_are_read_and_named_by_the_flight(path: Path, tmp_path: Path) -> None:
    data = small().data.copy()
    data[2, 3:6] = np.nan
    other = faults.rewrite(write_field(tmp_path / "nan.npz", small()), data=data)
    flights = Simulator(WindFile(other).winds, SEA).fly(launches(lon=180.0), PROFILES["zpb"])
    assert isinstance(flights.failures[0], WindFileError)
    assert "nan.npz holds no number near 0.00, 180.00" in flights.failures[0].message
    assert "hPa at 2026-11-19T00:00:00Z" in flights.failures[0].message


# --- What is refused


DATA = small().data
SHAPE = DATA.shape

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no data": ({"data": None}, "has no data"),
    "no axes": ({"levels": None, "interval": None}, "has no interval, levels"),
    "four axes": ({"data": DATA[..., 0]}, "shape"),
    "six axes": ({"data": DATA[..., None]}, "shape"),
    "one component": ({"data": DATA[..., :1]}, "shape"),
    "three components": ({"data": np.concatenate([DATA, DATA[..., :1]], axis=-1)}, "shape"),
    "two rows": ({"data": DATA[:2]}, "lat >= 3"),
    "two columns": ({"data": DATA[:, :2]}, "lon >= 3"),
    "one level": ({"data": DATA[:, :, :1], "levels": np.array([500.0])}, "level >= 2"),
    "one time": ({"data": DATA[:, :, :, :1]}, "time >= 2"),
    "nothing": ({"data": np.zeros((0, 0, 0, 0, 0), np.float16)}, "shape"),
    "single precision": ({"data": DATA.astype(np.float32)}, "row-major float16"),
    "big endian": ({"data": DATA.astype(">f2")}, "row-major >f2|row-major float16"),
    "column-major": ({"data": np.asfortranarray(DATA)}, "column-major"),
    "open longitudes": ({"data": np.roll(DATA, 1, axis=1)}, "last longitude column must repeat the first"),
    "data of objects": ({"data": np.full(SHAPE, None, object)}, "object"),
    "height of another shape": ({"height": np.zeros((*SHAPE[:3], 2), np.float16)}, "height of"),
    "height with components": ({"height": np.zeros(SHAPE, np.float16)}, "height of"),
    "height in double precision": ({"height": np.zeros(SHAPE[:4])}, "height.npy"),
    "too few levels": ({"levels": np.array(LEVELS[:2])}, "names 2 levels, its data has 3"),
    "too many levels": ({"levels": np.array([*LEVELS, 1000.0])}, "names 4 levels, its data has 3"),
    "descending levels": ({"levels": np.array(LEVELS[::-1])}, "ascending"),
    "a level twice": ({"levels": np.array([200.0, 500.0, 500.0])}, "ascending"),
    "a negative level": ({"levels": np.array([-1.0, 500.0, 850.0])}, "positive hPa"),
    "a level of zero": ({"levels": np.array([0.0, 500.0, 850.0])}, "positive hPa"),
    "a level without number": ({"levels": np.array([200.0, NAN, 850.0])}, "positive hPa"),
    "an infinite level": ({"levels": np.array([200.0, 500.0, np.inf])}, "positive hPa"),
    "levels as text": ({"levels": np.array(["200", "500", "850"])}, "list of numbers"),
    "levels as a table": ({"levels": np.array([LEVELS])}, "list of numbers"),
    "complex levels": ({"levels": np.array(LEVELS, complex)}, "list of numbers"),
    "pickled levels": ({"levels": np.array(LEVELS, object)}, "damaged: Object arrays"),
    "interval zero": ({"interval": np.array(0)}, "interval of .* is 0 s, it must be positive"),
    "negative interval": ({"interval": np.array(-21600.0)}, "interval of .* is -21600 s"),
    "interval without number": ({"interval": np.array(NAN)}, "interval of .* one finite number"),
    "two intervals": ({"interval": np.array([1.0, 2.0])}, "one finite number"),
    "no interval": ({"interval": np.array([])}, "one finite number"),
    "timestamp without number": ({"timestamp": np.array(NAN)}, "timestamp of .* one finite number"),
    "infinite timestamp": ({"timestamp": np.array(np.inf)}, "one finite number"),
    "timestamp as text": ({"timestamp": np.array("2026-11-19")}, "one finite number"),
    "timestamp as a date": ({"timestamp": np.array("2026-11-19", "datetime64[s]")}, "one finite number"),
    "source that is no JSON": ({"source": np.array("{'product': 1}")}, "source of .* is not JSON"),
    "source without end": ({"source": np.array("[" * 100_000)}, "source of .* is not JSON"),
    "source that is too long": ({"source": np.array('"' + "x" * (1 << 19) + '"')}, "at most 1048576"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arrays_that_do_not_agree_are_refused(path: Path, case: str) -> None:
    changes, reason = REFUSED[case]
    faults.rewrite(path, **({"height": None} | changes))
    with pytest.raises(WindFileError, match=reason):
        WindFile(path)


def test_compressed_file_is_refused_with_the_way_out(tmp_path: Path, path: Path) -> None:
    other = tmp_path / "compressed.npz"
    np.savez_compressed(other, **faults.arrays(path), allow_pickle=False)
    assert "write it with numpy.savez, not savez_compressed" in refusal(other)


def test_absent_empty_and_other_files_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "absent.npz")
    (tmp_path / "empty.npz").touch()
    assert "is empty" in refusal(tmp_path / "empty.npz")
    (tmp_path / "folder.npz").mkdir()
    assert "cannot be mapped" in refusal(tmp_path / "folder.npz")
    (tmp_path / "text.npz").write_text("404 Not Found\n" * 1000)
    assert "is damaged" in refusal(tmp_path / "text.npz")
    np.save(tmp_path / "array.npy", np.zeros(1000))
    assert "is damaged" in refusal(tmp_path / "array.npy")


def test_file_that_is_being_removed_is_refused(path: Path) -> None:
    with path.open("rb") as remover:
        fcntl.flock(remover, fcntl.LOCK_EX)
        assert "is being removed" in refusal(path)
    WindFile(path)


def test_file_cut_at_any_byte_is_refused(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    step = 7  # no divisor of a header's length: every part of the file is cut at many places
    sizes = [*range(0, len(whole), step), *range(len(whole) - 400, len(whole))]
    (tmp_path / "cut.npz").write_bytes(whole)
    with (tmp_path / "cut.npz").open("r+b", buffering=0) as file:
        for size in sorted(sizes, reverse=True):
            file.truncate(size)
            with pytest.raises(WindFileError):
                WindFile(tmp_path / "cut.npz")


@settings(
    deadline=None, max_examples=300, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(damage=st.data())
def test_any_damage_is_a_wind_file_error_or_shows_in_no_axis(path: Path, damage: st.DataObject) -> None:
    """Single bytes and runs of bytes anywhere; the arrays' own values are guarded by the manifest's SHA-256."""
    whole = path.read_bytes()
    # Most of the file is values: aim at the headers, which lie before and after them.
    first, last = whole.index(b"data.npy") - 30, whole.rindex(b"PK\x01\x02", 0, whole.index(b"PK\x05\x06"))
    header = st.integers(0, first + 400) | st.integers(last - 400, len(whole) - 1)
    offset = damage.draw(header | st.integers(0, len(whole) - 1))
    change = damage.draw(st.binary(min_size=1, max_size=8))
    damaged = path.with_name("damaged.npz")
    damaged.write_bytes((whole[:offset] + change + whole[offset + len(change) :])[: len(whole)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, on headers that are nearly right
        try:
            winds = WindFile(damaged).winds
        except WindFileError:
            return
    assert winds.data.shape == SHAPE
    assert winds.levels.tolist() == LEVELS
    assert (winds.start, winds.interval_seconds) == (START, 21600.0)


HEADERS = {
    "more values than the file": "{'descr': '<f2', 'fortran_order': False, 'shape': (10**0, 9)}",
    "too large to count": "{'descr': '<f2', 'fortran_order': False, 'shape': (4294967296, 4294967296, 9, 9, 2)}",
    "beyond 64 bits": "{'descr': '<f2', 'fortran_order': False, 'shape': (99999999999999999999, 1, 1, 1, 2)}",
    "terabytes": "{'descr': '<f2', 'fortran_order': False, 'shape': (1000000, 1000, 100, 10, 2)}",
    "negative": "{'descr': '<f2', 'fortran_order': False, 'shape': (-5, -9, 3, 3, 2)}",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (5, 9, 3, 3, 2)}",
    "an unknown type": "{'descr': 'wind', 'fortran_order': False, 'shape': (5, 9, 3, 3, 2)}",
    "a nested type": "{'descr': [('a', [])], 'fortran_order': False, 'shape': (5, 9, 3, 3, 2)}",
    "no dictionary": "5",
    "an open bracket": "{'descr': '<f2', 'shape': (5, ",
    "brackets without end": "(" * 5000,
    "code": "__import__('os').abort()",
}


@pytest.mark.parametrize("entry", ["data", "levels", "timestamp", "source"])
@pytest.mark.parametrize("case", HEADERS)
def test_array_headers_that_lie_are_refused_at_once(tmp_path: Path, path: Path, entry: str, case: str) -> None:
    text = HEADERS[case].encode("latin1")
    content = {name: _npy(array) for name, array in faults.arrays(path).items() if name != "height"}
    content[entry] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + bytes(200)
    other = tmp_path / "lies.npz"
    with zipfile.ZipFile(other, "w") as archive:
        for name, value in content.items():
            archive.writestr(f"{name}.npy", value)
    assert refusal(other)


def _npy(array: npt.NDArray[Any]) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array(target, array)
    return target.getvalue()


def test_small_entry_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path, path: Path) -> None:
    other = tmp_path / "bomb.npz"
    with zipfile.ZipFile(other, "w") as archive:
        for name, array in faults.arrays(path).items():
            content = _npy(array) if name != "levels" else _npy(np.zeros(8_000_000))
            kind = zipfile.ZIP_DEFLATED if name == "levels" else zipfile.ZIP_STORED
            archive.writestr(f"{name}.npy", content, compress_type=kind)
    assert other.stat().st_size < 200_000
    assert "compressed" in refusal(other)


@pytest.mark.parametrize("entry", ["data", "height", "levels", "source"])
def test_file_with_one_compressed_entry_is_refused(tmp_path: Path, path: Path, entry: str) -> None:
    other = tmp_path / "mixed.npz"
    with zipfile.ZipFile(other, "w") as archive:
        for name, array in faults.arrays(path).items():
            kind = zipfile.ZIP_DEFLATED if name == entry else zipfile.ZIP_STORED
            archive.writestr(f"{name}.npy", _npy(array), compress_type=kind)
    assert "mixed.npz is compressed" in refusal(other)


@pytest.mark.parametrize("claimed", [2, 4])
def test_array_with_more_or_fewer_bytes_than_its_shape_is_refused(tmp_path: Path, claimed: int) -> None:
    """In a uniform wind nothing else would show it: the bytes that follow are winds too."""
    field = sample(uniform(10.0, 10.0), levels=LEVELS, degrees=45.0, times=3)
    content = _npy(field.data).replace(b"3, 3, 2)", f"3, {claimed}, 2)".encode())
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", content)
        archive.writestr("more.npy", field.data.tobytes())
        for name, value in (("timestamp", START), ("interval", 21600.0), ("levels", LEVELS)):
            archive.writestr(f"{name}.npy", _npy(np.array(value)))
    assert f"shape (5, 9, 3, {claimed}, 2) needs" in refusal(path)


def test_encrypted_file_is_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 8] |= 1
    path.write_bytes(content)
    assert "encrypted" in refusal(path)


def test_arrays_beyond_four_gigabytes_are_found(tmp_path: Path) -> None:
    """A file of 5 GB, most of it a hole that takes no room on the disk, with its arrays behind it."""
    path, field = tmp_path / "large.npz", small()
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name, value in (("timestamp", START), ("interval", 21600.0), ("levels", LEVELS)):
                archive.writestr(f"{name}.npy", _npy(np.array(value)))
            assert archive.fp is not None
            archive.fp.seek(5 << 30)
            archive.start_dir = archive.fp.tell()
            with archive.open("data.npy", "w", force_zip64=True) as target:
                target.write(_npy(field.data))
    except OSError as error:
        if error.errno not in {errno.EFBIG, errno.ENOSPC}:
            raise
        pytest.skip("this file system holds no file of 5 GB")
    assert path.stat().st_size > 5 << 30
    assert_same(WindFile(path).winds, field)
    faults.truncate_in_place(path, path.stat().st_size - 100)
    assert "is damaged" in refusal(path)


# --- What is not written


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": DATA.astype(np.float32)}, "would hold float32"),
        ({"data": DATA.astype(">f2")}, "it must be float16"),
        ({"height": np.zeros(SHAPE[:4])}, "would hold float64"),
        ({"height": np.zeros(SHAPE[:3], np.float16)}, "height of"),
        ({"data": DATA[:, :-1]}, "last longitude column"),
        ({"levels": LEVELS[:2]}, "names 2 levels"),
        ({"levels": LEVELS[::-1]}, "ascending"),
        ({"interval_seconds": 0.0}, "it must be positive"),
        ({"interval_seconds": NAN}, "finite"),
        ({"timestamp": NAN}, "finite"),
    ],
)
def test_writer_refuses_what_the_reader_would(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    arguments: dict[str, Any] = {
        "data": DATA,
        "timestamp": START,
        "interval_seconds": 21600.0,
        "levels": LEVELS,
    } | changes
    with pytest.raises(WindFileError, match=reason):
        windfile.write(tmp_path / "a.npz", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    before = path.read_bytes()
    with faults.file_size_limit(len(before) // 2), pytest.raises(OSError, match="too large"):
        write_field(path, small(height=True, degrees=30.0))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_really_full_disk_leaves_nothing(tmp_path: Path) -> None:
    with faults.small_disk(tmp_path / "disk", kilobytes=64) as disk:
        with pytest.raises(OSError, match="No space left"):
            write_field(disk / "a.npz", small(height=True, degrees=5.0))
        assert list(disk.iterdir()) == []
        write_field(disk / "a.npz", small())
        WindFile(disk / "a.npz")


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_killed_writer_leaves_the_old_file(path: Path, step: str) -> None:
    before = path.read_bytes()
    code = faults.DEATHS[step] + (
        "import sys; from pathlib import Path; from tests.test_windfile import small; from tests.worlds import "
        "write_field; write_field(Path(sys.argv[1]), small(degrees=30.0))"
    )
    with faults.Process(code, path) as process:
        assert process.status() == faults.KILLED
    assert path.read_bytes() == before
    assert_same(WindFile(path).winds, small(height=True))


# --- What is mapped stays mapped, and no longer


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_map_and_lock_hold_until_the_last_array_is_gone(path: Path) -> None:
    file = WindFile(path)
    data, expected = file.winds.data[1:3], small().data[1:3]
    assert _is_locked(path)
    del file
    gc.collect()
    assert _is_locked(path)
    path.unlink()
    np.testing.assert_array_equal(data, expected)
    path.touch()
    del data
    gc.collect()
    assert not _is_locked(path)


def test_lock_is_given_back_with_the_file(path: Path) -> None:
    file = WindFile(path)
    assert _is_locked(path)
    del file
    gc.collect()
    assert not _is_locked(path)


def test_opening_and_refusing_leak_no_descriptors(path: Path, tmp_path: Path) -> None:
    """A worker lives for weeks and opens files all the time: 500 of each must leave nothing open."""
    damaged = faults.cut(path, tmp_path / "damaged.npz", path.stat().st_size - 1)
    inconsistent = faults.rewrite(write_field(tmp_path / "bad.npz", small()), interval=np.array(0))
    WindFile(path)
    before = faults.open_files()
    for _ in range(500):
        WindFile(path)
        for bad in (damaged, inconsistent):
            with contextlib.suppress(WindFileError):
                WindFile(bad)
    assert faults.open_files() == before


def test_untouched_file_is_unchanged(path: Path) -> None:
    file = WindFile(path)
    path.read_bytes()
    path.chmod(0o600)
    assert file.is_unchanged()


@pytest.mark.parametrize(
    "fault", ["overwritten", "cut", "grown", "replaced", "replaced and linked", "removed", "moved"]
)
def test_changed_file_is_noticed(path: Path, tmp_path: Path, fault: str) -> None:
    other = write_field(tmp_path / "other.npz", small(height=True))
    file = WindFile(path)
    match fault:
        case "overwritten":
            faults.overwrite_in_place(path, 3000, b"wind")
        case "cut":
            faults.truncate_in_place(path, 100)
        case "grown":
            with path.open("ab") as end:
                end.write(b"more")
        case "replaced":
            faults.replace_by_rename(path, other)
        case "replaced and linked":
            # A second name, as a backup by hard links gives, keeps the old file alive.
            (tmp_path / "backup.npz").hardlink_to(path)
            faults.replace_by_rename(path, other)
        case "removed":
            path.unlink()
        case "moved":
            path.rename(tmp_path / "elsewhere.npz")
    assert not file.is_unchanged()


def test_uniform_wind_survives_the_file(tmp_path: Path) -> None:
    """From the file to the flight: the wind that was written is the wind that is flown."""
    path = write_field(tmp_path / "a.npz", sample(uniform(12.5, -7.25)))
    file = WindFile(path)
    wind = Simulator(file.winds, SEA).wind(START + 5000.0, Location(47.3, 211.0, 12345.0))
    assert wind == pytest.approx((12.5, -7.25), abs=1e-5)


@pytest.mark.parametrize(
    "change", [{"interval": np.float64(1e300)}, {"timestamp": np.float64(-1.0)}, {"timestamp": 1e12}]
)
def test_times_beyond_all_forecasts_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    file = faults.rewrite(write_field(tmp_path / "far.npz", small()), **change)
    with pytest.raises(WindFileError, match=r"far.npz covers .* not in 1970..3000"):
        WindFile(file)


def test_heights_that_put_a_level_above_a_higher_one_are_refused(tmp_path: Path) -> None:
    field = small(height=True)
    assert field.height is not None
    height = field.height.copy()
    height[:, :, -1] += np.float16(40000.0)
    with pytest.raises(WindFileError, match=r"height of file.npz puts .* hPa above"):
        write_field(tmp_path / "file.npz", dataclasses.replace(field, height=height))
