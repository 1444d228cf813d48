"""One process of a machine keeps the disk cache in order and fetches the rest of wind files, no faster than it may."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import housekeeping
import sharedfiles
from gefs import Cycles, Remote
from habsim.errors import BucketError, UnavailableError
from housekeeping import Housekeeper, Prefetch
from store import cache as cache_module
from store.manifest import wind_file_name
from store.resident import MAP
from tests import faults
from tests.elsewhere import Elsewhere
from tests.worlds import make_bucket

FIRST, SECOND = "2026111900", "2026111906"
TILE = 39_680  # bytes of a tile here; a wind file has 19
SIZE = 436_000  # bytes of a wind file here, about


@pytest.fixture
def bucket(tmp_path: Path) -> Elsewhere:
    """A bucket with a cycle of three members."""
    return Elsewhere(make_bucket(tmp_path / "bucket").root)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def cycles(bucket: Elsewhere, data: Path) -> Cycles:
    """The bucket's cycles; nobody looks for a new one but by `refresh`."""
    found = Cycles(bucket, data, refresh_seconds=1e9)
    found.refresh()
    return found


def keeper_of(cycles: Cycles, prefetch: Prefetch = "used", bytes_per_second: float = 1e12) -> Housekeeper:
    return Housekeeper(cycles, cycles.cache.folder.parent / "locks" / "housekeeping.lock", prefetch, bytes_per_second)


def use(cycles: Cycles, member: int, seconds_ago: float = 0.0) -> None:
    """Let a flight begin with a member of the current cycle, so long ago."""
    cycle = cycles.current()
    cycles.open_member(cycle, member)
    moment = time.time() - seconds_ago
    os.utime(cycles.cache.folder / (wind_file_name(cycle.name, member) + MAP), (moment, moment))
    gc.collect()


def state(cycles: Cycles) -> dict[str, bool]:
    """Member -> whether it is whole, of all files in the cache."""
    return {entry.name.removesuffix(".npz"): entry.is_whole for entry in cycles.cache.entries()}


@pytest.fixture
def completed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that were to be completed, in this order."""
    found: list[str] = []
    complete = cache_module.DiskCache.complete

    def noted(self: cache_module.DiskCache, published: cache_module.Published, pace: Callable[[int], bool]) -> bool:
        found.append(published.name.removesuffix(".npz"))
        return complete(self, published, pace)

    monkeypatch.setattr(cache_module.DiskCache, "complete", noted)
    return found


# --- What is completed


def test_off_completes_nothing(cycles: Cycles, bucket: Elsewhere) -> None:
    use(cycles, 1)
    bucket.ranges.clear()
    keeper_of(cycles, "off").tidy()
    assert state(cycles) == {f"{FIRST}_01": False}
    assert bucket.ranges == []


def test_used_completes_what_flights_have_begun_the_latest_used_first(cycles: Cycles, completed: list[str]) -> None:
    use(cycles, 0, seconds_ago=20.0)
    use(cycles, 2, seconds_ago=10.0)
    keeper_of(cycles, "used").tidy()
    assert completed == [f"{FIRST}_02", f"{FIRST}_00"]
    assert state(cycles) == {f"{FIRST}_02": True, f"{FIRST}_00": True}


def test_all_completes_what_is_used_and_then_the_others(cycles: Cycles, completed: list[str]) -> None:
    use(cycles, 1)
    keeper_of(cycles, "all").tidy()
    assert completed == [f"{FIRST}_01", f"{FIRST}_00", f"{FIRST}_02"]
    assert all(state(cycles).values())
    for member in range(3):
        name = wind_file_name(FIRST, member)
        assert (cycles.cache.folder / name).read_bytes() == cycles.bucket.read(name)


def test_what_is_complete_is_left_alone(cycles: Cycles, bucket: Elsewhere, completed: list[str]) -> None:
    keeper = keeper_of(cycles, "all")
    keeper.tidy()
    bucket.ranges.clear()
    completed.clear()
    keeper.tidy()
    keeper_of(cycles, "all").tidy()
    assert completed == []
    assert bucket.ranges == []


def test_cache_is_kept_within_its_bounds_and_old_cycles_go(bucket: Elsewhere, data: Path, cycles: Cycles) -> None:
    for member in range(3):
        use(cycles, member, seconds_ago=10.0 * member)
    small = Cycles(bucket, data, 1e9, Remote(cache_files=2))
    keeper_of(small, "off").tidy()
    assert state(cycles) == {f"{FIRST}_01": False, f"{FIRST}_00": False}
    use(cycles, 0, seconds_ago=2 * cache_module.UNUSED_SECONDS)
    keeper_of(small, "off").tidy()
    assert len(state(cycles)) == 2  # of the current cycle
    make_bucket(bucket.root, cycle=SECOND)
    small.refresh()
    keeper_of(small, "off").tidy()
    assert state(cycles) == {f"{FIRST}_01": False}


def test_member_that_cannot_be_completed_does_not_keep_the_others_from_it(
    cycles: Cycles, bucket: Elsewhere, caplog: pytest.LogCaptureFixture
) -> None:
    path = bucket.root / wind_file_name(FIRST, 1)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    cycles.refresh()
    keeper = keeper_of(cycles, "all")
    for _ in range(3):
        keeper.tidy()
    assert state(cycles) == {f"{FIRST}_00": True, f"{FIRST}_02": True}
    (line,) = [record.message for record in caplog.records if "is not completed" in record.message]
    assert line.startswith(f"{FIRST}_01.npz is not completed: {FIRST}_01.npz was fetched whole and has another SHA-256")


@pytest.mark.parametrize("bound", ["files", "bytes"])
def test_cache_without_room_for_all_comes_to_rest(
    bucket: Elsewhere, data: Path, cycles: Cycles, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "BATCH_BYTES", 2 * TILE)
    remote = Remote(cache_files=2) if bound == "files" else Remote(cache_bytes=2.5 * SIZE)
    small = Cycles(bucket, data, 1e9, remote)
    keeper = keeper_of(small, "all")
    for _ in range(4):
        keeper.tidy()
    bucket.ranges.clear()
    for _ in range(4):
        keeper.tidy()
    assert bucket.ranges == []
    assert small.cache.used_bytes() <= 2.5 * SIZE
    assert sum(state(cycles).values()) == 2


def test_full_cache_is_said_once_and_stops_completion(
    bucket: Elsewhere, data: Path, cycles: Cycles, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "BATCH_BYTES", 2 * TILE)
    small = Cycles(bucket, data, 1e9, Remote(cache_bytes=1.5 * SIZE))
    for member in range(3):
        use(cycles, member)
    keeper = keeper_of(small, "used")
    for _ in range(5):
        keeper.tidy()
    assert SIZE < small.cache.used_bytes() <= 1.5 * SIZE
    said = [record.message for record in caplog.records if "full" in record.message]
    assert said == ["the disk cache is full (HABSIM_CACHE_GB): wind files are not completed, only used in part"]
    keeper_of(Cycles(bucket, data, 1e9), "used").tidy()
    assert all(state(cycles).values())


# --- How fast


class Clock:
    """Time that passes by waiting only; a stop event that notes what it was waited for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self.stops_after = 10_000

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return len(self.waits) > self.stops_after

    def is_set(self) -> bool:
        return len(self.waits) > self.stops_after

    def set(self) -> None:
        self.stops_after = 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def paced(cycles: Cycles, clock: Clock, prefetch: Prefetch, bytes_per_second: float) -> Housekeeper:
    keeper = keeper_of(cycles, prefetch, bytes_per_second)
    keeper._stop = clock  # type: ignore[assignment]
    return keeper


def test_no_more_bytes_than_allowed_are_fetched_in_a_time(
    cycles: Cycles, clock: Clock, bucket: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "BATCH_BYTES", 2 * TILE)
    began = clock.now
    moments: list[tuple[float, int]] = []
    bucket.before = lambda name, offset, length: moments.append((clock.now - began, length))
    paced(cycles, clock, "all", bytes_per_second=1000.0).tidy()
    assert all(state(cycles).values())
    # 19 tiles by two: the first batch at once, each other when the one before it has had its time.
    per_file = [2 * TILE / 1000.0] * 9 + [TILE / 1000.0]
    assert clock.waits == pytest.approx([0.0, *(per_file * 3)[:-1]])
    for moment, _ in moments:
        earlier = sum(length for at, length in moments if at < moment)
        assert earlier <= 1000.0 * moment + 3 * 70_000  # frames are not paced: what opens a file is in a hurry
    # Time that was not used is not made up for.
    clock.now += 1e6
    clock.waits.clear()
    keeper = paced(cycles, clock, "all", bytes_per_second=1000.0)
    assert keeper._pace(5000, cycles.current())
    assert keeper._pace(5000, cycles.current())
    clock.now += 1e6
    assert keeper._pace(5000, cycles.current())
    assert keeper._pace(5000, cycles.current())
    assert clock.waits == [0.0, 5.0, 0.0, 5.0]


def test_what_is_not_fetched_takes_none_of_the_time(bucket: Elsewhere, data: Path, clock: Clock) -> None:
    full = Cycles(bucket, data, 1e9, Remote(cache_bytes=1000.0))
    cycle = full.refresh()
    keeper = paced(full, clock, "all", bytes_per_second=1.0)
    for _ in range(100):
        assert not keeper._pace(5000, cycle)
    assert clock.waits == []
    roomy = paced(Cycles(bucket, data, 1e9), clock, "all", bytes_per_second=1.0)
    roomy._next_batch = keeper._next_batch
    assert roomy._pace(5000, cycle)
    assert clock.waits == [0.0]


def test_stopped_housekeeper_stops_between_two_batches(
    cycles: Cycles, clock: Clock, monkeypatch: pytest.MonkeyPatch, completed: list[str]
) -> None:
    monkeypatch.setattr(cache_module, "BATCH_BYTES", 2 * TILE)
    clock.stops_after = 3
    paced(cycles, clock, "all", 1000.0).tidy()
    assert len(clock.waits) == 4
    assert completed == [f"{FIRST}_00"]
    assert state(cycles) == {f"{FIRST}_00": False}


# --- Switches


def test_completion_goes_on_with_the_new_cycle(
    bucket: Elsewhere, cycles: Cycles, completed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "BATCH_BYTES", 2 * TILE)

    def switch(name: str, offset: int, length: int) -> None:
        if offset > SIZE // 2 and cycles.current().name == FIRST:
            make_bucket(bucket.root, cycle=SECOND)
            cycles.refresh()

    use(cycles, 0)
    bucket.before = switch
    keeper = keeper_of(cycles, "all")
    keeper.tidy()
    assert completed == [f"{FIRST}_00"]
    assert state(cycles) == {f"{FIRST}_00": False}
    keeper.tidy()
    assert completed[1:] == [f"{SECOND}_0{member}" for member in range(3)]


def test_cycle_published_again_is_completed_again(bucket: Elsewhere, cycles: Cycles, completed: list[str]) -> None:
    keeper = keeper_of(cycles, "all")
    keeper.tidy()
    make_bucket(bucket.root, wind=20.0)
    cycles.refresh()
    completed.clear()
    cycles.cache.free_room()
    keeper.tidy()
    assert f"{FIRST}_00" in completed
    for member in range(3):
        cycles.open_member(cycles.current(), member)
    keeper.tidy()
    for member in range(3):
        assert cycles.open_member(cycles.current(), member).winds.data[1, 1, 1, 1, 0] == 20.0 + member


# --- In the background


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "LOOK_SECONDS", 0.01)


@pytest.fixture
def running(cycles: Cycles, quick: None) -> Iterator[Housekeeper]:
    """A housekeeper of this process that has been started."""
    keeper = keeper_of(cycles, "all")
    keeper.start()
    yield keeper
    keeper.stop()
    faults.wait_until(lambda: not threads(), "the end of the thread")


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "housekeeping"]


def test_it_works_without_being_asked_and_stops(cycles: Cycles, data: Path, running: Housekeeper) -> None:
    lock = data / "locks" / "housekeeping.lock"
    faults.wait_until(lambda: len(state(cycles)) == 3 and all(state(cycles).values()), "all files")
    assert sharedfiles.is_locked(lock)
    running.stop()
    faults.wait_until(lambda: not threads(), "the end of the thread")
    assert not sharedfiles.is_locked(lock)


def test_bucket_on_this_machine_needs_no_housekeeping(tmp_path: Path, data: Path) -> None:
    local = Cycles(make_bucket(tmp_path / "local"), data)
    keeper_of(local, "all").start()
    assert threads() == []


def test_silent_store_is_waited_for_and_said_once(
    cycles: Cycles, bucket: Elsewhere, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    rounds: list[float] = []
    bucket.silent = True
    keeper = keeper_of(cycles, "all")
    look = keeper.tidy

    def counted() -> None:
        rounds.append(time.monotonic())
        look()

    keeper.tidy = counted  # type: ignore[method-assign]
    keeper.start()
    try:
        faults.wait_until(lambda: len(rounds) > 5, "some rounds")
        said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
        assert said == ["housekeeping waits: the store does not answer"]
        bucket.silent = False
        faults.wait_until(lambda: len(state(cycles)) == 3 and all(state(cycles).values()), "all files")
        bucket.silent = True
        cycles.cache.free_room()
    finally:
        keeper.stop()
        faults.wait_until(lambda: not threads(), "the end of the thread")


def test_store_that_has_never_answered_is_waited_for(
    tmp_path: Path, data: Path, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = Elsewhere(tmp_path / "bucket")
    bucket.silent = True
    cycles = Cycles(bucket, data, refresh_seconds=1e9)
    with pytest.raises(UnavailableError):
        keeper_of(cycles).tidy()
    keeper = keeper_of(cycles, "all")
    keeper.start()
    try:
        faults.wait_until(lambda: "housekeeping waits: no cycle can be flown" in caplog.text, "the log line")
        bucket.silent = False
        make_bucket(bucket.root)
        faults.wait_until(lambda: len(state(cycles)) == 3 and all(state(cycles).values()), "all files")
    finally:
        keeper.stop()
        faults.wait_until(lambda: not threads(), "the end of the thread")


def test_store_that_falls_silent_between_two_files_ends_the_round(
    cycles: Cycles, bucket: Elsewhere, completed: list[str]
) -> None:
    def silent(name: str, offset: int, length: int) -> None:
        if "_01" in name:
            raise BucketError("the store has fallen silent")

    bucket.before = silent
    keeper = keeper_of(cycles, "all")
    with pytest.raises(BucketError):
        keeper.tidy()
    assert completed == [f"{FIRST}_00", f"{FIRST}_01"]
    bucket.before = lambda name, offset, length: None
    keeper.tidy()
    assert all(state(cycles).values())


KEEPS = """
import sys, time
from pathlib import Path
import housekeeping
from gefs import Cycles
from housekeeping import Housekeeper
from tests.elsewhere import Elsewhere
housekeeping.LOOK_SECONDS = 0.01
data = Path(sys.argv[2])
keeper = Housekeeper(
    Cycles(Elsewhere(Path(sys.argv[1])), data), data / "locks" / "housekeeping.lock", "all", float(sys.argv[3])
)
tidy = keeper.tidy
def said():
    print("at work", flush=True)
    tidy()
    time.sleep(600)
keeper.tidy = said
print("started", flush=True)
keeper.start()
time.sleep(600)
"""


def test_one_process_does_it_and_another_takes_over_when_it_is_killed(
    cycles: Cycles, bucket: Elsewhere, data: Path
) -> None:
    lock = data / "locks" / "housekeeping.lock"
    with faults.Process(KEEPS, bucket.root, data, 1.0) as first:
        assert (first.line(), first.line()) == ("started", "at work")
        assert sharedfiles.is_locked(lock)
        with faults.Process(KEEPS, bucket.root, data, 1e9) as second:
            assert second.line() == "started"
            assert not all(state(cycles).values()) or not state(cycles)
            first.kill()
            assert second.line() == "at work"
            faults.wait_until(lambda: len(state(cycles)) == 3 and all(state(cycles).values()), "all files")
            assert sharedfiles.is_locked(lock)
    assert not sharedfiles.is_locked(lock)
