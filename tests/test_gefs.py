"""Buckets keep objects whole, cycles are seen whole or not at all, and all processes agree on the current one."""

from __future__ import annotations

import contextlib
import datetime
import gc
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import gefs
import sharedfiles
from gefs import Cycle, Cycles, Remote
from habsim.errors import BucketError, NotFoundError, ObjectChangedError, UnavailableError, WindFileError
from store import cache, resident
from store import publish as publishing
from store.bucket import Bucket, LocalBucket, ObjectInfo
from store.manifest import Manifest, ManifestMember, cycle_at, cycle_start, read_manifest, wind_file_name
from store.publish import Publication, remove_cycle
from store.resident import ResidentFile
from tests import faults
from tests.elsewhere import Elsewhere
from tests.worlds import LEVELS_31, file_in, make_bucket, sample, uniform, write_field
from windfile import WindFile

FIRST, SECOND = "2026111900", "2026111906"
LEVELS = [200.0, 500.0, 850.0]
HOUR = 3600.0


# --- Names


@pytest.mark.parametrize(
    ("name", "moment"),
    [("2026111900", "2026-11-19T00:00Z"), ("2024022918", "2024-02-29T18:00Z"), ("1970010106", "1970-01-01T06:00Z")],
)
def test_cycle_is_named_after_its_start(name: str, moment: str) -> None:
    start = datetime.datetime.fromisoformat(moment).timestamp()
    assert cycle_start(name) == start
    for seconds in (0.0, 1.5, 6 * HOUR - 1):
        assert cycle_at(start + seconds) == name
    assert cycle_at(start + 6 * HOUR) != name


@pytest.mark.parametrize(
    "name",
    ["", "2026111901", "2026111924", "2026023000", "2026130100", "20261119", "2026111900 ", "../whichgefs", "x" * 500],
)
def test_what_names_no_cycle_is_not_found(name: str) -> None:
    with pytest.raises(NotFoundError, match="is not a cycle; a cycle is YYYYMMDDHH") as caught:
        cycle_start(name)
    assert len(caught.value.message) < 150


def test_wind_file_is_named_after_cycle_and_member() -> None:
    assert wind_file_name(FIRST, 3) == "2026111900_03.npz"
    assert wind_file_name(FIRST, 20) == "2026111900_20.npz"


# --- Manifests

MANIFEST = Manifest(
    FIRST,
    "full",
    10800.0,
    (1.0, 2.5, 1000.0),
    True,
    (
        ManifestMember(0, 12345, "ab" * 32, (361, 721, 31, 65, 2), "2026-11-19T04:05:06Z"),
        ManifestMember(20, 6 << 30, "cd" * 32, (361, 721, 31, 65, 2), "2026-11-19T05:05:06Z"),
    ),
)


def test_manifest_is_read_as_it_was_written() -> None:
    assert Manifest.from_json(MANIFEST.to_json(), f"{FIRST}.json") == MANIFEST


def test_manifest_names_files_and_demos() -> None:
    content = json.loads(MANIFEST.to_json())
    assert [member["file"] for member in content["members"]] == ["2026111900_00.npz", "2026111900_20.npz"]
    assert content["demo"] is False


def changed(**changes: Any) -> bytes:
    return json.dumps({**json.loads(MANIFEST.to_json()), **changes}).encode()


ONE = json.loads(MANIFEST.to_json())["members"][0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"5",
        b"[" * 100_000,
        MANIFEST.to_json()[:-20],
        changed(members=[]),
        changed(members=None),
        changed(members=[1]),
        changed(members=[{"member": 0}]),
        changed(members=[{**ONE, "size": "many"}]),
        changed(members=[{**ONE, "size": None}]),
        changed(members=[{**ONE, "size": float("inf")}]),
        changed(members=[{**ONE, "shape": 5}]),
        changed(members=[ONE, ONE]),
        changed(cycle=SECOND),
        changed(cycle=None),
        changed(levels=5),
        changed(levels=["high"]),
        changed(interval_seconds=None),
    ],
)
def test_damaged_manifest_is_a_bucket_error_with_its_name(content: bytes) -> None:
    with pytest.raises(BucketError, match=f"manifest {FIRST}.json"):
        Manifest.from_json(content, f"{FIRST}.json")


# --- Publishing


def made(folder: Path, cycle: str = FIRST, members: int = 2, *, wind: float = 10.0, **more: Any) -> dict[int, Path]:
    """Wind files of some kilobytes, outside of any bucket: member -> file."""
    folder.mkdir(exist_ok=True)
    values = {"start": cycle_start(cycle), "levels": LEVELS, "degrees": 45.0, "times": 3, **more}
    return {
        member: write_field(folder / wind_file_name(cycle, member), sample(uniform(wind + member, 5.0), **values))
        for member in range(members)
    }


def publish(bucket: Bucket, folder: Path, cycle: str = FIRST, members: int = 2, **more: Any) -> None:
    publishing.publish(bucket, cycle, made(folder / "making", cycle, members, **more), "test")


class Watched(LocalBucket):
    """A bucket that notes what is done with it, in order."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.calls: list[tuple[str, str]] = []

    def read(self, name: str) -> bytes:
        self.calls.append(("read", name))
        return super().read(name)

    def put(self, name: str, path: Path) -> None:
        self.calls.append(("put", name))
        super().put(name, path)

    def write(self, name: str, content: bytes) -> None:
        self.calls.append(("write", name))
        super().write(name, content)

    def write_if(self, name: str, content: bytes, version: str | None) -> bool:
        self.calls.append(("write", name))
        return super().write_if(name, content, version)

    def delete(self, name: str) -> None:
        self.calls.append(("delete", name))
        super().delete(name)


@pytest.fixture
def bucket(tmp_path: Path) -> Watched:
    """An empty bucket."""
    return Watched(tmp_path / "bucket")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder for the data of this machine."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_members_are_published_before_the_manifest_and_the_name_last(bucket: Watched, tmp_path: Path) -> None:
    publish(bucket, tmp_path, members=3)
    assert [call for call in bucket.calls if call[0] != "read"] == [
        ("put", "2026111900_00.npz"),
        ("put", "2026111900_01.npz"),
        ("put", "2026111900_02.npz"),
        ("write", "2026111900.json"),
        ("write", "whichgefs"),
    ]
    assert bucket.read("whichgefs") == b"2026111900"
    assert list((tmp_path / "making").iterdir()) == []


def test_manifest_tells_what_was_published(bucket: Watched, tmp_path: Path) -> None:
    files = made(tmp_path / "making", interval=10800.0)
    contents = {member: path.read_bytes() for member, path in files.items()}
    publishing.publish(bucket, FIRST, files, "test")
    manifest = read_manifest(bucket, FIRST)
    assert (manifest.cycle, manifest.product, manifest.interval_seconds) == (FIRST, "test", 10800.0)
    assert manifest.levels == tuple(LEVELS)
    assert not manifest.has_height
    for published in manifest.members:
        content = contents[published.member]
        name = wind_file_name(FIRST, published.member)
        assert bucket.read(name) == content
        assert published.size == len(content)
        assert published.sha256 == hashlib.sha256(content).hexdigest()
        assert published.shape == (5, 9, 3, 3, 2)
        datetime.datetime.fromisoformat(published.made)


def test_files_that_do_not_belong_together_are_not_published(bucket: Watched, tmp_path: Path) -> None:
    work = tmp_path / "making"
    others = {
        "starts at": made(tmp_path / "later", SECOND)[1],
        "covers other times": made(tmp_path / "long", times=4)[1],
        "covers other times ": made(tmp_path / "slow", interval=10800.0)[1],
        "has other levels": made(tmp_path / "levels", levels=[300.0, 500.0, 850.0])[1],
    }
    good = made(work)
    for reason, other in others.items():
        with pytest.raises(WindFileError, match=reason.strip()):
            publishing.publish(bucket, FIRST, {0: good[0], 1: other}, "test")
        assert other.exists()
    cut = faults.cut(good[1], tmp_path / "cut.npz", 1000)
    with pytest.raises(WindFileError, match=r"cut\.npz is damaged"):
        publishing.publish(bucket, FIRST, {0: good[0], 1: cut}, "test")
    with pytest.raises(WindFileError, match="no members to publish"):
        publishing.publish(bucket, FIRST, {}, "test")
    with pytest.raises(NotFoundError, match="is not a cycle"):
        publishing.publish(bucket, "2026111901", good, "test")
    assert bucket.calls == []
    assert good[0].exists()


class Failing(Watched):
    """A bucket whose store stops answering at one write."""

    def __init__(self, root: Path, last: str) -> None:
        super().__init__(root)
        self.last = last

    def put(self, name: str, path: Path) -> None:
        self._fail(name)
        super().put(name, path)

    def write(self, name: str, content: bytes) -> None:
        self._fail(name)
        super().write(name, content)

    def write_if(self, name: str, content: bytes, version: str | None) -> bool:
        self._fail(name)
        return super().write_if(name, content, version)

    def _fail(self, name: str) -> None:
        if name == self.last:
            raise BucketError(f"{name} cannot be written")


@pytest.mark.parametrize("failing", ["2026111906_00.npz", "2026111906_02.npz", "2026111906.json", "whichgefs"])
def test_half_published_cycle_is_not_seen(tmp_path: Path, data: Path, failing: str) -> None:
    whole = LocalBucket(tmp_path / "bucket")
    publish(whole, tmp_path, FIRST)
    cycles = Cycles(whole, data, refresh_seconds=0.0)
    assert cycles.current().name == FIRST
    with pytest.raises(BucketError):
        publish(Failing(whole.root, failing), tmp_path, SECOND, members=3)
    assert cycles.current().name == FIRST
    if failing == "whichgefs":
        assert cycles.cycle(SECOND).members == (0, 1, 2)  # whole, if not yet the current one
    else:
        with pytest.raises(NotFoundError):
            cycles.cycle(SECOND)
    publish(whole, tmp_path, SECOND, members=3)
    assert cycles.current().members == (0, 1, 2)


def test_half_of_the_very_first_cycle_is_not_seen(tmp_path: Path, data: Path) -> None:
    with pytest.raises(BucketError):
        publish(Failing(tmp_path / "bucket", f"{FIRST}_01.npz"), tmp_path, FIRST)
    cycles = Cycles(LocalBucket(tmp_path / "bucket"), data)
    with pytest.raises(NotFoundError):
        cycles.cycle(FIRST)
    with pytest.raises(UnavailableError):
        cycles.current()


# --- Cycles of a bucket


def test_published_cycle_is_what_was_published(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publish(bucket, tmp_path, members=3)
    cycle = Cycles(bucket, data).current()
    assert (cycle.name, cycle.product, cycle.members) == (FIRST, "test", (0, 1, 2))
    assert cycle.start == cycle_start(FIRST)
    assert cycle.manifest == read_manifest(bucket, FIRST)


def test_members_are_in_order_whatever_the_order_of_the_manifest(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publish(bucket, tmp_path, members=3)
    content = json.loads(bucket.read(f"{FIRST}.json"))
    content["members"].reverse()
    bucket.write(f"{FIRST}.json", json.dumps(content).encode())
    cycles = Cycles(bucket, data)
    assert cycles.current().members == (0, 1, 2)
    assert cycles.open_member(cycles.current(), 2).path.name == f"{FIRST}_02.npz"


def without_manifest(bucket: Watched, tmp_path: Path, cycle: str = FIRST, members: int = 3) -> None:
    """A cycle as an older tool leaves it."""
    publish(bucket, tmp_path, cycle, members)
    bucket.delete(f"{cycle}.json")


def test_cycle_of_an_older_tool_is_flown_when_every_member_is_whole(
    bucket: Watched, tmp_path: Path, data: Path
) -> None:
    without_manifest(bucket, tmp_path)
    cycles = Cycles(bucket, data)
    cycle = cycles.current()
    assert (cycle.name, cycle.product, cycle.members, cycle.manifest) == (FIRST, "unknown", (0, 1, 2), None)
    assert float(cycles.open_member(cycle, 2).winds.data[0, 0, 0, 0, 0]) == 12.0
    without_manifest(bucket, tmp_path, SECOND)
    assert cycles.cycle(FIRST).members == (0, 1, 2)  # an earlier one too
    assert cycles.cycle(FIRST).version == cycle.version


def test_cycle_of_an_older_tool_is_refused_when_a_member_is_not_whole(
    bucket: Watched, tmp_path: Path, data: Path
) -> None:
    without_manifest(bucket, tmp_path)
    cycles = Cycles(bucket, data)
    version = cycles.current().version
    path = bucket.local_path(f"{FIRST}_01.npz")
    whole = path.read_bytes()
    faults.truncate_in_place(path, 2000)
    with pytest.raises(WindFileError, match=f"{FIRST}_01.npz is damaged"):
        cycles.cycle(FIRST)
    path.write_bytes(whole)
    assert cycles.cycle(FIRST).version != version  # the file is another one
    made(bucket.root, FIRST, times=4)
    with pytest.raises(WindFileError, match="covers other times"):
        cycles.cycle(FIRST)
    bucket.put(f"{FIRST}_00.npz", made(tmp_path / "other", SECOND)[0])
    with pytest.raises(WindFileError, match="starts at"):
        cycles.cycle(FIRST)


def test_cycle_with_an_absent_or_other_member_is_refused(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publish(bucket, tmp_path)
    cycles = Cycles(bucket, data)
    path = bucket.local_path(f"{FIRST}_01.npz")
    with path.open("ab") as end:
        end.write(b"x")
    with pytest.raises(WindFileError, match=f"{FIRST}_01.npz has .* bytes, its manifest says"):
        cycles.cycle(FIRST)
    path.unlink()
    with pytest.raises(NotFoundError, match=f"{FIRST}_01.npz is not in the bucket"):
        cycles.cycle(FIRST)


def test_cycle_that_is_not_there_is_not_found(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publish(bucket, tmp_path)
    for name in (SECOND, "2026111818", "2026111901", "../secret"):
        with pytest.raises(NotFoundError):
            Cycles(bucket, data).cycle(name)


def test_cycle_published_again_has_another_version(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publish(bucket, tmp_path)
    cycles = Cycles(bucket, data, refresh_seconds=1e9)
    before = cycles.current()
    assert cycles.refresh().version == before.version
    publish(bucket, tmp_path, wind=20.0)
    after = cycles.refresh()
    assert (after.name, after.version != before.version) == (FIRST, True)
    assert float(cycles.open_member(after, 0).winds.data[0, 0, 0, 0, 0]) == 20.0
    with pytest.raises(WindFileError, match="SHA-256"):
        cycles.open_member(before, 0)


def test_version_is_of_the_manifest_that_was_read(bucket: Watched, tmp_path: Path, data: Path) -> None:
    """When the cycle is published again in the middle of a look, version and members are still of one publication."""
    publish(bucket, tmp_path)
    cycles = Cycles(bucket, data, refresh_seconds=1e9)
    first = cycles.current()

    class Racing(Watched):
        def list(self, prefix: str = "") -> dict[str, ObjectInfo]:
            if not made_again:
                made_again.append(prefix)
                publish(LocalBucket(self.root), tmp_path, wind=20.0)
            return super().list(prefix)

    made_again: list[str] = []
    cycles.bucket = Racing(bucket.root)
    assert cycles.refresh() == first
    assert made_again
    again = cycles.refresh()
    assert again.version != first.version
    assert cycles.open_member(again, 1)
    assert cycles.current() == again


# --- The current cycle


def test_empty_bucket_says_what_to_do(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UnavailableError, match=r"make demo.*Use live GEFS") as caught:
        Cycles(LocalBucket(tmp_path / "nothing"), data).current()
    assert "whichgefs is not in the bucket" in caught.value.message
    assert not (data / "currgefs.txt").exists()


def test_bucket_is_asked_only_when_it_is_time(
    bucket: Watched, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(bucket, tmp_path)
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    cycles = Cycles(bucket, data, refresh_seconds=300.0)
    cycles.current()
    publish(bucket, tmp_path, SECOND)
    bucket.calls.clear()
    for _ in range(20):
        assert cycles.current().name == FIRST
    now = 1299.0
    assert cycles.current().name == FIRST
    assert bucket.calls == []
    now = 1300.0
    assert cycles.current().name == SECOND
    assert ("read", "whichgefs") in bucket.calls


def test_refresh_switches_at_once_and_is_logged(
    bucket: Watched, tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    publish(bucket, tmp_path)
    cycles = Cycles(bucket, data, refresh_seconds=1e9)
    assert cycles.current().name == FIRST
    publish(bucket, tmp_path, SECOND)
    assert cycles.current().name == FIRST
    assert cycles.refresh().name == SECOND
    assert cycles.current().name == SECOND
    assert "the current cycle is 2026111906 (test, 2 members)" in caplog.text
    assert (data / "currgefs.txt").read_bytes().startswith(b"2026111906\n")


def test_older_cycle_is_refused_while_the_later_one_is_there(
    bucket: Watched, tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(bucket, tmp_path)
    publish(bucket, tmp_path, SECOND)
    refused: list[str] = []
    cycles = Cycles(bucket, data, remote=Remote(refused=refused.append))
    assert cycles.current().name == SECOND
    bucket.write("whichgefs", f"{FIRST}\n".encode())
    assert cycles.refresh().name == SECOND
    assert refused == ["older"]
    assert "the bucket names cycle 2026111900, which is older: 2026111906 stays" in caplog.text
    remove_cycle(bucket, SECOND)
    assert cycles.refresh().name == FIRST
    assert cycles.current().name == FIRST
    assert refused == ["older"]


def test_forecast_takes_the_place_of_a_later_demo(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publishing.publish(bucket, SECOND, made(tmp_path / "making", SECOND), "demo")
    cycles = Cycles(bucket, data)
    assert cycles.current().name == SECOND
    publish(bucket, tmp_path, FIRST)
    assert bucket.read("whichgefs") == FIRST.encode()
    assert cycles.refresh().name == FIRST


def test_publishing_an_earlier_forecast_leaves_the_later_one_current(
    bucket: Watched, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(bucket, tmp_path, SECOND)
    assert not publishing.publish(bucket, FIRST, made(tmp_path / "making", FIRST), "test")
    assert bucket.read("whichgefs") == SECOND.encode()
    assert f"{FIRST}.json" in bucket.list()
    assert "cycle 2026111900 is published, but the later 2026111906 stays current" in caplog.text


def test_publication_does_not_go_on_with_members_of_another_shape(bucket: Watched, tmp_path: Path) -> None:
    Publication(bucket, FIRST, "test").add(0, made(tmp_path / "short", times=2)[0])
    again = Publication(bucket, FIRST, "test")
    assert again.resume((5, 9, 3, 3, 2)) == ()
    for member, path in made(tmp_path / "making").items():
        again.add(member, path)
    assert again.finish()


def test_demo_stays_until_the_first_member_of_a_forecast_comes(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publishing.publish(bucket, FIRST, made(tmp_path / "demo"), "demo")
    publication = Publication(bucket, FIRST, "test")
    assert publication.resume() == ()
    assert Cycles(bucket, data).current().product == "demo"
    publication.add(0, made(tmp_path / "making")[0])
    assert publication.finish()
    assert Cycles(bucket, data).refresh().product == "test"


def test_process_that_looked_long_ago_does_not_take_the_others_back(
    bucket: Watched, tmp_path: Path, data: Path
) -> None:
    """It found the cycle before; when it is about to say so, another process has switched to the next."""
    publish(bucket, tmp_path)
    slow, other = Cycles(bucket, data, refresh_seconds=1e9), Cycles(bucket, data, refresh_seconds=1e9)
    cycle = slow.cycle

    def switched_meanwhile(name: str) -> Cycle:
        found = cycle(name)
        slow.cycle = cycle  # type: ignore[method-assign]
        publish(bucket, tmp_path, SECOND)
        assert other.refresh().name == SECOND
        return found

    slow.cycle = switched_meanwhile  # type: ignore[method-assign]
    assert slow.refresh().name == SECOND
    assert (data / "currgefs.txt").read_text().startswith(SECOND)


def test_publication_goes_on_where_another_was_stopped(bucket: Watched, tmp_path: Path, data: Path) -> None:
    files = made(tmp_path / "making", members=3)
    first = Publication(bucket, FIRST, "test")
    first.add(0, files[0])
    first.add(2, files[2])
    assert not any(path.exists() for path in (files[0], files[2]))
    with pytest.raises(NotFoundError):
        Cycles(bucket, data).cycle(FIRST)
    assert Publication(bucket, FIRST, "other").resume() == ()
    faults.truncate_in_place(bucket.local_path(f"{FIRST}_02.npz"), 3000)
    again = Publication(bucket, FIRST, "test")
    assert again.resume() == (0,)
    again.add(1, files[1])
    with pytest.raises(WindFileError, match="has other levels"):
        again.add(2, made(tmp_path / "other", levels=[300.0, 500.0, 850.0], members=3)[2])
    again.add(2, made(tmp_path / "again", members=3)[2])
    assert again.finish()
    assert list(bucket.list()) == [f"{FIRST}.json", *(f"{FIRST}_0{m}.npz" for m in range(3)), "whichgefs"]
    cycles = Cycles(bucket, data)
    assert cycles.current().members == (0, 1, 2)
    for member in range(3):
        assert float(cycles.open_member(cycles.current(), member).winds.data[0, 0, 0, 0, 0]) == 10.0 + member


def test_what_one_process_finds_all_fly_on(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publish(bucket, tmp_path)
    one, other = (Cycles(bucket, data, refresh_seconds=1e9) for _ in range(2))
    assert one.current() == other.current()
    publish(bucket, tmp_path, SECOND)
    one.refresh()
    bucket.calls.clear()
    assert other.current().name == SECOND
    assert ("read", "whichgefs") not in bucket.calls


CURRENT = """
import sys
from pathlib import Path
from gefs import Cycles
from store.bucket import LocalBucket
cycles = Cycles(LocalBucket(Path(sys.argv[1])), Path(sys.argv[2]), refresh_seconds=1e9)
before = cycles.current()
print(before.name, flush=True)
while cycles.current().name == before.name:
    pass
print(cycles.current().name, cycles.current().version, flush=True)
"""


def test_switch_reaches_other_processes(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publish(bucket, tmp_path)
    cycles = Cycles(bucket, data, refresh_seconds=1e9)
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(faults.Process(CURRENT, bucket.root, data)) for _ in range(2)]
        for other in others:
            assert other.line() == FIRST
        publish(bucket, tmp_path, SECOND)
        switched = cycles.refresh()
        for other in others:
            assert other.line() == f"{SECOND} {switched.version}"


def missing_member(bucket: Watched) -> None:
    bucket.delete(f"{SECOND}_01.npz")


def cut_member(bucket: Watched) -> None:
    faults.truncate_in_place(bucket.local_path(f"{SECOND}_01.npz"), 3000)


def damaged_manifest(bucket: Watched) -> None:
    bucket.write(f"{SECOND}.json", b"{")


def cut_member_of_an_older_tool(bucket: Watched) -> None:
    bucket.delete(f"{SECOND}.json")
    cut_member(bucket)


def no_name(bucket: Watched) -> None:
    bucket.write("whichgefs", b"")


def bad_name(bucket: Watched) -> None:
    bucket.write("whichgefs", b"\xff\xfe latest")


def no_whichgefs(bucket: Watched) -> None:
    bucket.delete("whichgefs")


BAD = [
    missing_member,
    cut_member,
    damaged_manifest,
    cut_member_of_an_older_tool,
    no_name,
    bad_name,
    no_whichgefs,
]


@pytest.mark.parametrize("spoil", BAD)
@pytest.mark.parametrize("restarted", [False, True])
def test_bad_new_cycle_leaves_the_old_one_current(
    tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Watched], None], restarted: bool
) -> None:
    bucket = Watched(tmp_path / "bucket")
    publish(bucket, tmp_path)
    cycles = Cycles(bucket, data, refresh_seconds=0.0)
    before = cycles.current()
    publish(bucket, tmp_path, SECOND)
    spoil(bucket)
    if restarted:
        cycles = Cycles(bucket, data, refresh_seconds=0.0)
    assert cycles.current() == before
    assert "the bucket's cycle is refused, 2026111900 stays" in caplog.text
    publish(bucket, tmp_path, SECOND)
    assert cycles.current().name == SECOND


def test_silent_bucket_leaves_the_cycle_current(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publish(bucket, tmp_path)
    cycles = Cycles(bucket, data, refresh_seconds=0.0)
    before = cycles.current()

    def silent(self: LocalBucket, name: str) -> bytes:
        raise BucketError(f"{name}: connection refused")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LocalBucket, "read", silent)
        assert cycles.current() == before
        # Another process has switched meanwhile: its cycle cannot be read now, the one at hand can be flown.
        (data / "currgefs.txt").write_bytes(b"2026111906\nabc\n")
        assert cycles.current() == before
        with pytest.raises(UnavailableError, match="connection refused"):
            Cycles(bucket, data).current()
    assert cycles.current() == before


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe\n", b"2026111906\nabc\n", b"../secret\n"])
def test_damaged_note_of_the_current_cycle_is_mended(
    bucket: Watched, tmp_path: Path, data: Path, content: bytes | None
) -> None:
    publish(bucket, tmp_path)
    cycles = Cycles(bucket, data, refresh_seconds=1e9)
    before = cycles.current()
    good = (data / "currgefs.txt").read_bytes()
    if content is None:
        (data / "currgefs.txt").unlink()
    else:
        (data / "currgefs.txt").write_bytes(content)
    assert cycles.current() == before
    assert (data / "currgefs.txt").read_bytes() == good


def test_full_disk_does_not_keep_anyone_from_flying(
    bucket: Watched, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(bucket, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(sharedfiles, "write_atomically", faults.full_disk)
        cycles = Cycles(bucket, data)
        assert cycles.current().name == FIRST
        assert cycles.current().name == FIRST
        assert "for one process alone: No space left on device" in caplog.text
        assert cycles.open_member(cycles.current(), 0)
        assert "is verified, which could not be noted" in caplog.text
    assert cycles.current().name == FIRST
    assert (data / "currgefs.txt").read_bytes().startswith(b"2026111900\n")


def test_threads_that_all_find_the_new_cycle_agree(bucket: Watched, tmp_path: Path, data: Path) -> None:
    publish(bucket, tmp_path)
    cycles = Cycles(bucket, data, refresh_seconds=0.0)
    with ThreadPoolExecutor(8) as pool:
        names = {pool.submit(cycles.current) for _ in range(100)}
        publish(bucket, tmp_path, SECOND)
        assert {name.result().name for name in names} <= {FIRST, SECOND}
    assert cycles.current().name == SECOND


# --- Members


@pytest.fixture
def flyable(bucket: Watched, tmp_path: Path, data: Path) -> tuple[Cycles, Cycle]:
    """A published cycle of three members."""
    publish(bucket, tmp_path, members=3)
    cycles = Cycles(bucket, data)
    return cycles, cycles.current()


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were hashed."""
    found: list[str] = []
    sha256 = publishing.sha256

    def noted(path: Path) -> str:
        found.append(path.name)
        return sha256(path)

    monkeypatch.setattr(gefs, "sha256", noted)
    return found


def test_member_is_the_published_one(flyable: tuple[Cycles, Cycle]) -> None:
    cycles, cycle = flyable
    for member in cycle.members:
        assert float(cycles.open_member(cycle, member).winds.data[0, 0, 0, 0, 0]) == 10.0 + member


@pytest.mark.parametrize("member", [-1, 3, 99])
def test_member_that_the_cycle_lacks_is_not_found(flyable: tuple[Cycles, Cycle], member: int) -> None:
    cycles, cycle = flyable
    with pytest.raises(NotFoundError, match=rf"member {member} is not in cycle {FIRST}; it has 0\.\.2") as caught:
        cycles.open_member(cycle, member)
    assert caught.value.details == {"members": [0, 1, 2]}


def test_member_with_other_bytes_than_published_is_refused(flyable: tuple[Cycles, Cycle]) -> None:
    """One bit of one wind, which no zip directory tells."""
    cycles, cycle = flyable
    path = file_in(cycles.bucket, f"{FIRST}_01.npz")
    data = WindFile(path).winds.data
    offset = path.read_bytes().index(data[2, 3].tobytes())
    faults.overwrite_in_place(path, offset, b"\x01")
    with pytest.raises(WindFileError, match=f"{FIRST}_01.npz has SHA-256 .*, its manifest says"):
        cycles.open_member(cycle, 1)
    assert not list((cycles._current_file.parent / "gefs").rglob(f"{FIRST}_01*"))
    cycles.open_member(cycle, 0)


def test_member_is_hashed_once_per_machine(
    flyable: tuple[Cycles, Cycle], hashes: list[str], bucket: Watched, data: Path
) -> None:
    cycles, cycle = flyable
    for _ in range(3):
        cycles.open_member(cycle, 1)
        Cycles(bucket, data).open_member(cycle, 1)
    assert hashes == [f"{FIRST}_01.npz"]
    assert [entry.name for entry in (data / "gefs" / "verified").iterdir()] == [f"{FIRST}_01.npz"]


def test_verification_is_not_trusted_for_another_file(
    flyable: tuple[Cycles, Cycle], hashes: list[str], tmp_path: Path
) -> None:
    cycles, cycle = flyable
    path = file_in(cycles.bucket, f"{FIRST}_01.npz")
    cycles.open_member(cycle, 1)
    other = made(tmp_path / "other", wind=50.0)[1]
    assert other.stat().st_size == path.stat().st_size
    same = faults.cut(path, tmp_path / "same.npz", path.stat().st_size)
    faults.replace_by_rename(path, other)
    with pytest.raises(WindFileError, match="SHA-256"):
        cycles.open_member(cycle, 1)
    faults.replace_by_rename(path, same)
    cycles.open_member(cycle, 1)
    faults.overwrite_in_place(path, path.stat().st_size // 2, b"\0wind")
    with pytest.raises(WindFileError, match="SHA-256"):
        cycles.open_member(cycle, 1)
    assert len(hashes) == 4


def test_verification_of_an_earlier_publication_is_not_trusted(flyable: tuple[Cycles, Cycle], bucket: Watched) -> None:
    cycles, cycle = flyable
    cycles.open_member(cycle, 1)
    content = json.loads(bucket.read(f"{FIRST}.json"))
    content["members"][1]["sha256"] = "0" * 64
    bucket.write(f"{FIRST}.json", json.dumps(content).encode())
    with pytest.raises(WindFileError, match="its manifest says 0000"):
        cycles.open_member(cycles.cycle(FIRST), 1)


def test_file_that_is_replaced_while_it_is_verified_is_refused(
    flyable: tuple[Cycles, Cycle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cycles, cycle = flyable
    path = file_in(cycles.bucket, f"{FIRST}_01.npz")
    same = faults.cut(path, tmp_path / "same.npz", path.stat().st_size)
    sha256 = publishing.sha256

    def replaced_before(at: Path) -> str:
        faults.replace_by_rename(path, same)
        return sha256(at)

    monkeypatch.setattr(gefs, "sha256", replaced_before)
    with pytest.raises(WindFileError, match="was replaced while it was read"):
        cycles.open_member(cycle, 1)

    def removed_before(at: Path) -> str:
        path.unlink()
        return sha256(at)

    monkeypatch.setattr(gefs, "sha256", removed_before)
    with pytest.raises(WindFileError, match="cannot be read: No such file"):
        cycles.open_member(cycle, 1)


@pytest.mark.parametrize(
    ("other", "reason"),
    [({"cycle": SECOND}, "starts at 1795068000, its cycle at 1795046400"), ({"degrees": 30.0}, "has shape")],
)
def test_file_of_another_start_or_shape_is_refused(
    flyable: tuple[Cycles, Cycle], bucket: Watched, tmp_path: Path, other: dict[str, Any], reason: str
) -> None:
    """Size and SHA-256 agree, since whoever wrote the manifest took the wrong file."""
    cycles, _ = flyable
    path = made(tmp_path / "other", **other)[1]
    content = json.loads(bucket.read(f"{FIRST}.json"))
    content["members"][1].update(size=path.stat().st_size, sha256=publishing.sha256(path))
    bucket.put(f"{FIRST}_01.npz", path)
    bucket.write(f"{FIRST}.json", json.dumps(content).encode())
    with pytest.raises(WindFileError, match=reason):
        cycles.open_member(cycles.cycle(FIRST), 1)


def test_member_of_an_older_tool_with_another_start_is_refused(bucket: Watched, tmp_path: Path, data: Path) -> None:
    without_manifest(bucket, tmp_path)
    cycles = Cycles(bucket, data)
    cycle = cycles.current()
    bucket.put(f"{FIRST}_01.npz", made(tmp_path / "other", SECOND)[1])
    with pytest.raises(WindFileError, match="starts at"):
        cycles.open_member(cycle, 1)


# --- Removal


def test_removed_cycle_is_gone_and_others_stay(bucket: Watched, tmp_path: Path) -> None:
    publish(bucket, tmp_path)
    publish(bucket, tmp_path, SECOND)
    remove_cycle(bucket, FIRST)
    assert list(bucket.list()) == [f"{SECOND}.json", f"{SECOND}_00.npz", f"{SECOND}_01.npz", "whichgefs"]
    remove_cycle(bucket, FIRST)


def test_mapped_files_stay_and_their_cycle_is_not_taken_for_a_whole_one(
    bucket: Watched, tmp_path: Path, data: Path
) -> None:
    publish(bucket, tmp_path)
    cycles = Cycles(bucket, data)
    mapped = cycles.open_member(cycles.current(), 1)
    publish(bucket, tmp_path, SECOND)
    remove_cycle(bucket, FIRST)
    assert mapped.is_unchanged()
    assert [name for name in bucket.list() if name.startswith(FIRST)] == [f"{FIRST}.json", f"{FIRST}_01.npz"]
    with pytest.raises(NotFoundError):
        cycles.cycle(FIRST)
    del mapped
    gc.collect()
    remove_cycle(bucket, FIRST)
    assert not [name for name in bucket.list() if name.startswith(FIRST)]


def test_file_mapped_by_another_process_stays(bucket: Watched, tmp_path: Path) -> None:
    publish(bucket, tmp_path)
    code = """
import sys, time, windfile
from pathlib import Path
file = windfile.WindFile(Path(sys.argv[1]))
print("mapped", flush=True)
time.sleep(600)
"""
    with faults.Process(code, bucket.local_path(f"{FIRST}_00.npz")) as process:
        assert process.line() == "mapped"
        remove_cycle(bucket, FIRST)
        assert f"{FIRST}_00.npz" in bucket.list()
        process.kill()
        remove_cycle(bucket, FIRST)
    assert list(bucket.list()) == ["whichgefs"]


def test_two_that_remove_one_cycle_do_not_disturb_each_other(bucket: Watched, tmp_path: Path) -> None:
    for _ in range(10):
        publish(bucket, tmp_path, members=5)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: remove_cycle(bucket, FIRST), range(4)))
        remove_cycle(bucket, FIRST)
        assert list(bucket.list()) == ["whichgefs"]


def test_records_of_verified_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_KEPT_RECORDS", 2)
    cycles = gefs.Cycles(make_bucket(tmp_path / "bucket", members=4), tmp_path / "data")
    for member in range(4):
        cycles.open_member(cycles.current(), member)
    assert len(list((tmp_path / "data" / "gefs" / "verified").iterdir())) == 2


# --- A bucket elsewhere


@pytest.fixture
def far(tmp_path: Path) -> Elsewhere:
    """An empty bucket elsewhere."""
    return Elsewhere(tmp_path / "far")


class Gate:
    """Keeps calls to a bucket elsewhere waiting in their threads until it is open; counts them."""

    def __init__(self, bucket: Elsewhere) -> None:
        self.opened = threading.Event()
        self.opened.set()
        self.calls: list[str] = []
        read = bucket.read

        def waiting(name: str) -> bytes:
            self.calls.append(f"{threading.current_thread().name} {name}")
            assert self.opened.wait(faults.DEADLINE_SECONDS)
            return read(name)

        bucket.read = waiting  # type: ignore[method-assign]


@pytest.fixture
def gate(far: Elsewhere) -> Iterator[Gate]:
    gate = Gate(far)
    yield gate
    gate.opened.set()
    faults.wait_until(lambda: not looking(), "the end of the look")


def looking() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "refresh"]


def test_no_request_waits_for_a_bucket_elsewhere_when_a_cycle_is_known(
    far: Elsewhere, gate: Gate, tmp_path: Path, data: Path
) -> None:
    publish(far, tmp_path)
    cycles = Cycles(far, data, refresh_seconds=0.0)
    assert cycles.current().name == FIRST  # nothing is known yet: this one waits
    publish(far, tmp_path, SECOND)
    faults.wait_until(lambda: not looking())
    gate.opened.clear()
    gate.calls.clear()
    for _ in range(20):
        assert cycles.current().name == FIRST
    faults.wait_until(lambda: gate.calls, "a look")
    assert gate.calls == ["refresh whichgefs"]  # one at a time, in the background
    gate.opened.set()
    faults.wait_until(lambda: cycles.current().name == SECOND, "the new cycle")


def test_bucket_elsewhere_is_asked_when_it_is_time(
    far: Elsewhere, gate: Gate, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(far, tmp_path)
    now = 1000.0
    cycles = Cycles(far, data, refresh_seconds=300.0)
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: now)
        cycles.current()
        gate.calls.clear()
        now = 1299.0
        for _ in range(20):
            cycles.current()
        assert gate.calls == []
        now = 1300.0
        for _ in range(20):
            cycles.current()
    faults.wait_until(lambda: not looking())
    assert gate.calls.count("refresh whichgefs") == 1


def test_look_that_cannot_begin_is_made_later(
    far: Elsewhere, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(far, tmp_path)
    cycles = Cycles(far, data, refresh_seconds=0.0)
    cycles.refresh()
    publish(far, tmp_path, SECOND)

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        assert cycles.current().name == FIRST
    assert "no look for a new cycle: can't start new thread" in caplog.text
    faults.wait_until(lambda: cycles.current().name == SECOND, "the new cycle")
    faults.wait_until(lambda: not looking())


def test_other_processes_switch_without_asking_the_store(
    far: Elsewhere, gate: Gate, tmp_path: Path, data: Path
) -> None:
    publish(far, tmp_path)
    one, other = (Cycles(far, data, refresh_seconds=1e9) for _ in range(2))
    assert one.refresh() == other.refresh()
    publish(far, tmp_path, SECOND)
    switched = one.refresh()
    gate.calls.clear()
    gate.opened.clear()
    assert other.current() == switched
    assert dict(other.current().objects) == dict(switched.objects)
    assert Cycles(far, data, refresh_seconds=1e9)._shared() == switched
    assert gate.calls == []


def test_restart_while_the_store_is_silent_flies_on(
    far: Elsewhere, tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(far, tmp_path)
    cycles = Cycles(far, data)
    before = cycles.current()
    part = cycles.open_member(before, 1)
    assert isinstance(part, ResidentFile)
    part.fetch(part.missing())
    far.silent = True
    refused: list[str] = []
    restarted = Cycles(far, data, remote=Remote(refused=refused.append))
    assert restarted.refresh() == before
    assert refused == ["unreachable"]
    assert "the bucket's cycle is refused, 2026111900 stays: the store does not answer" in caplog.text
    assert restarted.current() == before
    assert float(restarted.open_member(restarted.current(), 1).winds.data[2, 2, 1, 1, 0]) == 11.0
    assert Cycles(far, data).current() == before
    with pytest.raises(UnavailableError, match="no cycle can be flown: the store does not answer"):
        Cycles(far, tmp_path / "other").current()


@pytest.mark.parametrize("content", [b"{}", b"", b"[]", b'{"version": 1, "manifest": 5, "objects": {}}', None])
def test_damaged_description_of_a_cycle_is_not_flown(
    far: Elsewhere, tmp_path: Path, data: Path, content: bytes | None
) -> None:
    publish(far, tmp_path)
    before = Cycles(far, data).current()
    description = data / "gefs" / "cycles" / f"{FIRST}.json"
    good = description.read_bytes()
    if content is None:
        description.unlink()
    else:
        description.write_bytes(content)
    far.silent = True
    with pytest.raises(UnavailableError):
        Cycles(far, data).current()
    far.silent = False
    assert Cycles(far, data).current() == before
    if content is None:
        assert Cycles(far, data).refresh() == before
        assert description.read_bytes() == good


def test_description_of_another_publication_is_not_flown(far: Elsewhere, tmp_path: Path, data: Path) -> None:
    publish(far, tmp_path)
    before = Cycles(far, data).current()
    description = data / "gefs" / "cycles" / f"{FIRST}.json"
    description.write_bytes(description.read_bytes().replace(before.version.encode(), b"0123456789abcdef"))
    far.silent = True
    with pytest.raises(UnavailableError):
        Cycles(far, data).current()


def test_process_flies_on_when_the_note_of_the_cycle_is_lost(
    far: Elsewhere, gate: Gate, tmp_path: Path, data: Path
) -> None:
    publish(far, tmp_path)
    cycles = Cycles(far, data, refresh_seconds=1e9)
    before = cycles.current()
    (data / "currgefs.txt").unlink()
    gate.calls.clear()
    assert cycles.current() == before
    assert gate.calls == []
    cycles.refresh()
    assert (data / "currgefs.txt").read_bytes() == f"{FIRST}\n{before.version}\n".encode()


FAR_BAD = [missing_member, cut_member, damaged_manifest, no_name, bad_name, no_whichgefs]


@pytest.mark.parametrize("spoil", FAR_BAD)
def test_half_uploaded_cycle_elsewhere_is_refused(
    far: Elsewhere, tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Any], None]
) -> None:
    publish(far, tmp_path)
    refused: list[str] = []
    cycles = Cycles(far, data, refresh_seconds=1e9, remote=Remote(refused=refused.append))
    before = cycles.refresh()
    near = Watched(far.root)
    publish(near, tmp_path, SECOND)
    spoil(near)
    for again in (cycles, Cycles(far, data, refresh_seconds=1e9, remote=Remote(refused=refused.append))):
        assert again.refresh() == before
        assert again.current() == before
    assert refused == ["unreachable" if spoil is damaged_manifest else "incomplete"] * 2
    assert caplog.text.count("the bucket's cycle is refused, 2026111900 stays") == 2
    publish(near, tmp_path, SECOND)
    assert cycles.refresh().name == SECOND


def test_older_cycle_elsewhere_is_refused_also_while_the_later_one_cannot_be_looked_at(
    far: Elsewhere, tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(far, tmp_path)
    publish(far, tmp_path, SECOND)
    refused: list[str] = []
    cycles = Cycles(far, data, remote=Remote(refused=refused.append))
    assert cycles.refresh().name == SECOND
    far.write("whichgefs", FIRST.encode())
    assert cycles.refresh().name == SECOND
    assert "the bucket names cycle 2026111900, which is older: 2026111906 stays" in caplog.text

    def falters(name: str) -> bytes:
        if name == f"{SECOND}.json":
            raise BucketError("the store does not answer now and then")
        return LocalBucket.read(far, name)

    far.read = falters  # type: ignore[method-assign]
    assert cycles.refresh().name == SECOND
    assert refused == ["older", "older"]
    del far.read
    remove_cycle(LocalBucket(far.root), SECOND)
    assert cycles.refresh().name == FIRST


FAR_CURRENT = """
import sys
from pathlib import Path
from gefs import Cycles
from tests.elsewhere import Elsewhere
far = Elsewhere(Path(sys.argv[1]))
cycles = Cycles(far, Path(sys.argv[2]), refresh_seconds=1e9)
before = cycles.refresh()
print(before.name, flush=True)
far.silent = True
while (cycle := cycles.current()).name != sys.argv[3]:
    assert cycle == before
print(cycle.name, cycle.version, len(cycle.objects), len(cycle.members), flush=True)
"""


def test_switch_of_a_bucket_elsewhere_reaches_all_processes_at_once(far: Elsewhere, tmp_path: Path, data: Path) -> None:
    publish(far, tmp_path)
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(faults.Process(FAR_CURRENT, far.root, data, SECOND)) for _ in range(2)]
        for other in others:
            assert other.line() == FIRST
        publish(far, tmp_path, SECOND, members=3)
        switched = Cycles(far, data).refresh()
        for other in others:
            assert other.line() == f"{SECOND} {switched.version} 3 3"


SWITCHES = """
Cycles(far, data).refresh()
"""

BEFORE_SWITCH = """
import sys
from pathlib import Path
from gefs import Cycles
from tests.elsewhere import Elsewhere
far, data = Elsewhere(Path(sys.argv[1])), Path(sys.argv[2])
"""


def test_kill_at_any_step_of_a_switch_leaves_one_cycle_or_the_other(far: Elsewhere, tmp_path: Path, data: Path) -> None:
    publish(far, tmp_path)
    first = Cycles(far, data).refresh()
    publish(far, tmp_path, SECOND)
    second = Cycles(far, tmp_path / "other").refresh()
    names = []
    for step in faults.deaths(BEFORE_SWITCH, SWITCHES, far.root, data):
        far.silent = True
        current = Cycles(far, data).refresh()
        assert current in (first, second), step
        assert dict(current.objects) == dict((first if current == first else second).objects), step
        names.append(current.name)
        far.silent = False
        assert Cycles(far, data).refresh() == second, step
        far.write("whichgefs", FIRST.encode())
        (data / "currgefs.txt").unlink()
        (data / "gefs" / "cycles" / f"{SECOND}.json").unlink()
        assert Cycles(far, data).refresh() == first
        far.write("whichgefs", SECOND.encode())
    assert set(names) == {FIRST, SECOND}
    assert names == sorted(names)


def test_objects_published_again_under_the_same_manifest_have_another_version(
    far: Elsewhere, tmp_path: Path, data: Path
) -> None:
    publish(far, tmp_path)
    cycles = Cycles(far, data, refresh_seconds=1e9)
    before = cycles.refresh()
    part = cycles.open_member(before, 1)
    assert isinstance(part, ResidentFile)
    copy = faults.cut(far.root / f"{FIRST}_01.npz", tmp_path / "same.npz", before.objects[f"{FIRST}_01.npz"].size)
    far.put(f"{FIRST}_01.npz", copy)
    with pytest.raises(ObjectChangedError):
        part.fetch(part.missing())
    after = cycles.refresh()
    assert (after.name, after.manifest) == (before.name, before.manifest)
    assert after.version != before.version
    again = cycles.open_member(after, 1)
    assert isinstance(again, ResidentFile)
    again.fetch(again.missing())
    assert float(again.winds.data[2, 2, 1, 1, 0]) == 11.0
    assert cycles.current() == after == Cycles(far, data).refresh()


def test_cycle_of_an_older_tool_is_flown_from_afar(far: Elsewhere, tmp_path: Path, data: Path) -> None:
    for cycle in (FIRST, SECOND):
        publish(far, tmp_path, cycle, members=3, degrees=5.0, levels=LEVELS_31)
        far.delete(f"{cycle}.json")
    cycles = Cycles(far, data, refresh_seconds=1e9)
    found = cycles.current()
    assert (found.name, found.product, found.members, found.manifest) == (SECOND, "unknown", (0, 1, 2), None)
    assert far.moved() < sum(info.size for info in found.objects.values()) / 4
    for member in range(3):
        file = cycles.open_member(found, member)
        assert isinstance(file, ResidentFile)
        file.fetch(file.missing()[-2:])
        assert float(file.winds.data[-1, 5, 1, 1, 0]) == 10.0 + member
    far.silent = True
    assert Cycles(far, data).refresh() == found
    far.silent = False
    whole = (far.root / f"{SECOND}_01.npz").read_bytes()
    faults.truncate_in_place(far.root / f"{SECOND}_01.npz", 3000)
    with pytest.raises(WindFileError, match=f"{SECOND}_01.npz is damaged"):
        cycles.cycle(SECOND)
    assert cycles.refresh() == found
    (far.root / f"{SECOND}_01.npz").write_bytes(whole)
    assert cycles.refresh().version != found.version


def test_cycle_of_an_older_tool_stays_when_the_disk_is_full(
    far: Elsewhere, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(far, tmp_path)
    cycles = Cycles(far, data, refresh_seconds=1e9)
    before = cycles.refresh()
    publish(far, tmp_path, SECOND)
    far.delete(f"{SECOND}.json")
    with monkeypatch.context() as patched:
        patched.setattr(resident, "write_at", faults.full_disk)
        assert cycles.refresh() == before
        assert cycles.current() == before
    assert cycles.refresh().name == SECOND


def test_full_disk_leaves_a_process_its_cycle_without_asking_at_each_request(
    far: Elsewhere, gate: Gate, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(far, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(sharedfiles, "write_atomically", faults.full_disk)
        cycles = Cycles(far, data, refresh_seconds=1e9)
        before = cycles.current()
        gate.calls.clear()
        for _ in range(5):
            assert cycles.current() == before
        assert gate.calls == []
    assert cycles.refresh() == before
    assert (data / "currgefs.txt").exists()


def test_named_cycle_elsewhere_is_looked_at_once_in_a_while(
    far: Elsewhere, gate: Gate, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(far, tmp_path)
    publish(far, tmp_path, SECOND)
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    cycles = Cycles(far, data, refresh_seconds=300.0)
    assert cycles.named(SECOND) == cycles.current()
    for later in (1000.0, 1301.0, 1700.0):
        now = later
        cycles.refresh()
        gate.calls.clear()
        for _ in range(5):
            assert cycles.named(FIRST).name == FIRST
        assert gate.calls == [f"MainThread {FIRST}.json"]
    now = 2100.0
    cycles.refresh()
    far.silent = True
    assert cycles.named(FIRST).members == (0, 1)
    with pytest.raises(BucketError):
        cycles.named("2026111818")
    far.silent = False
    with pytest.raises(NotFoundError):
        cycles.named("2026111818")
