"""From NOAA's files over an object store to a landing: real servers, an empty disk, and everything that breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forecasts import assembly, noaa
from forecasts.ingest import Decoders
from habsim import atmosphere
from habsim.classes import Balloon, ElevationFile, Launches, Location, Simulator
from habsim.profiles import PROFILES
from scripts import auto_downloader
from store.manifest import Manifest, cycle_start, wind_file_name
from store.s3 import S3Bucket
from tests import faults, gribs, s3_servers
from tests.asking import url
from tests.elsewhere import publish_waves
from tests.noaa_server import CYCLE, SMALL_CLASSIC, SMALL_FULL, Archive, NoaaServer
from tests.proxy import HOST, Fault, Proxy, Request
from tests.s3_servers import KEY, SECRET
from tests.serving import Server, serving, wait_until
from windfile import WindFile

RUN = cycle_start(CYCLE)
MEMBERS = (0, 1, 2)
pytestmark = pytest.mark.usefixtures("log_as_before")


@pytest.fixture(scope="module")
def archive() -> Archive:
    return Archive()


@dataclass(frozen=True)
class Far:
    """A new bucket of a store behind a proxy; `environment` is what the settings need to use it."""

    store: s3_servers.Store
    proxy: Proxy
    bucket: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "S3_ENDPOINT_URL": f"http://{HOST}:{self.proxy.port}",
            "S3_BUCKET_NAME": self.bucket,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def object(self, name: str) -> bytes:
        """An object as another client reads it."""
        content: bytes = self.store.client().get_object(Bucket=self.bucket, Key=name)["Body"].read()
        return content


@pytest.fixture(params=["moto", "rclone"])
def far(request: pytest.FixtureRequest) -> Iterator[Far]:
    store: s3_servers.Store = getattr(s3_servers, request.param)()
    with Proxy(store.port) as proxy:
        yield Far(store, proxy, store.new_bucket())


@pytest.fixture
def waves(far: Far, tmp_path: Path) -> Truth:
    """A cycle of some MB is in the bucket."""
    publish_waves(S3Bucket(s3_servers.settings(far.bucket, far.store.port)), CYCLE, len(MEMBERS))
    return Truth(far, tmp_path)


@pytest.fixture
def download(
    archive: Archive, far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., int]]:
    """The downloader's command, with small products and faults of NOAA's server: (kind, path) each."""
    with NoaaServer(dict(archive.files).get) as server:
        for name, value in {**far.environment, "HABSIM_NOAA_URL": server.base}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HABSIM_DATA_DIR", str(tmp_path / "downloads"))
        for name in ("HABSIM_BUCKET_DIR", "HABSIM_NOAA_SOURCE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setitem(noaa.PRODUCTS, "classic", SMALL_CLASSIC)
        monkeypatch.setitem(noaa.PRODUCTS, "full", SMALL_FULL)
        monkeypatch.setattr(noaa, "FULL", SMALL_FULL)
        monkeypatch.setattr(Decoders, "decode", lambda self, job: assembly.decode_step(job))

        def run(*words: str, faults: tuple[str, ...] = ()) -> int:
            for kind in faults:
                server.fault(kind)
            words = ("--store", "s3", "--cycle", CYCLE, "--members", "0-2", *words)
            return auto_downloader.main(list(words), clock=lambda: RUN + 6 * 3600.0)

        yield run


class Truth:
    """The flights of whole wind files that were taken from the store by another client."""

    def __init__(self, far: Far, folder: Path) -> None:
        self.manifest = Manifest.from_json(far.object(f"{CYCLE}.json"), f"{CYCLE}.json")
        self.simulators = {}
        for member in MEMBERS:
            path = folder / f"truth_{member}.npz"
            path.write_bytes(far.object(wind_file_name(CYCLE, member)))
            self.simulators[member] = Simulator(WindFile(path).winds, ElevationFile.flat())

    def landing(self, member: int, lat: float, lon: float) -> tuple[float, float]:
        launch = Launches.single(RUN + 600.0, Location(lat, lon, 0.0), Balloon(6.0, 8.0, 20000.0))
        flights = self.simulators[member].fly(launch, PROFILES["zpb"])
        assert not flights.failures
        return float(flights.landing[0, 1]), float(flights.landing[0, 2])


def parameters(lat: float, lon: float) -> dict[str, str]:
    fixed = {"alt": "0", "equil": "20000", "eqtime": "0", "asc": "6", "desc": "8"}
    return {"timestamp": f"{RUN + 600}", "lat": f"{lat}", "lon": f"{lon}", **fixed}


def assert_lands(flight: Any, expected: tuple[float, float]) -> None:
    _, lat, lon, *_ = flight[-1][-1]
    assert (lat, lon % 360) == pytest.approx((expected[0], expected[1] % 360), abs=2e-7)


def assert_flies(server: Server, truth: Truth, lat: float, lon: float) -> None:
    """The ensemble at a place is there and every member lands where its whole wind file says."""
    answer = server.get(url("/sim/spaceshot", {**parameters(lat, lon), "num_perturbations": "3"}))
    assert answer.status == 200, answer.body[:300]
    body = answer.json
    assert (body["cycle"], body["members"], body["failed_members"]) == (CYCLE, list(MEMBERS), [])
    for member, path in zip(MEMBERS, body["paths"], strict=True):
        assert_lands(path, truth.landing(member, lat, lon))


@pytest.mark.parametrize("product", ["classic", "full"])
def test_from_noaa_to_a_landing(product: str, download: Callable[..., int], far: Far, tmp_path: Path) -> None:
    far.proxy.add(Fault("unavailable"), times=2)
    far.proxy.add(Fault("lost"), times=1, when=lambda request: request.method == "PUT")
    assert download("--product", product, faults=("busy", "cut", "whole", "reset")) == auto_downloader.DONE
    far.proxy.heal()
    truth = Truth(far, tmp_path)
    assert truth.manifest.product == product
    with serving(tmp_path, HABSIM_PREFETCH="off", **far.environment) as server:
        assert server.get("/sim/which").json == {"gefs": CYCLE}
        if product == "classic":  # without heights a level lies where the standard atmosphere has it
            altitude = float(atmosphere.altitude(650.0))
            place = {"lat": "60", "lon": "30", "alt": f"{altitude:.3f}", "timestamp": f"{RUN}", "model": "1"}
            found = server.get(url("/sim/wind", place)).json
            expected = [float(gribs.truth(variable, 650.0, 0, 60.0, 30.0)) for variable in ("UGRD", "VGRD")]
            assert [found["u"], found["v"]] == pytest.approx(expected, abs=0.02)
        assert_flies(server, truth, 52.0, 13.0)
        one = server.get(url("/sim/singlezpb", {**parameters(-33.0, 151.0), "model": "2"}))
        assert one.status == 200
        assert_lands(one.json, truth.landing(2, -33.0, 151.0))


def is_range(request: Request) -> bool:
    return request.range is not None


def test_every_fault_of_the_network_is_survived(far: Far, waves: Truth, tmp_path: Path) -> None:
    """Each comes twice, on ranges of winds that are not here yet; the answer is the right one all the same."""
    broken = [
        Fault("cut", after=10),
        Fault("reset", after=10),
        Fault("length", more=7),
        Fault("unavailable", retry_after=0),
        Fault("lost"),
    ]
    with serving(tmp_path, HABSIM_PREFETCH="off", **far.environment) as server:
        for number, fault in enumerate(broken):
            far.proxy.add(fault, times=2, when=is_range)
            before = far.proxy.counters.ranges
            assert_flies(server, waves, 70.0 - 33.0 * number, 10.0 * number)
            assert far.proxy.counters.ranges >= before + len(MEMBERS) + 2, "the fault was not met"
            far.proxy.heal()


@pytest.mark.parametrize("fault", [Fault("whole"), Fault("etag")], ids=lambda fault: str(fault.kind))
def test_store_that_cannot_be_trusted_gives_no_answer(fault: Fault, far: Far, waves: Truth, tmp_path: Path) -> None:
    with serving(tmp_path, HABSIM_PREFETCH="off", **far.environment) as server:
        assert_flies(server, waves, 60.0, 10.0)
        far.proxy.add(fault, when=is_range)
        answer = server.get(url("/sim/singlezpb", {**parameters(-10.0, 10.0), "model": "0"}))
        assert answer.status == 503, answer.body[:300]
        assert set(answer.json) == {"error", "details"}
        assert_flies(server, waves, 60.0, 10.0)  # what is here needs no store
        far.proxy.heal()
        assert_flies(server, waves, -10.0, 10.0)


def test_what_is_used_becomes_whole_and_outlives_the_store(far: Far, waves: Truth, tmp_path: Path) -> None:
    with serving(tmp_path, HABSIM_PREFETCH="used", **far.environment) as server:
        assert_flies(server, waves, 10.0, 10.0)
        files = [server.data / "gefs" / wind_file_name(CYCLE, member) for member in MEMBERS]
        wait_until(lambda: all(file.exists() for file in files), "the members are whole", server)
        published = {m.member: m.sha256 for m in waves.manifest.members}
        for member, file in zip(MEMBERS, files, strict=True):
            assert faults.sha256(file) == published[member]
        with far.proxy.refused():
            assert_flies(server, waves, -60.0, 200.0)
            assert server.get("/ready").status == 200
    with far.proxy.refused(), serving(tmp_path, HABSIM_PREFETCH="used", **far.environment) as restarted:
        assert_flies(restarted, waves, 61.0, 100.0)


def test_a_flight_that_waits_for_the_store_holds_up_no_other(far: Far, waves: Truth, tmp_path: Path) -> None:
    with serving(tmp_path, HABSIM_PREFETCH="off", HABSIM_WEB_WORKERS="1", **far.environment) as server:
        assert_flies(server, waves, 45.0, 10.0)
        with far.proxy.silent(), ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(server.get, url("/sim/singlezpb", {**parameters(-45.0, 10.0), "model": "0"}))
            wait_until(lambda: far.proxy.counters.most_at_once > 0, "the store is asked", server)
            for lat in (45.0, 45.01, 45.02):
                assert_flies(server, waves, lat, 10.0)
            assert not waiting.done()
            far.proxy.heal()
            assert waiting.result().status in (200, 503)
