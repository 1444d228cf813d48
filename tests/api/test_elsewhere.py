"""On a bucket that is not on this disk every route answers as on a folder, and goes on with what is here."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

import app as app_module
import elev
from app import create_app
from habsim.errors import BucketError
from store import resident
from store.bucket import LocalBucket
from store.manifest import wind_file_name
from tests.asking import TAWHIRI_PATH, error_text, single, spaceshot, tawhiri, url
from tests.elsewhere import Elsewhere, publish_waves
from tests.worlds import CYCLE, START, make_settings

MEMBERS = 4
LATER = "2026111906"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "bucket"
    publish_waves(LocalBucket(folder), CYCLE, MEMBERS)
    return folder


@pytest.fixture
def bucket(tmp_path: Path, original: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    """A bucket elsewhere, which the next application uses; its wind files have narrow tiles."""
    shutil.copytree(original, tmp_path / "far")
    bucket = Elsewhere(tmp_path / "far")
    monkeypatch.setattr(app_module, "open_bucket", lambda settings: bucket)
    monkeypatch.setattr(resident, "TILE_BYTES", 1500)
    return bucket


@pytest.fixture
def far(bucket: Elsewhere, tmp_path: Path) -> FlaskClient:
    return create_app(make_settings(tmp_path)).test_client()


@pytest.fixture(scope="module")
def near(original: Path, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """An application on the same cycle in a folder."""
    return create_app(make_settings(tmp_path_factory.mktemp("near"), bucket_folder=original)).test_client()


ADDRESSES = [
    *(single(member) for member in range(MEMBERS)),
    single(2, lat=89.9, lon=10, eqtime=10),
    single(1, lat=-10, lon=179.9, format="csv"),
    single(0, lat=-45, lon=0.001, profile="standard", eqtime=0),
    spaceshot(),
    spaceshot(lat=-33, lon=151.2, num_perturbations=50, seed=3, eqtime=5),
    spaceshot(cycle=CYCLE, lat=1),
    url("/sim/wind", {"lat": "60", "lon": "30", "alt": "12000", "timestamp": f"{START + 5000}", "model": "3"}),
    url("/sim/windensemble", {"lat": "-60", "lon": "300", "alt": "2000", "timestamp": f"{START + 5000}"}),
    url("/sim/windprofile", {"lat": "-60", "lon": "300", "timestamp": f"{START + 5000}"}),
    url("/sim/windprofile", {"lat": "90", "lon": "-180", "timestamp": f"{START + 5000}", "cycle": CYCLE}),
    url(TAWHIRI_PATH, tawhiri()),
    "/sim/which",
    "/sim/models",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_answer_is_that_of_a_folder(far: FlaskClient, near: FlaskClient, bucket: Elsewhere, address: str) -> None:
    for _ in range(2):
        found, expected = far.get(address), near.get(address)
        assert (found.status_code, found.mimetype) == (200, expected.mimetype), found.text
        assert without_id(found.data) == without_id(expected.data)
        assert found.headers.get("X-HABSIM-Cycle") == expected.headers.get("X-HABSIM-Cycle")
    assert bucket.moved() < 0.3 * sum(info.size for info in bucket.list().values())


def without_id(body: bytes) -> bytes:
    """Tawhiri's answers say when they were computed."""
    return re.sub(rb'"metadata":\{[^}]*\}', b"", body)


def test_requests_at_once_on_an_empty_cache_are_all_right(far: FlaskClient, near: FlaskClient) -> None:
    application = far.application
    addresses = [single(n % MEMBERS, lat=37.0 + n / 10, eqtime=0) for n in range(12)]
    addresses += [spaceshot(lat=37.0, seed=n, num_perturbations=2) for n in range(3)]

    def ask(address: str) -> bytes:
        with application.test_client() as client:
            body: bytes = client.get(address).data
            return body

    with ThreadPoolExecutor(8) as pool:
        for address, body in zip(addresses, pool.map(ask, addresses), strict=True):
            assert body == near.get(address).data


def test_progress_counts_the_bytes(far: FlaskClient, bucket: Elsewhere) -> None:
    far.get("/ready")
    before = bucket.moved()
    assert far.get(spaceshot(request_id="bytes")).status_code == 200
    state = far.get("/sim/progress?request_id=bytes").json
    assert state is not None
    assert 0 < state["bytes_loaded"] == state["bytes_total"] <= bucket.moved() - before


def test_silent_store_stops_only_what_is_not_here(far: FlaskClient, bucket: Elsewhere) -> None:
    answered = far.get(spaceshot(num_perturbations=5)).data
    bucket.silent = True
    again = far.get(spaceshot(num_perturbations=5, seed=1))  # another request, on winds that are here
    assert again.status_code == 200
    assert again.json is not None
    assert again.json["failed_members"] == []
    assert far.get("/ready").status_code == far.get("/sim/status").status_code == 200
    for address in (single(0, lat=-50), spaceshot(lat=-50)):
        response = far.get(address)
        assert "the store does not answer" in error_text(response, 503, "/sim")
        assert response.headers["Retry-After"]
    bucket.silent = False
    assert far.get(spaceshot(lat=-50)).status_code == 200
    assert far.get(spaceshot(num_perturbations=5)).data == answered


def test_restart_while_the_store_is_silent_flies_on_what_is_here(
    far: FlaskClient, bucket: Elsewhere, tmp_path: Path
) -> None:
    answered = far.get(spaceshot(num_perturbations=5, seed=4)).data
    bucket.silent = True
    restarted = create_app(make_settings(tmp_path)).test_client()
    assert restarted.get(spaceshot(num_perturbations=5, seed=4)).data == answered
    assert restarted.get("/sim/which").json == {"gefs": CYCLE}


def test_member_that_cannot_be_fetched_is_named_and_the_answer_not_kept(far: FlaskClient, bucket: Elsewhere) -> None:
    whole = far.get(spaceshot(lat=5)).json
    assert whole is not None
    broken = wind_file_name(CYCLE, 2)

    def fail(name: str, offset: int, length: int) -> None:
        if name == broken:
            bucket.silent = True
            try:
                bucket._answer()
            finally:
                bucket.silent = False

    bucket.before = fail
    response = far.get(spaceshot(lat=-5))
    assert response.json is not None
    assert [m["model_id"] for m in response.json["failed_members"]] == [2]
    assert "does not answer" in response.json["failed_members"][0]["reason"]
    assert [path is None for path in response.json["paths"]] == [False, False, True, False]
    bucket.before = lambda name, offset, length: None
    again = far.get(spaceshot(lat=-5)).json
    assert again is not None
    assert again["failed_members"] == []


def test_member_whose_winds_cannot_be_fetched_is_missing_from_a_profile(far: FlaskClient, bucket: Elsewhere) -> None:
    address = url("/sim/windprofile", {"lat": "20", "lon": "30", "timestamp": f"{START + 5000}"})
    far.get(spaceshot(lat=5))  # the files are open

    def fail(name: str, offset: int, length: int) -> None:
        if name == wind_file_name(CYCLE, 1):
            raise BucketError("the store does not answer")

    bucket.before = fail
    body = far.get(address).json
    assert body is not None
    assert [row["model"] for row in body["members"]] == [0, 2, 3]
    assert body["failed_members"] == [{"model_id": 1, "reason": "the store does not answer"}]
    bucket.before = lambda name, offset, length: None
    whole = far.get(address).json
    assert whole is not None
    assert [row for row in whole["members"] if row["model"] != 1] == body["members"]
    bucket.silent = True
    assert far.get(address).json == whole  # from what is here


def test_cycle_that_replaces_another_while_it_is_fetched_is_flown(
    far: FlaskClient, bucket: Elsewhere, tmp_path: Path
) -> None:
    """The old one is gone from the bucket when the second range is asked for."""
    far.get("/ready")
    done: list[int] = []

    def replace(name: str, offset: int, length: int) -> None:
        if not done:
            done.append(1)
            publish_waves(LocalBucket(bucket.root), LATER, MEMBERS, strength=0.5)
            for member in range(MEMBERS):
                (bucket.root / wind_file_name(CYCLE, member)).unlink()
            (bucket.root / f"{CYCLE}.json").unlink()

    bucket.before = replace
    body = far.get(spaceshot(timestamp=START + 8 * 3600)).json
    assert body is not None
    assert (body["cycle"], body["failed_members"]) == (LATER, [])


def test_named_cycle_that_is_published_again_is_flown_as_it_is_now(far: FlaskClient, bucket: Elsewhere) -> None:
    """Parts of the old files are here; the new ones have other bytes at the same places."""
    before = far.get(single(1, cycle=CYCLE, lat=20)).data
    publish_waves(LocalBucket(bucket.root), CYCLE, MEMBERS, strength=0.5)
    answers = [far.get(single(1, cycle=CYCLE, lat=lat)) for lat in (-20, 20)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].data != before


def test_cache_and_traffic_are_counted(far: FlaskClient, bucket: Elsewhere) -> None:
    far.get(spaceshot())
    cache = far.get("/sim/cache-status").json
    assert cache is not None
    assert cache["gefs_cache"]["files"] == MEMBERS
    assert 0 < cache["gefs_cache"]["total_size_mb"] * 1e6 < 0.3 * sum(info.size for info in bucket.list().values())
    metrics = far.get("/metrics").text

    def value(name: str) -> float:
        found = re.search(rf"^{name} (\S+)$", metrics, re.MULTILINE)
        assert found, name
        return float(found[1])

    assert value("habsim_store_bytes_total") == bucket.moved()
    assert value("habsim_store_requests_total") == len(bucket.ranges)
    assert value("habsim_cache_files") == MEMBERS
    assert value("habsim_cache_bytes") > 0


def test_refused_cycle_is_counted(far: FlaskClient, bucket: Elsewhere) -> None:
    far.get("/ready")
    bucket.write("whichgefs", LATER.encode())
    refreshed = far.get("/sim/refresh").json
    assert refreshed is not None
    assert refreshed["gefs"] == CYCLE
    assert 'habsim_cycles_refused_total{reason="incomplete"} 1.0' in far.get("/metrics").text


def test_ground_comes_from_the_bucket(bucket: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elev, "_WORLD_SHAPE", (174, 360))
    monkeypatch.setattr(elev, "_WORLD_STEP", 1.0)
    np.save(tmp_path / "ground.npy", np.full((174, 360), 123, np.int16))
    bucket.put("worldelev.npy", tmp_path / "ground.npy")
    settings = make_settings(tmp_path, elevation=None)

    def elevation(application: Flask) -> float:
        answer = application.test_client().get("/sim/elev?lat=10&lon=20").json
        assert answer is not None
        return float(answer["elevation"])

    assert elevation(create_app(settings)) == 123.0
    moved = bucket.moved()
    restarted = create_app(settings)
    assert elevation(restarted) == 123.0
    assert bucket.moved() == moved
    status = restarted.test_client().get("/sim/status").json
    assert status is not None
    assert (status["ground"], status["store"]) == ("worldelev.npy", "s3")
    bucket.silent = True
    assert elevation(create_app(settings)) == 123.0


def test_launch_on_a_resident_file_is_refused_as_on_a_whole_one(far: FlaskClient, near: FlaskClient) -> None:
    for address in (single(9), single(0, timestamp=START - 5), spaceshot(eqtime=48)):
        found, expected = far.get(address), near.get(address)
        assert (found.status_code, found.json) == (expected.status_code, expected.json)
        assert found.status_code in (400, 404)
