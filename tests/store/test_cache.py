"""Wind files of a bucket on this machine: bounded, the published bytes and no others, whatever is killed or full."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sharedfiles
from habsim.errors import BucketError, NotFoundError, ObjectChangedError, UnavailableError, WindFileError
from store import cache as cache_module
from store.bucket import Bucket
from store.cache import UNUSED_SECONDS, DiskCache, MemberFile, Published
from store.manifest import read_manifest, wind_file_name
from store.ranges import RangeReader
from store.resident import MAP, PART, ResidentFile
from tests import faults
from tests.elsewhere import Elsewhere
from tests.worlds import make_bucket, sample, uniform, write_field
from windfile import MappedFile, WindFile

CYCLE, LATER = "2026111900", "2026111906"
SIZE = 436_000  # bytes of a wind file here, about; 19 tiles


def published(bucket: Bucket, member: int, cycle: str = CYCLE) -> Published:
    """A wind file as the bucket has it now."""
    name = wind_file_name(cycle, member)
    found = None
    with contextlib.suppress(NotFoundError):
        found = next(m for m in read_manifest(bucket, cycle).members if m.member == member)
    return Published(name, bucket.info(name), found)


def cache_of(bucket: Bucket, folder: Path, *, files: int = 30, size: float = 1e9) -> DiskCache:
    return DiskCache(folder, RangeReader(bucket), files, size)


def always(_size: int) -> bool:
    return True


def fetch_all(file: MemberFile) -> None:
    assert isinstance(file, ResidentFile)
    file.fetch(file.missing())


def is_published(file: MemberFile, bucket: Elsewhere, name: str) -> bool:
    """Whether all winds of `file` are those of the object."""
    return np.array_equal(file.winds.data, WindFile(bucket.root / name).winds.data)


@pytest.fixture
def bucket(tmp_path: Path) -> Elsewhere:
    """A bucket with a cycle of two members, and one of one."""
    bucket = Elsewhere(tmp_path / "bucket")
    make_bucket(bucket.root, members=2)
    make_bucket(bucket.root, members=1, cycle=LATER, wind=50.0)
    return bucket


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(bucket: Elsewhere, folder: Path) -> DiskCache:
    return cache_of(bucket, folder)


def files_in(folder: Path) -> set[str]:
    """Names in the folder, without what a cache notes of them."""
    return {path.name for path in folder.iterdir()} - {"verified"}


def used(cache: DiskCache, name: str, seconds: float) -> None:
    """Let `name` have been used last so many seconds ago."""
    moment = time.time() - seconds
    part = cache.folder / (name + MAP)
    os.utime(part if part.exists() else cache.folder / "verified" / name, (moment, moment))


# --- Opening and completing


@pytest.mark.parametrize("with_manifest", [True, False])
def test_completed_file_is_the_object_byte_for_byte_and_needs_no_store(
    bucket: Elsewhere, cache: DiskCache, with_manifest: bool
) -> None:
    if not with_manifest:
        bucket.delete(f"{CYCLE}.json")
    wanted = published(bucket, 1)
    assert isinstance(cache.open(wanted), ResidentFile)
    assert cache.complete(wanted, always)
    path = cache.folder / wanted.name
    assert path.read_bytes() == (bucket.root / wanted.name).read_bytes()
    assert files_in(cache.folder) == {wanted.name}
    assert [record.name for record in (cache.folder / "verified").iterdir()] == [wanted.name]
    bucket.silent = True
    bucket.ranges.clear()
    for again in (cache, cache_of(bucket, cache.folder)):
        file = again.open(wanted)
        assert isinstance(file, WindFile)
        assert file.winds.data[3, 3, 3, 3, 0] == 11.0
        assert again.complete(wanted, always)
    assert bucket.ranges == []


def test_file_is_opened_from_disk_while_the_store_is_silent(bucket: Elsewhere, cache: DiskCache, folder: Path) -> None:
    wanted = published(bucket, 0)
    file = cache.open(wanted)
    assert isinstance(file, ResidentFile)
    file.fetch(np.arange(5))
    bucket.silent = True
    again = cache_of(bucket, folder).open(wanted)
    assert isinstance(again, ResidentFile)
    assert again.missing().tolist() == list(range(5, 19))
    with pytest.raises(BucketError, match="does not answer"):
        again.fetch(again.missing())
    with pytest.raises(BucketError, match="does not answer"):
        cache.open(Published(wind_file_name(CYCLE, 1), wanted.info, None))


def test_completion_that_is_stopped_goes_on_later(
    bucket: Elsewhere, cache: DiskCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = published(bucket, 0)
    monkeypatch.setattr(cache_module, "BATCH_BYTES", 130_000)  # three tiles
    asked: list[int] = []

    def twice(size: int) -> bool:
        asked.append(size)
        return len(asked) <= 2

    assert not cache.complete(wanted, twice)
    part = cache.open(wanted)
    assert isinstance(part, ResidentFile)
    assert part.missing().tolist() == list(range(6, 19))
    assert asked == [3 * part.tile_bytes] * 3
    bucket.silent = True
    with pytest.raises(BucketError):
        cache.complete(wanted, always)
    bucket.silent = False
    bucket.ranges.clear()
    assert cache_of(bucket, folder).complete(wanted, always)
    assert bucket.moved() < (bucket.root / wanted.name).stat().st_size * 13 / 19
    assert (folder / wanted.name).read_bytes() == (bucket.root / wanted.name).read_bytes()
    assert not part.is_unchanged()  # who has the part opens the whole
    assert part.is_intact()


def test_object_that_is_published_again_is_fetched_anew(bucket: Elsewhere, cache: DiskCache) -> None:
    before = published(bucket, 0)
    part, whole = cache.open(before), published(bucket, 1)
    cache.complete(whole, always)
    mapped = cache.open(whole)
    fetch_all(part)
    make_bucket(bucket.root, members=2, wind=20.0)
    for member in range(2):
        file = cache.open(published(bucket, member))
        fetch_all(file)
        assert is_published(file, bucket, wind_file_name(CYCLE, member))
    assert files_in(cache.folder) == {wind_file_name(CYCLE, m) + end for m in range(2) for end in (PART, MAP)}
    # Who flies on the old ones goes on with them.
    assert part.winds.data[2, 2, 2, 2, 0] == 10.0
    assert mapped.winds.data[2, 2, 2, 2, 0] == 11.0
    assert part.is_intact()
    assert not part.is_unchanged()


def test_who_asks_for_a_replaced_object_leaves_the_file_of_the_new_one(bucket: Elsewhere, cache: DiskCache) -> None:
    old = published(bucket, 0)
    make_bucket(bucket.root, members=2, wind=20.0)
    new = published(bucket, 0)
    cache.complete(new, always)
    with pytest.raises(ObjectChangedError):
        cache.open(old)
    bucket.silent = True
    assert isinstance(cache.open(new), WindFile)


def test_same_bytes_under_another_version_are_not_fetched_again_when_whole(
    bucket: Elsewhere, cache: DiskCache, tmp_path: Path
) -> None:
    cache.complete(published(bucket, 0), always)
    faults.replace_by_rename(bucket.root / wind_file_name(CYCLE, 0), cache.folder / wind_file_name(CYCLE, 0))
    again = published(bucket, 0)
    bucket.ranges.clear()
    assert isinstance(cache.open(again), WindFile)
    assert bucket.ranges == []


def spoiled(bucket: Elsewhere, member: int) -> Published:
    """A wind file of which one wind is not what the manifest says."""
    path = bucket.root / wind_file_name(CYCLE, member)
    wind = WindFile(path).winds.data[7, 7]
    faults.overwrite_in_place(path, path.read_bytes().index(wind.tobytes()), b"\x01")
    return published(bucket, member)


REFUSED = """
import sys
from pathlib import Path
from habsim.errors import WindFileError
from tests.store.test_cache import Elsewhere, cache_of, published
bucket = Elsewhere(Path(sys.argv[1]))
try:
    cache_of(bucket, Path(sys.argv[2])).open(published(bucket, 0))
except WindFileError as error:
    print(error.message, len(bucket.ranges))
"""


def test_object_that_is_not_what_its_manifest_says_is_refused_by_all_until_it_is_published_again(
    bucket: Elsewhere, cache: DiskCache
) -> None:
    wanted = spoiled(bucket, 0)
    part = cache.open(wanted)
    with pytest.raises(WindFileError, match="has another SHA-256 than its manifest says"):
        cache.complete(wanted, always)
    assert not part.is_unchanged()
    assert files_in(cache.folder) == set()
    bucket.ranges.clear()
    for again in (cache, cache_of(bucket, cache.folder)):
        with pytest.raises(WindFileError, match="has another SHA-256 than its manifest says"):
            again.open(wanted)
        with pytest.raises(WindFileError, match="has another SHA-256 than its manifest says"):
            again.complete(wanted, always)
    assert bucket.ranges == []
    with faults.Process(REFUSED, bucket.root, cache.folder) as other:
        assert "has another SHA-256 than its manifest says 0" in other.result()
    make_bucket(bucket.root, members=2)
    assert cache.complete(published(bucket, 0), always)
    assert cache.open(published(bucket, 0)).winds.data[7, 7, 0, 0, 0] == 10.0


def test_object_with_winds_that_cannot_be_right_is_refused_and_not_fetched_again(
    bucket: Elsewhere, cache: DiskCache
) -> None:
    path = bucket.root / wind_file_name(CYCLE, 0)
    data = faults.arrays(path)["data"]
    data[:, -1] += 1.0  # 360 degrees are not 0 degrees
    faults.rewrite(path, data=data)
    bucket.delete(f"{CYCLE}.json")
    wanted = published(bucket, 0)
    cache.open(wanted)
    with pytest.raises(WindFileError, match="the last longitude column must repeat the first"):
        cache.complete(wanted, always)
    bucket.ranges.clear()
    with pytest.raises(WindFileError, match="the last longitude column must repeat the first"):
        cache.open(wanted)
    assert bucket.ranges == []


def test_object_of_another_shape_than_its_manifest_says_is_refused(
    bucket: Elsewhere, cache: DiskCache, tmp_path: Path
) -> None:
    path = bucket.root / wind_file_name(CYCLE, 0)
    write_field(path, sample(uniform(1.0, 1.0), degrees=15.0))
    with pytest.raises(WindFileError, match=r"has shape \(13, 25, 31, 5, 2\), its manifest \(19, 37, 31, 5, 2\)"):
        cache.open(published(bucket, 0))
    path.write_bytes(b"no wind file" * 3000)
    with pytest.raises(WindFileError, match="is damaged"):
        cache.open(published(bucket, 0))


def test_whole_file_that_somebody_put_there_is_taken_when_it_is_the_published_one(
    bucket: Elsewhere, cache: DiskCache, tmp_path: Path
) -> None:
    right, wrong = published(bucket, 0), published(bucket, 1)
    cache.folder.mkdir()
    shutil.copyfile(bucket.root / right.name, cache.folder / right.name)
    shutil.copyfile(bucket.root / wrong.name, cache.folder / wrong.name)
    content = (cache.folder / wrong.name).read_bytes()
    faults.overwrite_in_place(cache.folder / wrong.name, len(content) // 2, b"\x01")
    assert isinstance(cache.open(right), WindFile)
    assert bucket.ranges == []
    file = cache.open(wrong)
    assert isinstance(file, ResidentFile)
    assert not (cache.folder / wrong.name).exists()
    fetch_all(file)
    assert is_published(file, bucket, wrong.name)


def test_file_that_somebody_put_there_is_not_removed_at_once(bucket: Elsewhere, cache: DiskCache) -> None:
    cache.folder.mkdir()
    path = cache.folder / wind_file_name(LATER, 0)
    shutil.copyfile(bucket.root / path.name, path)
    cache.remove_others(CYCLE, time.time())
    assert path.exists()
    cache.remove_others(CYCLE, time.time() + 2 * UNUSED_SECONDS)
    assert not path.exists()


def test_files_that_were_verified_are_remembered_as_long_as_they_are_kept(
    bucket: Elsewhere, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its record, a file of a cycle without manifest would be fetched again."""
    monkeypatch.setattr(cache_module, "_KEPT_RECORDS", 1)
    bucket.delete(f"{CYCLE}.json")
    cache = cache_of(bucket, folder, files=3)
    for member, cycle in ((0, CYCLE), (1, CYCLE), (0, LATER)):
        cache.complete(published(bucket, member, cycle), always)
    bucket.ranges.clear()
    for member, cycle in ((0, CYCLE), (1, CYCLE), (0, LATER)):
        assert isinstance(cache.open(published(bucket, member, cycle)), WindFile)
    assert bucket.ranges == []
    for number in range(20):
        cache.verified.add(f"{number}", WindFile(folder / wind_file_name(CYCLE, 0)).identity, "x")
    assert len(list((folder / "verified").iterdir())) == 6


# --- Bounds


@pytest.fixture(params=["part", "whole"])
def three(request: pytest.FixtureRequest, bucket: Elsewhere, cache: DiskCache) -> list[str]:
    """Three files in the cache, all in parts or all whole, the first of them used last."""
    names = []
    for seconds, (member, cycle) in enumerate(((0, LATER), (0, CYCLE), (1, CYCLE))):
        wanted = published(bucket, member, cycle)
        fetch_all(cache.open(wanted))
        if request.param == "whole":
            assert cache.complete(wanted, always)
        used(cache, wanted.name, 10.0 + seconds)
        names.append(wanted.name)
    gc.collect()
    return names


def kept(cache: DiskCache) -> list[str]:
    return [entry.name for entry in cache.entries()]


def test_least_recently_used_goes_first_when_there_are_too_many(
    bucket: Elsewhere, cache: DiskCache, three: list[str]
) -> None:
    cache.trim()
    assert kept(cache) == three[::-1]
    cache_of(bucket, cache.folder, files=2).trim()
    assert kept(cache) == [three[1], three[0]]
    cache.open(published(bucket, 0))  # is used now
    cache_of(bucket, cache.folder, files=1).trim()
    assert kept(cache) == [three[1]]
    assert not [name for name in files_in(cache.folder) if not name.startswith(three[1])]


def test_one_more_has_room_before_it_is_made(bucket: Elsewhere, cache: DiskCache, three: list[str]) -> None:
    small = cache_of(bucket, cache.folder, files=3)
    shutil.copyfile(bucket.root / f"{CYCLE}_00.npz", bucket.root / f"{CYCLE}_02.npz")
    name = f"{CYCLE}_02.npz"
    file = small.open(Published(name, bucket.info(name), None))
    assert kept(cache) == [three[1], three[0], name]
    del file


def test_least_recently_used_goes_first_when_there_are_too_many_bytes(
    bucket: Elsewhere, cache: DiskCache, three: list[str]
) -> None:
    assert 3 * SIZE < cache.used_bytes() < 3.2 * SIZE
    cache_of(bucket, cache.folder, size=3.5 * SIZE).trim()
    assert kept(cache) == three[::-1]
    cache_of(bucket, cache.folder, size=2.2 * SIZE).trim()
    assert kept(cache) == [three[1], three[0]]
    cache_of(bucket, cache.folder, size=0.0).trim()
    assert kept(cache) == []
    assert files_in(cache.folder) == set()


def test_only_what_is_there_of_a_file_counts(bucket: Elsewhere, cache: DiskCache) -> None:
    file = cache.open(published(bucket, 0))
    assert isinstance(file, ResidentFile)
    assert cache.used_bytes() < SIZE / 3
    file.fetch(np.arange(10))
    assert SIZE / 2 < cache.used_bytes() < SIZE


def test_what_this_process_has_mapped_stays(bucket: Elsewhere, cache: DiskCache, three: list[str]) -> None:
    file = cache.open(published(bucket, 1))
    used(cache, three[2], 1000.0)
    cache_of(bucket, cache.folder, files=1, size=0.0).trim()
    assert kept(cache) == [three[2]]
    assert file.is_unchanged()
    assert is_published(file, bucket, three[2])
    assert not cache.free_room()
    del file
    gc.collect()
    assert cache.free_room()
    assert kept(cache) == []
    assert not cache.free_room()


MAPS = """
import sys, time
from pathlib import Path
from tests.store.test_cache import Elsewhere, cache_of, published
bucket = Elsewhere(Path(sys.argv[1]))
file = cache_of(bucket, Path(sys.argv[2])).open(published(bucket, 1))
print("mapped", flush=True)
time.sleep(600)
"""


def test_what_another_process_has_mapped_stays_until_it_dies(
    bucket: Elsewhere, cache: DiskCache, three: list[str]
) -> None:
    with faults.Process(MAPS, bucket.root, cache.folder) as other:
        assert other.line() == "mapped"
        used(cache, three[2], 1e6)
        none = cache_of(bucket, cache.folder, files=1, size=0.0)
        none.trim()
        none.remove_others("2026112000", time.time())
        assert kept(cache) == [three[2]]
        other.kill()
        none.trim()
        assert kept(cache) == []


def test_nobody_maps_a_file_that_is_being_removed(
    bucket: Elsewhere, cache: DiskCache, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    unlink = Path.unlink

    def watched(path: Path, missing_ok: bool = False) -> None:
        if path.suffix in {PART, ".npz"} and path.parent == cache.folder and path.name[0] != ".":
            with pytest.raises(WindFileError, match="is being removed"):
                MappedFile(path)
            tried.append(path.name.removesuffix(PART))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    cache_of(bucket, cache.folder, files=1).trim()
    assert tried == [three[2], three[1]]


def test_files_are_right_while_they_are_opened_and_removed_at_once(bucket: Elsewhere, folder: Path) -> None:
    names = {wind_file_name(CYCLE, 0): 10.0, wind_file_name(CYCLE, 1): 11.0, wind_file_name(LATER, 0): 50.0}
    wanted = [published(bucket, int(name[11:13]), name[:10]) for name in names]

    def fly(number: int) -> None:
        cache = cache_of(bucket, folder, files=1)
        one = wanted[number % 3]
        if number % 7 == 0:
            cache.complete(one, always)
        file = cache.open(one)
        if isinstance(file, ResidentFile):
            file.fetch(np.array([number % 19]))
        assert file.winds.data[number % 19, 5, 5, 3, 0] == names[one.name]
        cache.trim()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fly, range(150)))
    gc.collect()
    cache_of(bucket, folder, size=0.0).trim()
    assert files_in(folder) == set()


# --- Other cycles


def test_other_cycles_go_when_nobody_has_used_them_for_a_while(
    bucket: Elsewhere, cache: DiskCache, three: list[str]
) -> None:
    later, *_ = three
    for name in three:
        used(cache, name, UNUSED_SECONDS - 60.0)
    cache.remove_others(LATER, time.time())
    assert len(kept(cache)) == 3
    used(cache, three[1], UNUSED_SECONDS + 60.0)
    used(cache, later, UNUSED_SECONDS + 60.0)
    cache.remove_others(LATER, time.time())
    assert set(kept(cache)) == {later, three[2]}
    cache.remove_others(LATER, time.time() + 120.0)
    assert kept(cache) == [later]
    cache.remove_others(LATER, time.time() - 1e6)  # a clock that was set back
    assert kept(cache) == [later]


def test_file_is_used_as_long_as_it_is_mapped(bucket: Elsewhere, cache: DiskCache, three: list[str]) -> None:
    file = cache.open(published(bucket, 1))
    used(cache, three[2], 5 * UNUSED_SECONDS)
    cache.remove_others(LATER, time.time())
    assert file.is_unchanged()
    del file
    gc.collect()
    cache.remove_others(LATER, time.time() + UNUSED_SECONDS / 2)
    assert three[2] in kept(cache)
    cache.remove_others(LATER, time.time() + UNUSED_SECONDS * 2)
    assert three[2] not in kept(cache)


# --- What is no wind file


@pytest.fixture
def elevation(bucket: Elsewhere) -> str:
    bucket.write("worldelev.npy", b"heights" * 3_000_000)
    return "worldelev.npy"


def test_elevation_is_fetched_once_and_when_the_object_changes(
    bucket: Elsewhere, cache: DiskCache, elevation: str
) -> None:
    path = cache.fetched(elevation)
    assert path.read_bytes() == bucket.read(elevation)
    bucket.ranges.clear()
    assert cache_of(bucket, cache.folder).fetched(elevation) == path
    assert bucket.ranges == []
    bucket.write(elevation, b"other heights")
    assert cache.fetched(elevation).read_bytes() == b"other heights"
    path.write_bytes(b"OTHER HEIGHTS")
    os.utime(path, (0.0, 0.0))
    assert cache.fetched(elevation).read_bytes() == b"other heights"


def test_elevation_never_leaves(bucket: Elsewhere, cache: DiskCache, elevation: str) -> None:
    path = cache.fetched(elevation)
    os.utime(path, (0.0, 0.0))
    none = cache_of(bucket, cache.folder, files=1, size=0.0)
    none.trim()
    none.remove_others(CYCLE, time.time())
    while none.free_room():
        pass
    assert path.read_bytes() == bucket.read(elevation)
    assert none.used_bytes() == 0


def test_elevation_is_used_as_it_was_while_the_store_is_silent(
    bucket: Elsewhere, cache: DiskCache, elevation: str, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.silent = True
    with pytest.raises(BucketError):
        cache.fetched(elevation)
    bucket.silent = False
    cache.fetched(elevation)
    bucket.write(elevation, b"other heights" * 2_000_000)
    bucket.silent = True
    assert cache.fetched(elevation).read_bytes().startswith(b"heights")
    assert "worldelev.npy is used as it was fetched before: the store does not answer" in caplog.text
    bucket.silent = False

    def falls_silent(name: str, offset: int, length: int) -> None:
        if offset:
            raise BucketError("the store has fallen silent")

    bucket.before = falls_silent
    assert cache.fetched(elevation).read_bytes().startswith(b"heights")
    assert "the store has fallen silent" in caplog.text
    bucket.before = lambda name, offset, length: None
    assert cache.fetched(elevation).read_bytes().startswith(b"other heights")
    assert files_in(cache.folder) == {elevation}
    bucket.delete(elevation)
    with pytest.raises(NotFoundError):
        cache.fetched(elevation)


def test_elevation_of_another_version_is_never_taken_for_the_latest(
    bucket: Elsewhere, cache: DiskCache, elevation: str
) -> None:
    """Another process that fetches at the same time may be the last to give the file its name."""
    old = cache.folder / "old"
    replace = Path.replace

    def and_another_later(path: Path, target: Path) -> Path:
        found = replace(path, target)
        if target == cache.folder / elevation:
            old.write_bytes(bucket.read(elevation)[::-1])
            replace(old, target)
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "replace", and_another_later)
        cache.fetched(elevation)
    assert cache.fetched(elevation).read_bytes() == bucket.read(elevation)


# --- Several processes

OPENS = """
import os, sys, time
from pathlib import Path
from tests.store.test_cache import Elsewhere, cache_of, published
bucket, folder, go = Elsewhere(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
bucket.before = lambda name, offset, length: time.sleep(0.1)  # the others are at it meanwhile
wanted = published(bucket, 0)
print("ready", flush=True)
while not go.exists():
    time.sleep(0.001)
file = cache_of(bucket, folder).open(wanted)
file.fetch(file.missing())
print(os.fstat(file.descriptor).st_ino, file.is_unchanged(), (file.winds.data[..., 0] == 10.0).all(), flush=True)
"""


def test_two_processes_that_open_one_member_make_one_file(bucket: Elsewhere, folder: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(faults.Process(OPENS, bucket.root, folder, go)) for _ in range(2)]
        for other in others:
            assert other.line() == "ready"
        go.touch()
        said = {other.result() for other in others}
    (one,) = said
    name = wind_file_name(CYCLE, 0)
    assert one == f"{(folder / (name + PART)).stat().st_ino} True True"
    assert files_in(folder) == {name + PART, name + MAP}


COMPLETES = """
import sys
from pathlib import Path
from tests.store.test_cache import Elsewhere, always, cache_of, published
bucket, folder = Elsewhere(Path(sys.argv[1])), Path(sys.argv[2])
print("ready", flush=True)
for _ in range(15):
    cache = cache_of(bucket, folder)
    assert cache.complete(published(bucket, 0), always) in (True, False)
    cache_of(bucket, folder, size=0.0).trim()
print("done", flush=True)
"""


def test_member_is_right_while_others_complete_and_remove_it(bucket: Elsewhere, cache: DiskCache) -> None:
    wanted = published(bucket, 0)
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(faults.Process(COMPLETES, bucket.root, cache.folder)) for _ in range(2)]
        for other in others:
            assert other.line() == "ready"
        done = ThreadPoolExecutor(1).submit(lambda: [other.result() for other in others])
        while not done.done():
            file = cache.open(wanted)
            if isinstance(file, ResidentFile):
                file.fetch(np.arange(3))
            assert (file.winds.data[:3, ..., 0] == 10.0).all()
            del file
        assert done.result() == ["done", "done"]
    assert cache.complete(wanted, always)
    assert (cache.folder / wanted.name).read_bytes() == (bucket.root / wanted.name).read_bytes()


# --- Kills

LIFE = """
import gc
member, elevation = published(bucket, 0), "worldelev.npy"
cache = cache_of(bucket, folder)
cache.fetched(elevation)
file = cache.open(member)
file.fetch(file.missing()[:3])
assert cache.complete(member, always)
del file
cache.open(published(bucket, 1))
gc.collect()
cache_of(bucket, folder, files=1, size=0.0).trim()
assert not cache.entries()
"""

BEFORE_LIFE = """
import sys
from pathlib import Path
import cutfiles
from tests.store.test_cache import Elsewhere, always, cache_of, published
cutfiles.install()
bucket, folder = Elsewhere(Path(sys.argv[1])), Path(sys.argv[2])
"""


def test_kill_at_any_step_leaves_nothing_wrong_and_nothing_for_ever(
    bucket: Elsewhere, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write("worldelev.npy", b"heights" * 1000)
    # What is left goes when it is old, which is at once here.
    monkeypatch.setattr(sharedfiles, "ABANDONED_SECONDS", -1.0)
    names = {wind_file_name(CYCLE, member) for member in range(2)}
    steps = []
    for step in faults.deaths(BEFORE_LIFE, LIFE, bucket.root, folder):
        steps.append(step.split(" ")[0])
        cache = cache_of(bucket, folder)
        for member in range(2):
            wanted = published(bucket, member)
            file = cache.open(wanted)
            if isinstance(file, ResidentFile):
                file.fetch(np.arange(5))
            assert (file.winds.data[:5, ..., 0] == 10.0 + member).all(), step
            del file
            assert cache.complete(wanted, always), step
        assert cache.fetched("worldelev.npy").read_bytes() == bucket.read("worldelev.npy"), step
        for name in names:
            assert (folder / name).read_bytes() == (bucket.root / name).read_bytes(), step
        gc.collect()
        cache.trim()
        assert files_in(folder) == {*names, "worldelev.npy"}, step
        assert {path.name for path in (folder / "verified").iterdir()} <= {*names, "worldelev.npy"}, step
        shutil.rmtree(folder)
    assert len(steps) > 20
    assert {"write", "pwrite", "replace", "unlink", "fsync"} <= set(steps)


def test_what_a_kill_has_left_goes_even_when_its_member_is_never_asked_for_again(
    bucket: Elsewhere, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write("worldelev.npy", b"heights" * 1000)
    for step in faults.deaths(BEFORE_LIFE, LIFE, bucket.root, folder):
        if folder.exists():
            with monkeypatch.context() as patched:
                patched.setattr(sharedfiles, "ABANDONED_SECONDS", -1.0)
                cache = cache_of(bucket, folder)
                cache.remove_others(LATER, time.time() + 2 * UNUSED_SECONDS)
                cache.trim()
            assert files_in(folder) <= {"worldelev.npy"}, step
            shutil.rmtree(folder)


def test_what_is_being_made_is_not_taken_for_abandoned(bucket: Elsewhere, cache: DiskCache) -> None:
    seen: list[set[str]] = []

    def tidy(_name: str, _offset: int, _length: int) -> None:
        if not seen:
            other = cache_of(bucket, cache.folder)
            other.trim()
            seen.append(files_in(cache.folder))

    bucket.before = tidy
    fetch_all(cache.open(published(bucket, 0)))
    assert f".{CYCLE}_00.npz.lock" in seen[0]
    assert any(name.endswith(PART) for name in seen[0])
    assert is_published(cache.open(published(bucket, 0)), bucket, f"{CYCLE}_00.npz")


def test_map_whose_file_is_about_to_come_stays(
    bucket: Elsewhere, cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def tidied_before(path: Path, target: Path) -> Path:
        if target.suffix == PART:
            cache_of(bucket, cache.folder).trim()
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", tidied_before)
    assert isinstance(cache.open(published(bucket, 0)), ResidentFile)


# --- Full disks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for two wind files and a bit."""
    with faults.small_disk(tmp_path / "disk", 1150) as disk:
        yield disk
        gc.collect()


def test_full_disk_is_said_and_when_there_is_room_it_goes_on(bucket: Elsewhere, disk: Path) -> None:
    cache, wanted = cache_of(bucket, disk / "cache"), published(bucket, 0)
    filler = faults.fill(disk)
    with pytest.raises(UnavailableError, match=r"the disk has no room .* free some, or lower HABSIM_CACHE_GB"):
        cache.open(wanted)
    assert files_in(cache.folder) == set()
    os.truncate(filler, 0)
    file = cache.open(wanted)
    assert isinstance(file, ResidentFile)
    file.fetch(np.arange(4))
    faults.fill(disk)
    for fill in (lambda: file.fetch(np.arange(19)), lambda: cache.complete(wanted, always)):
        with pytest.raises(UnavailableError, match=r"the disk has no room .* free some, or lower HABSIM_CACHE_GB"):
            fill()
        # What is there can be flown, also by others.
        for there in (file, cache_of(bucket, cache.folder).open(wanted)):
            assert isinstance(there, ResidentFile)
            present = np.setdiff1d(np.arange(19), there.missing())
            assert set(range(4)) <= set(present.tolist())
            assert len(present) < 19
            assert (there.winds.data[present, ..., 0] == 10.0).all()
    os.truncate(filler, 0)
    file.fetch(np.arange(10))
    assert cache.complete(wanted, always)
    assert (cache.folder / wanted.name).read_bytes() == (bucket.root / wanted.name).read_bytes()


@pytest.mark.parametrize("step", ["open", "fetch", "complete"])
def test_full_disk_lets_the_least_recently_used_go(bucket: Elsewhere, disk: Path, step: str) -> None:
    cache, wanted = cache_of(bucket, disk / "cache"), published(bucket, 0)
    if step != "open":
        cache.open(wanted)
    for member, cycle in ((1, CYCLE), (0, LATER)):
        fetch_all(cache.open(published(bucket, member, cycle)))
    used(cache, wind_file_name(LATER, 0), 100.0)
    gc.collect()
    faults.fill(disk)
    file = cache.open(wanted)
    if step == "fetch":
        fetch_all(file)
        assert is_published(file, bucket, wanted.name)
    elif step == "complete":
        assert cache.complete(wanted, always)
    assert set(kept(cache)) == {wanted.name, wind_file_name(CYCLE, 1)}


@pytest.mark.parametrize("with_manifest", [True, False])
def test_file_is_completed_when_there_is_no_room_to_note_it(
    bucket: Elsewhere, cache: DiskCache, with_manifest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_manifest:
        bucket.delete(f"{CYCLE}.json")
    wanted = published(bucket, 0)
    fetch_all(cache.open(wanted))
    with monkeypatch.context() as patched:
        patched.setattr(sharedfiles, "write_atomically", faults.full_disk)
        cache.complete(wanted, always)
    file = cache.open(wanted)
    if isinstance(file, ResidentFile):
        fetch_all(file)
    assert is_published(file, bucket, wanted.name)


def test_object_is_refused_when_there_is_no_room_to_note_it(
    bucket: Elsewhere, cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = spoiled(bucket, 0)
    fetch_all(cache.open(wanted))
    monkeypatch.setattr(sharedfiles, "write_atomically", faults.full_disk)
    with pytest.raises(WindFileError, match="another SHA-256"):
        cache.complete(wanted, always)
    assert files_in(cache.folder) == set()


@pytest.mark.parametrize("kind", ["part", "whole"])
def test_full_disk_gives_the_room_of_the_replaced_object_to_the_new_one(
    bucket: Elsewhere, disk: Path, kind: str
) -> None:
    cache, wanted = cache_of(bucket, disk / "cache"), published(bucket, 0)
    fetch_all(cache.open(wanted))
    if kind == "whole":
        cache.complete(wanted, always)
    gc.collect()
    make_bucket(bucket.root, members=2, wind=20.0)
    filler = faults.fill(disk)
    file = cache.open(published(bucket, 0))
    os.truncate(filler, filler.stat().st_size - 32_000)  # for the new map
    fetch_all(file)
    assert is_published(file, bucket, wanted.name)


def test_elevation_that_has_no_room_is_used_as_it_was(bucket: Elsewhere, disk: Path) -> None:
    cache = cache_of(bucket, disk / "cache")
    bucket.write("worldelev.npy", b"heights")
    cache.fetched("worldelev.npy")
    bucket.write("worldelev.npy", b"other heights" * 50_000)
    filler = faults.fill(disk)
    assert cache.fetched("worldelev.npy").read_bytes() == b"heights"
    filler.unlink()
    assert cache.fetched("worldelev.npy").read_bytes() == b"other heights" * 50_000


def test_folder_that_cannot_be_written_is_said(
    bucket: Elsewhere, cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_arguments: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patched:
        patched.setattr(sharedfiles, "try_lock", read_only)
        with pytest.raises(UnavailableError, match=f"{CYCLE}_00.npz cannot be kept on disk: Read-only file system"):
            cache.open(published(bucket, 0))
    fetch_all(cache.open(published(bucket, 0)))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", read_only)
        with pytest.raises(UnavailableError, match=f"{CYCLE}_00.npz cannot be kept on disk: Read-only file system"):
            cache.complete(published(bucket, 0), always)


def test_file_that_cannot_be_removed_keeps_nobody_from_flying(
    bucket: Elsewhere, cache: DiskCache, three: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    exclusive = sharedfiles.exclusive

    def refused(path: Path, wait_seconds: float) -> contextlib.AbstractContextManager[bool]:
        if wait_seconds == 0.0:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return exclusive(path, wait_seconds)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sharedfiles, "exclusive", refused)
        cache_of(bucket, cache.folder, files=1).trim()
        assert not cache.free_room()
    assert len(kept(cache)) == 3
    assert "cannot leave the disk cache: Permission denied" in caplog.text


def test_nothing_stays_open_of_files_that_have_left(bucket: Elsewhere, folder: Path) -> None:
    def round_trip() -> None:
        cache = cache_of(bucket, folder)
        fetch_all(cache.open(published(bucket, 0)))
        cache.complete(published(bucket, 0), always)
        cache.open(published(bucket, 0))
        cache_of(bucket, folder, size=0.0).trim()

    round_trip()
    before = faults.open_files()
    for _ in range(5):
        round_trip()
    assert faults.open_files() <= before
