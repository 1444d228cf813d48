"""The demo cycle on disk, and when it is made, kept and removed."""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import windfile
from habsim import atmosphere
from habsim.errors import NotFoundError
from scripts import demo_cycle
from store import publish as publishing
from store.bucket import LocalBucket
from store.manifest import cycle_start, read_manifest

NOW = datetime.datetime(2026, 1, 15, 7, 30, tzinfo=datetime.UTC).timestamp()
CYCLE = "2026011506"
HOUR = 3600.0

Array = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bucket with the full demo cycle, made by the command line. Read only."""
    folder = tmp_path_factory.mktemp("demo") / "bucket"
    assert demo_cycle.main(["--bucket", str(folder), "--now", "2026-01-15T07:30:00Z"]) == 0
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for a bucket; demo cycles made in it have two members."""
    monkeypatch.setattr(demo_cycle, "MEMBERS", 2)
    return tmp_path / "bucket"


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Modification time and content of every object."""
    bucket = LocalBucket(folder)
    return {name: (bucket.local_path(name).stat().st_mtime_ns, bucket.read(name)) for name in bucket.list()}


def publish(folder: Path, cycle: str, product: str) -> None:
    """Put a cycle of two members of another `product` into the bucket."""
    work = folder.parent / "work"
    work.mkdir(exist_ok=True)
    data = np.zeros((5, 9, 3, 5, 2), np.float16)
    for member in (0, 1):
        windfile.write(
            work / f"{member}.npz",
            data=data,
            timestamp=cycle_start(cycle),
            interval_seconds=6 * HOUR,
            levels=[100.0, 500.0, 1000.0],
            source={"product": product},
        )
    publishing.publish(LocalBucket(folder), cycle, {m: work / f"{m}.npz" for m in (0, 1)}, product=product)


def test_cycle_is_whole_and_covers_the_present(whole: Path) -> None:
    bucket = LocalBucket(whole)
    assert bucket.read("whichgefs") == CYCLE.encode()
    manifest = read_manifest(bucket, CYCLE)
    assert manifest.product == "demo"
    assert [m.member for m in manifest.members] == list(range(21))
    assert {m.shape for m in manifest.members} == {(37, 73, 31, 21, 2)}
    assert cycle_start(CYCLE) <= NOW < cycle_start(CYCLE) + 6 * HOUR
    winds = windfile.WindFile(bucket.local_path(f"{CYCLE}_20.npz")).winds
    assert winds.end == winds.start + 120 * HOUR
    assert winds.levels[[0, -1]].tolist() == [1, 1000]


def test_cycle_fits_on_a_small_disk_and_leaves_nothing_beside_it(whole: Path) -> None:
    assert sum(path.stat().st_size for path in whole.iterdir()) < 250e6
    assert list(whole.parent.iterdir()) == [whole]
    assert len(LocalBucket(whole).list()) == 23


def test_files_hold_a_closed_globe(whole: Path) -> None:
    for member in (0, 13):
        winds = windfile.WindFile(whole / f"{CYCLE}_{member:02d}.npz").winds
        assert winds.height is not None
        for array in (winds.data, winds.height):
            assert np.isfinite(array).all()
            assert (array[:, -1] == array[:, 0]).all()
        assert (np.ptp(winds.height[[0, -1]], axis=1) == 0).all()
        longitudes = np.radians(np.arange(0.0, 361.0, 5.0))[:, None, None]
        for row, inward in ((0, 1), (-1, -1)):
            u, v = np.moveaxis(winds.data[row].astype(np.float64), -1, 0)
            vector = u * 1j * np.exp(1j * longitudes) - inward * v * np.exp(1j * longitudes)
            # One vector for all longitudes, to half a unit in the last place of float16 up to 32 m/s.
            assert np.abs(vector - vector.mean(axis=0)).max() < 0.02


def test_files_hold_heights_that_fit_their_winds(whole: Path) -> None:
    winds = windfile.WindFile(whole / f"{CYCLE}_09.npz").winds
    assert winds.height is not None
    above = np.flatnonzero(winds.levels <= 700)
    z = winds.height[:, :, above].astype(np.float64) + atmosphere.altitude(winds.levels[above])[:, None]
    assert (np.diff(winds.height + atmosphere.altitude(winds.levels)[:, None], axis=2) < 0).all()
    latitudes = np.radians(np.arange(90.0, -91.0, -5.0))
    step = 6_371_009.0 * np.radians(5.0)
    rows = np.r_[5:12, 25:32]  # 65 to 35 degrees north and south
    coriolis = 2 * 7.292e-5 * np.sin(latitudes[rows])[:, None, None, None]
    northward_slope = (z[rows - 1] - z[rows + 1])[:, 1:-1] / (2 * step)
    eastward_slope = (z[rows, 2:] - z[rows, :-2]) / (2 * step * np.cos(latitudes[rows])[:, None, None, None])
    for component, geostrophic in (
        (0, -9.80665 / coriolis * northward_slope),
        (1, 9.80665 / coriolis * eastward_slope),
    ):
        actual = winds.data[rows, 1:-1, :, :, component][:, :, above].astype(np.float64)
        # Differences over 10 degrees lose 10 % of wave 9 to the east and more of jets 10 degrees wide to the north.
        assert np.corrcoef(actual.ravel(), geostrophic.ravel())[0, 1] > 0.99
        assert np.std(actual - geostrophic) < 0.15 * np.std(actual)


def test_members_are_the_same_bytes_each_time(whole: Path, tmp_path: Path) -> None:
    for path in demo_cycle.write_members(tmp_path, CYCLE, 2).values():
        assert path.read_bytes() == (whole / path.name).read_bytes()
    assert (tmp_path / f"{CYCLE}_00.npz").read_bytes() != (tmp_path / f"{CYCLE}_01.npz").read_bytes()


@pytest.mark.parametrize("has_manifest", [True, False])
def test_real_cycle_is_left_alone_if_not_needed(small: Path, has_manifest: bool) -> None:
    publish(small, "2025111312", "gfs")
    if not has_manifest:
        (small / "2025111312.json").unlink()
    before, files = state(small), set(small.iterdir())
    assert demo_cycle.main(["--bucket", str(small), "--now", str(NOW), "--if-needed"]) == 0
    assert state(small) == before
    assert set(small.iterdir()) == files  # not even a lock: the folder may be one that can only be read


def test_demo_that_covers_the_present_is_kept(small: Path) -> None:
    assert "made" in demo_cycle.make_if_needed(small, NOW)
    before = state(small)
    last = cycle_start(CYCLE) + 120 * HOUR
    for now in (NOW, last):
        assert "nothing to do" in demo_cycle.make_if_needed(small, now)
    assert state(small) == before


def test_expired_demo_is_replaced_and_removed_but_real_cycles_stay(small: Path) -> None:
    publish(small, "2025111312", "gfs")
    real = state(small)
    demo_cycle.make(small, NOW)
    after_its_end = cycle_start(CYCLE) + 120 * HOUR + 1
    assert "removed 2026011506" in demo_cycle.make_if_needed(small, after_its_end)
    found = state(small)
    assert found["whichgefs"][1] == b"2026012006"
    assert {name for name in found if name.startswith(CYCLE)} == set()
    assert {name: found[name] for name in real if name != "whichgefs"} == {
        name: real[name] for name in real if name != "whichgefs"
    }
    assert len(found) == 1 + 3 + 3


def test_demo_without_one_of_its_files_is_made_again(small: Path) -> None:
    demo_cycle.make(small, NOW)
    before = state(small)
    (small / f"{CYCLE}_01.npz").unlink()
    assert "made" in demo_cycle.make_if_needed(small, NOW)
    assert state(small)[f"{CYCLE}_01.npz"][1] == before[f"{CYCLE}_01.npz"][1]


def test_what_a_killed_process_left_is_removed(small: Path) -> None:
    demo_cycle.make(small, NOW)
    (small / f"{CYCLE}.json").unlink()
    (small / "whichgefs").unlink()
    work = small.parent / ".bucket.demo_cycle"
    work.mkdir()
    (work / "half").write_bytes(b"x")
    assert "removed 2026011506" in demo_cycle.make_if_needed(small, NOW + 12 * HOUR)
    assert list(LocalBucket(small).list()) == [f"2026011518{end}" for end in (".json", "_00.npz", "_01.npz")] + [
        "whichgefs"
    ]
    assert not work.exists()


def test_demo_never_takes_the_place_of_a_real_cycle(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(small, CYCLE, "gfs")
    before = state(small)
    assert demo_cycle.main(["--bucket", str(small), "--now", str(NOW)]) == 1
    assert "is not a demo" in capsys.readouterr().err
    assert state(small) == before


def test_of_two_at_once_one_makes_the_cycle(small: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda _: demo_cycle.make_if_needed(small, NOW), range(2)))
    assert sorted("made" in sentence for sentence in said) == [False, True]
    assert len(read_manifest(LocalBucket(small), CYCLE).members) == 2


def test_failure_leaves_the_bucket_as_it_was(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(windfile, "write", fails)
    assert demo_cycle.main(["--bucket", str(small), "--now", str(NOW)]) == 1
    assert not (small.parent / ".bucket.demo_cycle").exists()
    with pytest.raises(NotFoundError):
        LocalBucket(small).read("whichgefs")


def test_start_with_nothing_to_do_imports_nothing_heavy(whole: Path) -> None:
    # `make run` asks at every start. numpy alone takes 0.1 s, the flight kernels 0.3 s.
    code = (
        "import sys; from scripts import demo_cycle; "
        f"demo_cycle.main(['--bucket', {str(whole)!r}, '--now', '{NOW}', '--if-needed']); "
        "print(sorted({'numpy', 'numba', 'gefs'} & sys.modules.keys()))"
    )
    root = Path(demo_cycle.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["demo cycle 2026011506 covers the present: nothing to do", "[]"]


def test_now_is_rfc3339_or_unix_seconds() -> None:
    for text in ("2026-01-15T07:30:00Z", "2026-01-15T08:30:00+01:00", "1768462200", "1768462200.0"):
        assert demo_cycle.moment(text) == NOW


@pytest.mark.parametrize("text", ["tomorrow", "nan", "inf", "-1", "1e12", "2026-01-15T07:30:00", ""])
def test_other_moments_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        demo_cycle.moment(text)
