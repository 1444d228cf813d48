"""Nothing leaks: files, threads and memory of the workers after many mixed requests are what they were."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from flask.testing import FlaskClient

from app import create_app
from bench import load
from store.s3 import S3Bucket
from tests import s3_servers
from tests.asking import launch, single, spaceshot, tawhiri, url
from tests.elsewhere import publish_waves
from tests.proxy import Fault, Proxy
from tests.serving import HOST, Server, open_files, private_mb, serving, threads, wait_until
from tests.worlds import CYCLE, START, make_bucket, make_settings

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="looks at processes in /proc")

LATER = "2026111906"
POINT = {"lat": "10", "lon": "20", "alt": "1000", "timestamp": f"{START + 30000:.0f}"}


def mixed() -> Iterator[str]:
    """Addresses of all kinds, good and bad, without end; flights and ensembles never the same twice."""
    number = 0
    while True:
        number += 1
        place = {"timestamp": START + 30000, "lat": f"{number % 80}.{number % 997:03d}", "eqtime": 0}
        yield from (
            single(number % 2, **place),
            single(0, **place, format=("kml", "csv", "gpx", "geojson")[number % 4]),
            spaceshot(**place, num_perturbations=2, request_id=f"mixed-{number}"),
            f"/sim/progress?request_id=mixed-{number}",
            f"/sim/progress-stream?request_id=mixed-{number}",
            url("/sim/windensemble", POINT),
            url("/api/v1/", tawhiri(launch_datetime="2026-11-19T08:00:00Z")),
            single(99, **place),
            url("/sim/singlezpb", {**launch(), "model": "x", f"unknown-{number}": "1"}),
            f"/nowhere/{number}",
            ("/", "/docs", "/static/style.css", "/openapi.json", "/metrics", "/sim/status")[number % 6],
            "/sim/cache-status",
        )


WEB_THREADS = 8


@dataclass(frozen=True)
class Held:
    """What one worker holds."""

    files: int
    threads: int
    megabytes: float


def held(server: Server) -> dict[int, Held]:
    return {pid: Held(open_files(pid), threads(pid), private_mb(pid)) for pid in server.workers()}


def ask(server: Server, addresses: Iterator[str], count: int) -> None:
    """Ask on keep-alive connections; every answer is a whole one."""
    head = "HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
    requests = [f"GET {address} {head}".encode() for address in islice(addresses, count)]
    result = load.run(HOST, server.port, requests, connections=6, count=count, limit_seconds=300.0)
    assert result.completed + result.errors == count
    bad = sum(any(word in request for word in (b"/nowhere", b"unknown-", b"model=99")) for request in requests)
    # Progress may be asked for before its ensemble begins, and by more clients than a worker has streams.
    early = sum(b"/sim/progress" in request for request in requests)
    assert bad <= result.errors <= bad + early


def settle(server: Server, before: dict[int, Held], megabytes: float) -> None:
    """Wait until the workers hold no more than before, and no more threads than their pools may have."""
    most = WEB_THREADS + (os.cpu_count() or 1) + 1

    def settled() -> bool:
        now = held(server)
        return now.keys() == before.keys() and all(
            now[pid].files <= before[pid].files and now[pid].threads <= max(before[pid].threads, most) for pid in now
        )

    wait_until(settled, f"files and threads are as before, {before}, and not {held(server)}", server, 30.0)
    grown = {pid: now.megabytes - before[pid].megabytes for pid, now in held(server).items()}
    assert max(grown.values()) < megabytes, grown


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    make_bucket(tmp_path / "bucket", members=2, cycle=CYCLE, product="demo")
    with serving(tmp_path, HABSIM_CACHE_PREDICTIONS="20", HABSIM_REFRESH_SECONDS="5") as running:
        yield running


def test_2000_mixed_requests_leave_nothing_behind(server: Server) -> None:
    addresses = mixed()
    ask(server, addresses, 960)
    # On a busy machine one worker may have taken all of them.
    for _ in range(8):
        if min(worker.threads for worker in held(server).values()) >= WEB_THREADS:
            break
        ask(server, addresses, 960)
    before = held(server)
    ask(server, addresses, 2000)
    settle(server, before, megabytes=8.0)
    kept = [folder for folder in ("results", "progress", "locks") for _ in (server.data / folder).iterdir()]
    assert kept.count("results") <= 20
    assert kept.count("locks") < 10


@pytest.mark.soak
def test_minutes_of_mixed_requests_and_changing_cycles_leave_nothing_behind(server: Server) -> None:
    addresses = mixed()
    ask(server, addresses, 2400)
    before = held(server)
    deadline = time.monotonic() + 300.0
    rounds = 0
    while time.monotonic() < deadline:
        rounds += 1
        cycle = (LATER, CYCLE)[rounds % 2]
        make_bucket(server.bucket, members=2, cycle=cycle, product="demo")  # a forecast would not go back
        assert server.get("/sim/refresh").json["gefs"] == cycle
        ask(server, addresses, 2400)
        settle(server, before, megabytes=20.0)
    assert rounds > 3


@pytest.mark.soak
def test_clients_that_never_finish_their_request_do_not_hold_the_service(server: Server) -> None:
    """More of them than there are threads; each is dropped after some seconds without a byte."""
    silent = [server.connect() for _ in range(40)]
    for connection in silent:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost:")
    assert server.get("/health", timeout=80).status == 200
    for connection in silent:
        connection.close()


BROKEN = [
    Fault("cut", after=100), Fault("reset", after=100), Fault("length", more=5), Fault("unavailable", retry_after=0),
    Fault("lost"), Fault("stall", after=50), Fault("etag"), Fault("whole"),
]  # fmt: skip


@pytest.mark.soak
@pytest.mark.parametrize("name", ["moto", "rclone"])
def test_minutes_on_a_broken_store_give_right_answers_or_none(name: str, tmp_path: Path) -> None:
    """A cache too small for all members, workers that are killed, cycles that change, and every fault at random."""
    random = Random(7)
    store: s3_servers.Store = getattr(s3_servers, name)()
    bucket = store.new_bucket()
    publish_waves(S3Bucket(s3_servers.settings(bucket, store.port)), CYCLE, 4)
    truth = make_local(store, bucket, tmp_path / "truth")
    counts = dict.fromkeys((200, 503), 0)
    with Proxy(store.port) as proxy:
        environment = {
            "S3_ENDPOINT_URL": f"http://{HOST}:{proxy.port}",
            "S3_BUCKET_NAME": bucket,
            "AWS_ACCESS_KEY_ID": s3_servers.KEY,
            "AWS_SECRET_ACCESS_KEY": s3_servers.SECRET,
            "HABSIM_CACHE_FILES": "3",
            "HABSIM_CACHE_GB": "0.008",
            "HABSIM_PREFETCH": "all",
            "HABSIM_PREFETCH_MBPS": "1",
            "HABSIM_REFRESH_SECONDS": "5",
        }
        with serving(tmp_path, **environment) as server:
            deadline = time.monotonic() + 240.0
            while time.monotonic() < deadline:
                proxy.heal()
                if random.random() < 0.7:
                    proxy.add(random.choice(BROKEN), times=random.choice((1, 3, 20)))
                if random.random() < 0.05:
                    os.kill(random.choice(sorted(server.workers())), signal.SIGKILL)
                member, lat, lon = random.randrange(4), random.uniform(-85, 85), random.uniform(0, 360)
                address = single(member, lat=f"{lat:.3f}", lon=f"{lon:.3f}", eqtime=random.randrange(6))
                try:
                    answer = server.get(address)
                except OSError:
                    continue  # of a worker that was killed
                assert answer.status in counts, answer.body[:300]
                counts[answer.status] += 1
                if answer.status == 200:
                    assert answer.body == truth.get(address).data
            proxy.heal()
            wait_until(lambda: server.get(single(0, lat="3.5")).status == 200, "all is well again", server)
            folder = server.data / "gefs"
            wait_until(lambda: len(list(folder.glob("*.npz*"))) <= 2 * 4, "the cache is within its bounds", server)
            assert max(open_files(pid) for pid in server.workers()) < 200
    assert counts[200] > 50, counts


def make_local(store: s3_servers.Store, bucket: str, folder: Path) -> FlaskClient:
    """An application on a copy of the bucket in a folder."""
    (folder / "bucket").mkdir(parents=True)
    for item in store.client().list_objects_v2(Bucket=bucket)["Contents"]:
        body = store.client().get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        (folder / "bucket" / item["Key"]).write_bytes(body)
    return create_app(make_settings(folder, bucket_folder=folder / "bucket")).test_client()
