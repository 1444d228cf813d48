"""From the server of NOAA to a published cycle: the right messages, once, whole, whatever goes wrong on the way."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import create_app
from forecasts import assembly, halves, ingest, noaa
from forecasts.assembly import Found, StepJob
from forecasts.httpfiles import HttpFiles, Patience
from forecasts.ingest import Decoders, Ingest, Order, StepDone
from forecasts.noaa import CLASSIC, FULL, Entry, Piece, choose, merge, parse_inventory, source_named
from habsim.atmosphere import altitude
from habsim.errors import (
    AbsentError,
    ConversionError,
    HabsimError,
    InventoryError,
    SourceChangedError,
    SourceError,
    StoppedError,
    WindFileError,
)
from store.bucket import LocalBucket
from store.manifest import cycle_start, read_manifest
from tests import gribs, noaa_server
from tests.faults import full_disk, small_disk
from tests.noaa_server import CYCLE, SMALL_CLASSIC, SMALL_FULL, Archive, NoaaServer
from tests.worlds import make_bucket, make_settings, sample, shared_data, uniform
from windfile import WindFile

RUN = int(cycle_start(CYCLE))
HASTY = Patience(first=0.001, longest=0.002, deadline=20.0, silence=5.0)


# --- Inventories


def line(number: str, start: int, what: str) -> str:
    return f"{number}:{start}:d={CYCLE}:{what}:ENS=+1\n"


def entries(*lines: str, size: int = 1000) -> list[Entry]:
    return parse_inventory("".join(line(str(i), 100 * i, what) for i, what in enumerate(lines)), size)


def test_products_have_the_shapes_of_the_formats() -> None:
    assert CLASSIC.shape == (181, 361, 19, 65, 2)
    assert FULL.shape == (361, 721, 31, 65, 2)
    assert (len(CLASSIC.wanted), len(FULL.wanted)) == (38, 93)
    assert (CLASSIC.interval_seconds, FULL.interval_seconds) == (21600, 10800)


def test_a_product_is_cut_at_an_hour() -> None:
    assert FULL.until(7).steps_hours == (0, 3, 6)
    with pytest.raises(SourceError, match="5 hours are too short, classic needs at least 6"):
        CLASSIC.until(5)


def test_files_have_the_addresses_of_noaa() -> None:
    assert source_named("aws").address("2026072406", 0, 3, "pgrb2a") == (
        "https://noaa-gefs-pds.s3.amazonaws.com/gefs.20260724/06/atmos/pgrb2ap5/gec00.t06z.pgrb2a.0p50.f003"
    )
    assert source_named("nomads").address("2026072418", 30, 384, "pgrb2b") == (
        "https://nomads.ncep.noaa.gov/pub/data/nccf/com/gens/prod/gefs.20260724/18/atmos/pgrb2bp5/"
        "gep30.t18z.pgrb2b.0p50.f384"
    )
    assert (
        source_named("nomads", "http://mirror/gefs/").address(CYCLE, 1, 0, "pgrb2a").startswith("http://mirror/gefs/g")
    )
    with pytest.raises(SourceError, match="there is no source 'ecmwf'; there are aws, nomads"):
        source_named("ecmwf")


def test_a_message_ends_where_the_next_begins_and_the_last_with_the_file() -> None:
    found = entries("HGT:10 mb:anl", "UGRD:0.4 mb:6 hour fcst", "UGRD:surface:0-6 hour ave fcst", size=345)
    assert [(e.start, e.end) for e in found] == [(0, 100), (100, 200), (200, 345)]
    assert [(e.variable, e.level, e.step_hours) for e in found] == [
        ("HGT", 10.0, 0), ("UGRD", 0.4, 6), ("UGRD", None, None),
    ]  # fmt: skip


def test_fields_that_share_a_message_have_the_same_bytes() -> None:
    text = line("1.1", 0, "UGRD:10 mb:anl") + line("1.2", 0, "VGRD:10 mb:anl") + line("2", 70, "HGT:10 mb:anl")
    found = parse_inventory(text, 99)
    assert [(e.start, e.end) for e in found] == [(0, 70), (0, 70), (70, 99)]
    product = dataclasses.replace(SMALL_FULL, kinds=("pgrb2a",), levels=(10.0,))
    chosen = choose(product, {"pgrb2a": found}, CYCLE, 0)
    assert chosen == {"pgrb2a": [Piece(0, 70, (("UGRD", 10.0), ("VGRD", 10.0))), Piece(70, 99, (("HGT", 10.0),))]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cut off"),
        (line("1", 0, "HGT:10 mb:anl")[:-1], "cut off"),
        ("<html>busy</html>\n", "line 1 is '<html>busy</html>'"),
        (line("1", 0, "HGT:10 mb"), "line 1 is"),
        (line("1", 5, "HGT:10 mb:anl"), "not one after another"),
        (
            line("1", 0, "HGT:10 mb:anl") + line("2", 90, "HGT:20 mb:anl") + line("3", 80, "HGT:30 mb:anl"),
            "not one after",
        ),
        (line("1", 0, "HGT:10 mb:anl") + line("2", 100, "HGT:20 mb:anl"), "does not fit its file: byte 100 of 100"),
    ],
)
def test_a_damaged_inventory_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InventoryError, match=reason):
        parse_inventory(text, 100)


TWO_LEVELS = dataclasses.replace(SMALL_FULL, kinds=("a", "b"), levels=(10.0, 20.0), has_height=False)


def test_only_instantaneous_winds_on_the_wanted_levels_are_chosen_each_once() -> None:
    first = entries(
        "UGRD:30-10 mb above ground:6 hour fcst", "UGRD:20 mb:0-6 hour ave fcst", "UGRD:10 mb:6 hour fcst",
        "VGRD:10 mb:6 hour fcst", "UGRD:10 hybrid level:6 hour fcst", "UGRD:30 mb:6 hour fcst",
        "VGRD:20 mb:3 hour fcst", "HGT:10 mb:6 hour fcst",
    )  # fmt: skip
    second = entries("UGRD:20 mb:6 hour fcst", "VGRD:20 mb:6 hour fcst", "UGRD:10 mb:6 hour fcst")
    chosen = choose(TWO_LEVELS, {"a": first, "b": second}, CYCLE, 6)
    assert [piece.start for piece in chosen["a"]] == [200, 300]
    assert [piece.wanted for piece in chosen["b"]] == [(("UGRD", 20.0),), (("VGRD", 20.0),)]


def test_what_no_inventory_has_is_named() -> None:
    with pytest.raises(InventoryError, match="3 fields are in no inventory: VGRD at 10 hPa, UGRD at 20 hPa"):
        choose(TWO_LEVELS, {"a": entries("UGRD:10 mb:6 hour fcst")}, CYCLE, 6)


def test_an_inventory_of_another_run_is_refused() -> None:
    with pytest.raises(InventoryError, match="the a inventory is of run 2026072400, not 2026072406"):
        choose(TWO_LEVELS, {"a": entries("UGRD:10 mb:6 hour fcst")}, "2026072406", 6)


def test_neighbours_are_fetched_together_up_to_a_gap() -> None:
    pieces = [Piece(start, start + 10, ()) for start in (0, 10, 25, 60)]
    assert [(s.start, s.end, len(s.pieces)) for s in merge(pieces, 4)] == [(0, 20, 2), (25, 35, 1), (60, 70, 1)]
    assert [(s.start, s.end, len(s.pieces)) for s in merge(pieces, 5)] == [(0, 35, 3), (60, 70, 1)]


REAL_A, REAL_B = "20250801.gec00.t00z.pgrb2a.0p50.f432.idx", "20250801.gec00.t00z.pgrb2b.0p50.f003.idx"


def real(name: str) -> list[Entry]:
    """A real inventory; its file ends, as far as it tells, right after the start of the last message."""
    text = shared_data(f"idx/{name}").read_text()
    return parse_inventory(text, int(text.splitlines()[-1].split(":")[1]) + 1)


def real_step() -> dict[str, list[Entry]]:
    """Both real inventories of the control member as if they were of one step."""
    return {
        kind: [dataclasses.replace(e, step_hours=None if e.step_hours is None else 3) for e in real(name)]
        for kind, name in (("pgrb2a", REAL_A), ("pgrb2b", REAL_B))
    }


@pytest.mark.parametrize(("product", "gap", "share"), [(FULL, 64 << 10, 0.18), (CLASSIC, 64 << 10, 0.09)])
def test_real_inventories_have_every_field_in_a_fifth_of_the_bytes(
    product: noaa.Product, gap: int, share: float
) -> None:
    inventories = {kind: found for kind, found in real_step().items() if kind in product.kinds}
    chosen = choose(product, inventories, "2025080100", 3)
    taken = [field for pieces in chosen.values() for piece in pieces for field in piece.wanted]
    assert sorted(taken) == sorted(product.wanted)
    fetched = sum(span.length for pieces in chosen.values() for span in merge(pieces, gap))
    whole = sum(found[-1].end for found in inventories.values())
    assert fetched / whole < share


def test_the_real_height_at_400_hpa_comes_from_the_second_file() -> None:
    chosen = choose(FULL, real_step(), "2025080100", 3)
    assert [kind for kind, pieces in chosen.items() if any(("HGT", 400.0) in piece.wanted for piece in pieces)] == [
        "pgrb2b"
    ]


def test_a_real_analysis_is_step_0() -> None:
    found = real("20260724.geavg.t00z.pgrb2a.0p50.f000.idx")
    assert {(e.variable, e.step_hours) for e in found if e.level == 10.0} >= {("UGRD", 0), ("VGRD", 0), ("HGT", 0)}


# --- Files on a server that misbehaves


class Unhurried(threading.Event):
    """A stop event that notes for how long somebody would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        if timeout:
            self.waits.append(timeout)
        return self.is_set()


BIG = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture
def big() -> Iterator[NoaaServer]:
    with NoaaServer({"/big": BIG}.get) as server:
        yield server


def fetched(server: NoaaServer, files: HttpFiles, tmp_path: Path, start: int = 1000, end: int = 1_500_000) -> bytes:
    """Bytes `start` to `end` of the big file by way of a file on disk, from byte 10 of it."""
    with (tmp_path / "fetched").open("w+b") as target:
        files.fetch(files.look(server.base + "/big"), start, end, target.fileno(), 10)
        return os.pread(target.fileno(), end - start + 1, 10)


BREAKS = [
    "cut", "reset", "short", "long", "shifted", "whole", "busy", "moved", "silent", "slow",
]  # fmt: skip


@pytest.mark.parametrize("kind", BREAKS)
def test_a_range_arrives_whole_though_the_server_fails_twice(big: NoaaServer, tmp_path: Path, kind: str) -> None:
    patience = dataclasses.replace(HASTY, silence=0.2, attempt=0.2) if kind in ("silent", "slow") else HASTY
    big.fault(kind, times=2, seconds=0.6)
    with HttpFiles(2, patience=patience) as files:
        assert fetched(big, files, tmp_path) == BIG[1000:1_500_000]
        assert files.retries >= 2


@pytest.mark.parametrize("kind", BREAKS)
def test_a_server_that_never_recovers_is_given_up_with_the_reason(big: NoaaServer, tmp_path: Path, kind: str) -> None:
    big.fault(kind, times=1000, seconds=0.3)
    patience = Patience(first=0.001, longest=0.002, deadline=0.0, silence=0.1, attempt=0.1)
    with HttpFiles(2, patience=patience) as files, pytest.raises(SourceError, match=r"/big: .*; given up after 0 s"):
        fetched(big, files, tmp_path)


def test_a_broken_transfer_goes_on_where_it_broke(big: NoaaServer, tmp_path: Path) -> None:
    big.fault("cut")
    with HttpFiles(2, patience=HASTY) as files:
        assert fetched(big, files, tmp_path) == BIG[1000:1_500_000]
    first, second = big.ranges("/big")
    assert first == (1000, 1_500_000)
    assert second[0] > 400_000
    assert second[1] == 1_500_000


@pytest.mark.parametrize("has_etag", [True, False])
def test_a_file_that_changes_between_two_ranges_is_noticed(big: NoaaServer, tmp_path: Path, has_etag: bool) -> None:
    with HttpFiles(2, patience=HASTY) as files, (tmp_path / "fetched").open("w+b") as target:
        seen = files.look(big.base + "/big")
        files.fetch(seen, 0, 100, target.fileno(), 0)
        big.fault("replaced")
        # A server without ETag has only the date to tell; here the ETag differs too, as the client did not note it.
        with pytest.raises(SourceChangedError, match="/big was replaced while it was read"):
            files.fetch(seen if has_etag else dataclasses.replace(seen, etag=None), 100, 200, target.fileno(), 100)
    assert big.asked[-1].status == (412 if has_etag else 206)


def test_a_file_that_vanishes_between_two_ranges_is_absent(big: NoaaServer, tmp_path: Path) -> None:
    big.fault("missing")
    with HttpFiles(2, patience=HASTY) as files, pytest.raises(AbsentError, match="/big is not there"):
        fetched(big, files, tmp_path)


def test_the_server_says_how_long_to_wait(big: NoaaServer) -> None:
    big.fault("busy", times=1, ranges=False, retry_after="17")
    stop = Unhurried()
    with HttpFiles(2, patience=HASTY, stop=stop) as files:
        assert files.look(big.base + "/big").size == len(BIG)
    assert stop.waits == [17.0]


def test_the_server_may_say_until_when_to_wait(big: NoaaServer) -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 15))
    big.fault("busy", times=1, ranges=False, retry_after=date)
    stop = Unhurried()
    with HttpFiles(2, patience=HASTY, stop=stop) as files:
        files.look(big.base + "/big")
    assert 5 < stop.waits[0] <= 15


def test_a_wait_beyond_the_deadline_is_not_begun(big: NoaaServer) -> None:
    big.fault("busy", times=1, ranges=False, retry_after="3600")
    stop = Unhurried()
    with (
        HttpFiles(2, patience=HASTY, stop=stop) as files,
        pytest.raises(SourceError, match="status 503, it asks to wait 3600 s; given up after 20 s"),
    ):
        files.look(big.base + "/big")
    assert stop.waits == []


def test_waits_double_with_jitter_up_to_the_longest(big: NoaaServer) -> None:
    big.fault("busy", times=6, ranges=False)
    stop = Unhurried()
    with HttpFiles(2, patience=Patience(first=1.0, longest=10.0), stop=stop, seed=1) as files:
        files.look(big.base + "/big")
    for wait, limit in zip(stop.waits, [1, 2, 4, 8, 10, 10], strict=True):
        assert limit / 2 <= wait <= limit
    assert len({wait / limit for wait, limit in zip(stop.waits, [1, 2, 4, 8, 10, 10], strict=True)}) == 6


def test_a_source_with_a_limit_is_asked_at_its_pace(big: NoaaServer) -> None:
    stop = Unhurried()
    with HttpFiles(2, requests_per_minute=60, stop=stop) as files:
        for _ in range(4):
            files.look(big.base + "/big")
    assert [round(wait) for wait in stop.waits] == [1, 2, 3]


def test_what_is_not_there_is_said_at_once(big: NoaaServer) -> None:
    with HttpFiles(2, patience=HASTY) as files:
        assert not files.exists(big.base + "/none")
        assert files.exists(big.base + "/big")
        with pytest.raises(AbsentError, match="/none is not there"):
            files.read(big.base + "/none")
        assert files.retries == 0


def test_a_small_file_is_read_whole_or_again(big: NoaaServer) -> None:
    for kind in ("cut", "reset", "busy", "moved"):
        big.fault(kind, ranges=False)
    with HttpFiles(2, patience=HASTY) as files:
        assert files.read(big.base + "/big") == BIG
        assert files.retries == 4


def test_waiting_ends_when_the_work_is_stopped(big: NoaaServer) -> None:
    big.fault("busy", times=1000, ranges=False)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    with HttpFiles(2, patience=Patience(first=100, longest=100), stop=stop) as files, pytest.raises(StoppedError):
        files.look(big.base + "/big")


# --- From an empty disk to a cycle


@pytest.fixture(scope="module")
def encoded() -> Archive:
    return Archive()


@pytest.fixture
def server(encoded: Archive) -> Iterator[NoaaServer]:
    files = dict(encoded.files)
    with NoaaServer(files.get) as running:
        running.files = files
        yield running


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in this process: starting others takes a second, and they have tests of their own."""
    monkeypatch.setattr(Decoders, "_decode", lambda self, job: assembly.decode_step(job))


def publish(
    server: NoaaServer, tmp_path: Path, order: Order | None = None, patience: Patience = HASTY
) -> tuple[LocalBucket, list[StepDone]]:
    """Publish an order, by default two members of the small full product; returns the bucket and what was done."""
    done: list[StepDone] = []
    bucket = LocalBucket(tmp_path / "bucket")
    with (
        HttpFiles(4, patience=patience) as files,
        Ingest(server.source, files, tmp_path / "work", processes=2, on_step=done.append) as making,
    ):
        making.publish(order or Order(CYCLE, (0, 1), SMALL_FULL), bucket)
    return bucket, done


def check_truth(bucket: LocalBucket, member: int, product: noaa.Product) -> None:
    """Every node of a wind file has the wind and height that were encoded."""
    file = WindFile(bucket.root / f"{CYCLE}_{member:02d}.npz")
    winds = file.winds
    assert winds.data.shape == product.shape
    assert (winds.start, winds.interval_seconds) == (RUN, product.interval_seconds)
    assert winds.levels.tolist() == list(product.levels)
    assert (winds.height is not None) == product.has_height
    arrays = {"UGRD": winds.data[..., 0], "VGRD": winds.data[..., 1]}
    if winds.height is not None:
        arrays["HGT"] = winds.height
    for variable, array in arrays.items():
        for i, level in enumerate(product.levels):
            for j, step in enumerate(product.steps_hours):
                spec = gribs.Spec(variable, level, step, packing=gribs.SPATIAL)
                expected = spec.plane() - (altitude(level) if variable == "HGT" else 0)
                error = np.abs(array[:, :-1, i, j] - expected[:: product.stride, :: product.stride])
                tolerance = gribs.tolerance(spec, expected)[:: product.stride, :: product.stride]
                assert (error <= tolerance).all(), (variable, level, step)
        np.testing.assert_array_equal(array[:, -1], array[:, 0])


def test_from_an_empty_disk_to_a_cycle_that_is_flown(server: NoaaServer, tmp_path: Path) -> None:
    bucket, done = publish(server, tmp_path)
    assert sorted(bucket.list()) == [f"{CYCLE}.json", f"{CYCLE}_00.npz", f"{CYCLE}_01.npz", "whichgefs"]
    for member in (0, 1):
        check_truth(bucket, member, SMALL_FULL)
    assert sorted((step.member, step.step_hours) for step in done) == [(m, s) for m in (0, 1) for s in (0, 3, 6)]
    assert list((tmp_path / "work").iterdir()) == []

    client = create_app(make_settings(tmp_path, bucket_folder=bucket.root)).test_client()
    assert client.get("/sim/which").get_json() == {"gefs": CYCLE}
    query = f"timestamp={RUN + 3600}&lat=40&lon=10&alt=100&equil=10000&eqtime=0&asc=5&desc=5&model=1"
    flight = client.get(f"/sim/singlezpb?{query}").get_json()
    east = flight[0][-1][2] - 10
    assert len(flight) == 3
    assert 0.2 < east < 2  # 2000 s in a wind of 20 to 50 m/s


def test_the_classic_product_has_every_second_point_and_no_heights(
    server: NoaaServer, tmp_path: Path, here: None
) -> None:
    bucket, _ = publish(server, tmp_path, Order(CYCLE, (2,), SMALL_CLASSIC))
    check_truth(bucket, 2, SMALL_CLASSIC)
    assert server.ranges("pgrb2a") == []
    manifest = read_manifest(bucket, CYCLE)
    assert (manifest.product, manifest.has_height, manifest.levels) == ("classic", False, (20.0, 650.0))


def test_source_says_where_the_winds_are_from(server: NoaaServer, tmp_path: Path, here: None) -> None:
    bucket, _ = publish(server, tmp_path, Order(CYCLE, (1,), SMALL_FULL))
    source = WindFile(bucket.root / f"{CYCLE}_01.npz").source
    assert (source["run"], source["member"], source["steps_hours"]) == ("2026-07-24T00:00:00Z", 1, [0, 3, 6])
    assert (source["product"], source["kinds"], source["messages"]) == ("GEFS full", ["pgrb2a", "pgrb2b"], 54)


def test_no_byte_is_fetched_twice_and_only_those_that_are_needed(
    server: NoaaServer, tmp_path: Path, here: None
) -> None:
    publish(server, tmp_path, Order(CYCLE, (0,), SMALL_FULL))
    for step in SMALL_FULL.steps_hours:
        for kind in SMALL_FULL.kinds:
            ranges = sorted(server.ranges(noaa_server.path(kind, 0, step) + "$"))
            assert all(before[1] <= after[0] for before, after in itertools.pairwise(ranges))
            parts = noaa_server.parts_of(kind, 0, step)
            needed = [
                len(c)
                for name, c in parts
                if name[:4] in ("UGRD", "VGRD", "HGT:") and " mb:" in name and "ave" not in name
            ]
            assert sum(end - start for start, end in ranges) == sum(needed)


def test_the_same_input_gives_the_same_bytes(server: NoaaServer, tmp_path: Path, here: None) -> None:
    digests = []
    for folder in ("one", "two"):
        bucket, _ = publish(server, tmp_path / folder, Order(CYCLE, (0,), SMALL_FULL))
        digests.append(read_manifest(bucket, CYCLE).members[0].sha256)
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "kind", ["cut", "reset", "short", "long", "shifted", "whole", "busy", "moved", "damaged", "replaced"]
)
def test_a_cycle_is_published_right_though_answers_fail(
    server: NoaaServer, tmp_path: Path, here: None, kind: str
) -> None:
    server.fault(kind, r"f003$", times=3)
    server.fault(kind, r"f006$", times=1)
    bucket, _ = publish(server, tmp_path, Order(CYCLE, (0,), SMALL_FULL))
    check_truth(bucket, 0, SMALL_FULL)
    assert all(fault.times == 0 for fault in server.faults)


def test_an_inventory_that_is_older_than_its_file_is_read_again(server: NoaaServer, tmp_path: Path, here: None) -> None:
    """As while NOAA replaces a file: for a while its inventory is the one of the file before."""
    where = noaa_server.path("pgrb2a", 0, 3) + ".idx"
    stale = noaa_server.inventory([("TMP:surface:3 hour fcst", bytes(40)), *noaa_server.parts_of("pgrb2a", 0, 3)[:-1]])
    answers = [stale, stale]
    content = server.content
    server.content = lambda path: answers.pop() if path == where and answers else content(path)
    bucket, _ = publish(server, tmp_path, Order(CYCLE, (0,), SMALL_FULL))
    assert answers == []
    check_truth(bucket, 0, SMALL_FULL)


def refusal(server: NoaaServer, tmp_path: Path, order: Order | None = None) -> str:
    """Why a cycle is not published; nothing of it may be current then."""
    with pytest.raises(HabsimError) as caught:
        publish(server, tmp_path, order or Order(CYCLE, (0,), SMALL_FULL))
    assert "whichgefs" not in LocalBucket(tmp_path / "bucket").list()
    return caught.value.message


def swap(server: NoaaServer, path: str, parts: list[tuple[str, bytes]], member: int = 0) -> None:
    """Serve other messages, with an inventory that fits them."""
    server.files[path] = b"".join(content for _, content in parts)
    server.files[path + ".idx"] = noaa_server.inventory(parts, CYCLE, member)


def test_an_inventory_that_never_fits_ends_the_run_with_its_step(
    server: NoaaServer, tmp_path: Path, here: None
) -> None:
    where = noaa_server.path("pgrb2a", 0, 3)
    server.files[where] = bytes(64) + server.files[where]
    message = refusal(server, tmp_path)
    assert message.startswith(f"cycle {CYCLE} member 0 step 3: ")
    assert "lies where the inventory says" in message
    assert message.endswith("tried 4 times")


STRANGERS: list[tuple[dict[str, Any], str]] = [
    ({"member": 2}, "member 2, not 0"),
    ({"step": 6}, "time .*, not "),
    ({"run": gribs.RUN.replace(hour=6)}, "run .*, not "),
    ({"rows": 7, "columns": 12}, "rows 7, not 13, columns 13, not 25"),
]


@pytest.mark.parametrize(("changes", "reason"), STRANGERS)
def test_messages_of_another_run_step_member_or_grid_are_refused(
    server: NoaaServer, tmp_path: Path, here: None, changes: dict[str, Any], reason: str
) -> None:
    """The inventory is right, the messages are others."""
    other = {"member": 0, "step": 3, **changes}
    names = [name for name, _ in noaa_server.parts_of("pgrb2b", 0, 3)]
    contents = [content for _, content in noaa_server.parts_of("pgrb2b", **other)]
    swap(server, noaa_server.path("pgrb2b", 0, 3), list(zip(names, contents, strict=True)))
    message = refusal(server, tmp_path)
    assert re.search(f"step 3: .*{reason}", message), message


def test_a_message_of_another_level_than_its_inventory_says_is_refused(
    server: NoaaServer, tmp_path: Path, here: None
) -> None:
    parts = noaa_server.parts_of("pgrb2b", 0, 3)
    renamed = [
        (name.replace("20 mb", "650 mb") if "650" not in name else name.replace("650 mb", "20 mb"), c)
        for name, c in parts
    ]
    swap(server, noaa_server.path("pgrb2b", 0, 3), renamed)
    assert "hPa is in the inventory, its message has" in refusal(server, tmp_path)


def test_a_missing_file_is_named(server: NoaaServer, tmp_path: Path, here: None) -> None:
    del server.files[noaa_server.path("pgrb2a", 0, 3)]
    assert "gec00.t00z.pgrb2a.0p50.f003 is not there" in refusal(server, tmp_path)


def test_nothing_is_written_to_a_file_that_was_closed(
    server: NoaaServer, tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One range fails at once while others of the step are slow: their bytes may not land in another file."""
    failures: list[OSError] = []
    write = os.pwrite

    def noting(descriptor: int, content: bytes, position: int) -> int:
        try:
            return write(descriptor, content, position)
        except OSError as error:
            failures.append(error)
            raise

    monkeypatch.setattr(os, "pwrite", noting)
    server.fault("missing", r"pgrb2a.*f000$")
    server.fault("slow", r"pgrb2a.*f000$", times=3, seconds=0.3)
    assert "pgrb2a.0p50.f000 is not there" in refusal(server, tmp_path)
    assert failures == []


# --- Going on


def asked_steps(server: NoaaServer) -> set[tuple[str, int]]:
    """Member and step of each range that was asked for."""
    return {(asked.path.split("/")[-1][:5], int(asked.path[-3:])) for asked in server.asked if asked.range}


def test_a_run_goes_on_with_the_steps_that_are_missing(server: NoaaServer, tmp_path: Path, here: None) -> None:
    lost = server.files.pop(noaa_server.path("pgrb2b", 1, 6))
    refusal(server, tmp_path, Order(CYCLE, (0, 1), SMALL_FULL))
    steps = sorted((tmp_path / "work").glob("*/01/step_*"))
    assert 1 <= len(steps) <= 2
    server.files[noaa_server.path("pgrb2b", 1, 6)] = lost
    server.asked.clear()
    bucket, done = publish(server, tmp_path)
    assert ("gep01", 6) in asked_steps(server)
    assert not {("gec00", step) for step in (0, 3, 6)} & asked_steps(server)
    assert len(asked_steps(server)) == 3 - len(steps)
    assert len([step for step in done if not step.fetched_bytes]) == len(steps)
    for member in (0, 1):
        check_truth(bucket, member, SMALL_FULL)


def test_a_part_of_a_step_file_is_not_taken_for_a_whole_one(server: NoaaServer, tmp_path: Path, here: None) -> None:
    lost = server.files.pop(noaa_server.path("pgrb2b", 0, 6))
    refusal(server, tmp_path)
    folder = next((tmp_path / "work").glob("*/00"))
    assert sorted(step.name for step in folder.glob("step_*")) == ["step_000.winds", "step_003.winds"]
    os.truncate(folder / "step_000.winds", 100)
    # As after a power cut: the size is there already, the bytes are not.
    (folder / "step_003.winds").write_bytes(bytes(assembly.step_bytes(SMALL_FULL)))
    (folder / ".step_006.winds.1.abcdefgh.part").write_bytes(bytes(assembly.step_bytes(SMALL_FULL)))
    server.files[noaa_server.path("pgrb2b", 0, 6)] = lost
    bucket, _ = publish(server, tmp_path, Order(CYCLE, (0,), SMALL_FULL))
    check_truth(bucket, 0, SMALL_FULL)


def test_steps_of_another_product_are_not_mixed_in(server: NoaaServer, tmp_path: Path, here: None) -> None:
    lost = server.files.pop(noaa_server.path("pgrb2b", 0, 6))
    refusal(server, tmp_path)
    server.files[noaa_server.path("pgrb2b", 0, 6)] = lost
    other = dataclasses.replace(SMALL_FULL, levels=(10.0, 20.0, 250.0, 400.0, 650.0))
    bucket, _ = publish(server, tmp_path, Order(CYCLE, (0,), other))
    check_truth(bucket, 0, other)


def test_a_wind_file_that_was_not_uploaded_is_not_made_again(
    server: NoaaServer, tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(
            LocalBucket, "put", lambda self, name, path: (_ for _ in ()).throw(SourceError("the store is down"))
        )
        with pytest.raises(SourceError, match="the store is down"):
            publish(server, tmp_path, Order(CYCLE, (0,), SMALL_FULL))
    monkeypatch.setattr(assembly, "assemble", lambda *_: pytest.fail("it was made again"))
    server.asked.clear()
    bucket, _ = publish(server, tmp_path, Order(CYCLE, (0,), SMALL_FULL))
    assert asked_steps(server) == set()
    check_truth(bucket, 0, SMALL_FULL)


def test_a_full_disk_is_an_error_after_which_a_run_goes_on(
    server: NoaaServer, tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", full_disk)
        with pytest.raises(OSError, match="No space left on device"):
            publish(server, tmp_path)
    with small_disk(tmp_path / "small", kilobytes=64) as disk:
        with pytest.raises(OSError, match="No space left on device"):
            publish(server, disk)
        left = [path for path in disk.rglob("*") if path.is_file() and not path.name.startswith("step_")]
        assert left == []
        sizes = {path.stat().st_size for path in disk.rglob("step_*")}
        assert sizes <= {assembly.step_bytes(SMALL_FULL)}
    bucket, _ = publish(server, tmp_path)
    check_truth(bucket, 1, SMALL_FULL)


def test_a_published_cycle_is_left_alone(server: NoaaServer, tmp_path: Path, here: None) -> None:
    bucket, _ = publish(server, tmp_path)
    before = bucket.list()
    server.asked.clear()
    publish(server, tmp_path, Order(CYCLE, (1,), SMALL_FULL))
    assert server.asked == []
    assert bucket.list() == before


def test_a_cycle_that_is_published_otherwise_is_not_changed(server: NoaaServer, tmp_path: Path, here: None) -> None:
    bucket, _ = publish(server, tmp_path, Order(CYCLE, (0,), SMALL_FULL))
    before = bucket.list()
    for order in (Order(CYCLE, (0,), SMALL_CLASSIC), Order(CYCLE, (0, 1), SMALL_FULL)):
        with pytest.raises(WindFileError, match="is in the bucket already, as full with 1 members"):
            publish(server, tmp_path, order)
    assert bucket.list() == before


def test_a_forecast_takes_the_place_of_a_demo(server: NoaaServer, tmp_path: Path, here: None) -> None:
    make_bucket(tmp_path / "bucket", cycle=CYCLE, product="demo", members=3)
    bucket, _ = publish(server, tmp_path, Order(CYCLE, (0,), SMALL_FULL))
    manifest = read_manifest(bucket, CYCLE)
    assert (manifest.product, [m.member for m in manifest.members]) == ("full", [0])
    check_truth(bucket, 0, SMALL_FULL)


KILLED = """
import sys
from pathlib import Path
from forecasts.httpfiles import HttpFiles
from forecasts.ingest import Ingest, Order
from store.bucket import LocalBucket
from tests.faults import full_disk, small_disk
from tests.noaa_server import CYCLE, SMALL_FULL
from forecasts.noaa import Source
if __name__ == "__main__":
    folder, source = Path(sys.argv[2]), Source("aws", sys.argv[1], 4, 64)
    with HttpFiles(4) as files, Ingest(source, files, folder / "work", processes=1) as making:
        making.publish(Order(CYCLE, (0, 1), SMALL_FULL), LocalBucket(folder / "bucket"))
"""


def test_a_run_that_was_killed_goes_on_and_leaves_no_process(server: NoaaServer, tmp_path: Path, here: None) -> None:
    server.fault("silent", r"gep01.*f006.idx", times=100, seconds=20, ranges=False)
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, server.base, str(tmp_path)], env=environment, cwd=tmp_path
    )
    try:
        wait_for(
            lambda: (
                len(list(tmp_path.glob("work/*/01/step_*"))) == 2 and (tmp_path / f"bucket/{CYCLE}_00.json").exists()
            )
        )
        children = children_of(process.pid)
        assert children
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_for(lambda: not any(is_alive(child) for child in children))
    assert "whichgefs" not in LocalBucket(tmp_path / "bucket").list()
    server.faults.clear()
    server.asked.clear()
    bucket, _ = publish(server, tmp_path)
    assert asked_steps(server) == {("gep01", 6)}
    for member in (0, 1):
        check_truth(bucket, member, SMALL_FULL)
    assert sorted(bucket.list()) == [f"{CYCLE}.json", f"{CYCLE}_00.npz", f"{CYCLE}_01.npz", "whichgefs"]
    assert list((tmp_path / "work").iterdir()) == []


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.02)


def children_of(process: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


def is_alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- Decoding in other processes


class Deadly:
    """What ends the process that unpickles it, as eccodes does on some damage."""

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return os.abort, ()


def step_job(tmp_path: Path, **changes: Any) -> StepJob:
    """The messages of member 0 at step 3."""
    raw, found, position = tmp_path / "messages", [], 0
    for variable, level in SMALL_FULL.wanted:
        content = gribs.message(variable=variable, level=level, step_hours=3, member=0)
        raw.write_bytes((raw.read_bytes() if raw.exists() else b"") + content)
        found.append(Found(position, len(content), ((variable, level),)))
        position += len(content)
    job = StepJob(raw, tuple(found), SMALL_FULL, RUN, 0, 3, tmp_path / "step")
    return dataclasses.replace(job, **changes)


def test_a_process_that_dies_is_replaced_and_its_step_fails_clearly(tmp_path: Path) -> None:
    decoders = Decoders(1)
    try:
        job = step_job(tmp_path)
        decoders.decode(job)
        with pytest.raises(ConversionError, match="a process died while it decoded this step"):
            decoders.decode(dataclasses.replace(job, raw=Deadly()))  # type: ignore[arg-type]
        job.target.unlink()
        decoders.decode(job)
        assert job.target.stat().st_size == assembly.step_bytes(SMALL_FULL)
        with pytest.raises(ConversionError, match="it is not a whole GRIB2 message: 100 bytes"):
            decoders.decode(dataclasses.replace(job, messages=(Found(5, 100, job.messages[0].wanted),)))
    finally:
        decoders.close()


def test_a_step_lacks_no_field(tmp_path: Path) -> None:
    job = step_job(tmp_path)
    with pytest.raises(ConversionError, match=r"1 fields of the step are missing, one is \('HGT', 1000.0\)"):
        assembly.decode_step(dataclasses.replace(job, messages=job.messages[:-1]))
    assert not job.target.exists()


# --- Numbers to half precision


def test_halves_are_rounded_as_numpy_does() -> None:
    """Every half, what lies between two of them, and what lies a little beside that."""
    codes = np.arange(65536, dtype=np.uint16).view(np.float16)
    exact = np.sort(codes[np.isfinite(codes)].astype(np.float64))
    between = (exact[1:] + exact[:-1]) / 2
    beside = [np.nextafter(between, side) for side in (-np.inf, np.inf)]
    values = np.concatenate([exact, between, *beside, [0.0, -0.0, 1e-300, 5e-324]]).reshape(1, -1)
    packed = halves.pack(values, 0.0)
    assert packed is not None
    np.testing.assert_array_equal(packed[:, :-1].view(np.uint16), values.astype(np.float16).view(np.uint16))


def test_halves_are_those_of_the_difference_with_the_first_column_repeated() -> None:
    values = np.random.default_rng(1).normal(5500.0, 300.0, (7, 12))
    for part in (values, values[::2, ::3], values.T):
        packed = halves.pack(part, 5574.4)
        assert packed is not None
        np.testing.assert_array_equal(packed[:, :-1], (part - 5574.4).astype(np.float16))
        np.testing.assert_array_equal(packed[:, -1], packed[:, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 65505.0, -65505.0, 9.999e20])
def test_what_is_no_half_is_not_packed(value: float) -> None:
    values = np.zeros((3, 4))
    values[1, 2] = value
    assert halves.pack(values, 0.0) is None


# --- Which cycle


def making(server: NoaaServer, tmp_path: Path) -> Ingest:
    return Ingest(server.source, HttpFiles(4, patience=HASTY), tmp_path / "work", processes=1)


@pytest.mark.parametrize(("kind", "member"), [("pgrb2a", 2), ("pgrb2b", 2), ("pgrb2a", 0), ("pgrb2b", 1)])
def test_a_cycle_is_complete_when_the_last_step_of_every_member_is_there_in_both_files(
    server: NoaaServer, tmp_path: Path, kind: str, member: int
) -> None:
    with making(server, tmp_path) as finding:
        order = Order(CYCLE, (0, 1, 2), SMALL_FULL)
        assert finding.is_complete(order)
        del server.files[noaa_server.path(kind, member, 6) + ".idx"]
        assert not finding.is_complete(order)


def test_the_newest_complete_cycle_is_found(server: NoaaServer, tmp_path: Path) -> None:
    with making(server, tmp_path) as finding:
        for hours, expected in ((0, CYCLE), (30, CYCLE), (47.9, CYCLE), (49, None), (-1, None)):
            found = finding.newest((0, 1), SMALL_FULL, RUN + hours * 3600, None)
            assert (found.cycle if found else None) == expected, hours


def test_a_newest_cycle_that_is_published_needs_no_look_at_older_ones(
    server: NoaaServer, tmp_path: Path, here: None
) -> None:
    bucket, _ = publish(server, tmp_path)
    server.asked.clear()
    with making(server, tmp_path) as finding:
        found = finding.newest((0, 1), SMALL_FULL, RUN + 6 * 3600, bucket)
    assert found == Order(CYCLE, (0, 1), SMALL_FULL)
    assert {asked.status for asked in server.asked} == {404}


# --- Old cycles, and the canary


def test_old_cycles_go_and_the_current_one_stays(tmp_path: Path) -> None:
    for cycle in ("2026111900", "2026111906", "2026111912", "2026111918"):
        bucket = make_bucket(
            tmp_path, members=1, cycle=cycle, field=sample(uniform(1, 1), degrees=30, start=cycle_start(cycle))
        )
    bucket.write("whichgefs", b"2026111900")
    for name in ("2026111806_00.npz", "2026111806_00.json", "2026112000_00.npz"):  # begun; the last is under way
        bucket.write(name, b"")
    assert ingest.remove_old_cycles(bucket, 2, "2026111912") == ["2026111906", "2026111806"]
    assert "2026112000_00.npz" in bucket.list()
    assert not bucket.list("20261118")
    bucket.write("2026110100.json", b"{}")
    assert ingest.remove_old_cycles(bucket, 2, "2026110100") == []  # one that was asked for by name
    bucket.delete("2026110100.json")
    assert [name for name in bucket.list() if name.endswith(".json")] == [
        "2026111900.json", "2026111912.json", "2026111918.json",
    ]  # fmt: skip


def test_the_canary_says_what_a_message_of_each_kind_is(
    server: NoaaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noaa, "FULL", SMALL_FULL)
    with making(server, tmp_path) as canary:
        line = canary.canary(CYCLE, 1, "pgrb2a")
    assert line.startswith("pgrb2a: UGRD at 400 hPa, 2026-07-24 03:00 UTC, m/s, 13 x 24 points, ")


def test_the_canary_dies_of_another_grid(server: NoaaServer, tmp_path: Path) -> None:
    with making(server, tmp_path) as canary, pytest.raises(ConversionError, match=r"is in m s\*\*-1 on 13 x 24 points"):
        canary.canary(CYCLE, 1, "pgrb2a")


def test_the_canary_dies_of_another_level(server: NoaaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noaa, "FULL", SMALL_FULL)
    parts = [(name.replace("400 mb", "401 mb"), c) for name, c in noaa_server.parts_of("pgrb2a", 1, 3)]
    swap(server, noaa_server.path("pgrb2a", 1, 3), parts, 1)
    with (
        making(server, tmp_path) as canary,
        pytest.raises(ConversionError, match="the message of UGRD at 401 hPa has UGRD at 400 hPa"),
    ):
        canary.canary(CYCLE, 1, "pgrb2a")


def test_json_of_the_manifest_names_the_product(server: NoaaServer, tmp_path: Path, here: None) -> None:
    bucket, _ = publish(server, tmp_path, Order(CYCLE, (0,), SMALL_FULL))
    manifest = json.loads(bucket.read(f"{CYCLE}.json"))
    assert (manifest["product"], manifest["demo"], manifest["interval_seconds"]) == ("full", False, 10800.0)
