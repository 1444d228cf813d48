"""A real gunicorn with two workers: what only shows with processes, sockets, signals and a disk."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import runs
import sharedfiles
from store.bucket import CURRENT, LocalBucket
from store.manifest import cycle_start, wind_file_name
from store.publish import publish, remove_cycle
from tests.asking import launch, single, spaceshot, zpb_landing
from tests.serving import DEADLINE, HOST, Answer, Server, holder_of, open_files, serving, threads, wait_until
from tests.worlds import CYCLE, START, distance, make_bucket, sample, uniform, write_field

pytestmark = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="looks at processes in /proc")

LATER = "2026111906"
SPARSE = [1, 10, 100, 500, 1000]  # hPa; few levels, so that files of many days are small


def slow(**changes: object) -> str:
    """An ensemble that takes seconds: four members, sixty copies, three days in steps of 5 s."""
    values: dict[str, object] = {"eqtime": 48, "step": 5, "asc": 1, "desc": 1, "equil": 45000, "num_perturbations": 60}
    return spaceshot(**{**values, **changes})


def make_long_bucket(folder: Path) -> None:
    """Four members of seven days in a slow uniform wind."""
    field = sample(uniform(3.0, 0.5), degrees=30.0, times=29, levels=SPARSE)
    make_bucket(folder / "bucket", members=4, field=field)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers; one ensemble at a time, and a second for which another waits."""
    folder = tmp_path_factory.mktemp("server")
    make_long_bucket(folder)
    with serving(folder, HABSIM_MAX_ENSEMBLES="1", HABSIM_ENSEMBLE_WAIT="1") as running:
        yield running


@pytest.fixture
def workers_are_whole(server: Server) -> Iterator[None]:
    yield
    wait_until(lambda: len(server.workers()) == 2, "both workers run", server)


def progress(server: Server, request_id: str) -> dict[str, Any]:
    """The progress of a request, empty before it begins."""
    answer = server.get(f"/sim/progress?request_id={request_id}")
    return answer.json if answer.status == 200 else {}


def slot(server: Server) -> Path:
    return server.data / "locks" / "ensemble-0.lock"


def series(server: Server, name: str) -> float:
    """The value of a series of the metrics, 0 before it exists."""
    for line in server.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    return 0.0


def worker_of(server: Server, connection: socket.socket) -> int | None:
    """The worker that has accepted a connection, found by the inode of the server's end of it."""
    ours, theirs = f":{connection.getsockname()[1]:04X}", f":{server.port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(theirs) and fields[2].endswith(ours):
            for pid in server.workers():
                with contextlib.suppress(FileNotFoundError):
                    files = Path(f"/proc/{pid}/fd").iterdir()
                    if any(f"socket:[{fields[9]}]" == _target(file) for file in files):
                        return pid
    return None


def _target(file: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return str(file.readlink())
    return ""


class Asked:
    """A request under way on a connection of its own."""

    def __init__(self, server: Server, path: str) -> None:
        self.connection = http.client.HTTPConnection(HOST, server.port, timeout=DEADLINE)
        self.connection.request("GET", path)
        assert self.connection.sock is not None
        self.socket: socket.socket = self.connection.sock

    def answer(self) -> Answer:
        with contextlib.closing(self.connection):
            response = self.connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())


def asked_of(server: Server, path: str, wanted: Callable[[int], bool]) -> Asked:
    """Ask until a worker that is `wanted` has taken the connection."""
    while True:
        asked = Asked(server, path)
        found: list[int] = []

        def accepted(asked: Asked = asked, found: list[int] = found) -> bool:
            pid = worker_of(server, asked.socket)
            if pid is not None:
                found.append(pid)
            return pid is not None

        wait_until(accepted, "a worker accepts", server)
        if wanted(found[0]):
            return asked
        asked.connection.close()


def ask_worker(server: Server, path: str, pid: int) -> Answer:
    """The answer of one worker."""
    return asked_of(server, path, lambda other: other == pid).answer()


@pytest.mark.usefixtures("workers_are_whole")
class TestWorkers:
    def test_metrics_are_summed_over_the_workers(self, server: Server) -> None:
        name = 'habsim_requests_total{method="GET",route="/sim/elev",status="200"}'
        before = series(server, name)
        for index in range(20):
            pid = sorted(server.workers())[index % 2]
            assert ask_worker(server, "/sim/elev?lat=1&lon=2", pid).status == 200
        after = [series(server, name) for _ in range(6)]
        assert after[0] >= before + 20  # those of connections that fell to the wrong worker count too
        assert len(set(after)) == 1

    def test_the_same_request_at_the_same_moment_is_computed_once(self, server: Server) -> None:
        """Were it computed by both workers, the second would begin anew in the progress that they share."""
        path = slow(seed=1, request_id="once")
        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(server.get, path) for _ in range(4)]
            completed: list[int] = []
            while not all(future.done() for future in running):
                completed.append(progress(server, "once").get("completed", 0))
        answers = [future.result() for future in running]
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        assert completed == sorted(completed)
        assert len(answers[0].json["heatmap_data"]) == 4 * 61

    def test_a_killed_worker_gives_its_slot_back_and_another_takes_over(self, server: Server) -> None:
        path = slow(seed=2, request_id="killed")
        first = Asked(server, path)
        wait_until(lambda: holder_of(slot(server)) is not None, "the ensemble runs", server)
        victim = holder_of(slot(server))
        assert victim in server.workers()
        second = asked_of(server, path, lambda pid: pid != victim)
        assert holder_of(slot(server)) == victim
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        with pytest.raises((http.client.HTTPException, OSError)):
            first.answer()
        answer = second.answer()
        assert answer.status == 200
        assert answer.json["failed_members"] == []
        assert len(answer.json["heatmap_data"]) == 4 * 61
        assert holder_of(slot(server)) is None
        wait_until(lambda: len(server.workers()) == 2, "a new worker has started", server)
        assert victim not in server.workers()
        assert server.get(spaceshot(seed=2)).status == 200
        assert progress(server, "killed")["status"] == "complete"

    def test_when_the_slot_stays_taken_the_answer_is_429(self, server: Server) -> None:
        lock = sharedfiles.try_lock(slot(server))
        assert lock is not None
        try:
            refused = server.get(spaceshot(seed=3))
            assert server.get(single()).status == 200
            assert server.get("/sim/status").json["active_requests"] == 1
        finally:
            os.close(lock)
        assert refused.status == 429
        assert int(refused.headers["retry-after"]) > 0
        assert server.get(spaceshot(seed=3)).status == 200

    def test_a_slot_that_gets_free_in_time_is_taken(self, server: Server) -> None:
        lock = sharedfiles.try_lock(slot(server))
        assert lock is not None
        asked = Asked(server, spaceshot(seed=4, request_id="waits"))
        wait_until(lambda: progress(server, "waits").get("status") == "loading", "the ensemble waits", server)
        os.close(lock)
        assert asked.answer().status == 200


@pytest.mark.usefixtures("workers_are_whole")
class TestConnections:
    def test_what_the_server_itself_refuses_has_the_error_shape(self, server: Server) -> None:
        cases = {
            b"GET /sim/which?x=" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n": 414,
            b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n": 414,
            b"GET /health HTTP/1.1\r\nHost: x\r\nX-Big: " + b"x" * 20000 + b"\r\n\r\n": 431,
            b"nonsense\r\n\r\n": 400,
            b"GET /health HTTP/1.1\r\nBad Header: 1\r\n\r\n": 400,
        }
        for request, status in cases.items():
            with server.connect() as connection:
                connection.sendall(request)
                response = http.client.HTTPResponse(connection)
                response.begin()
                body = json.loads(response.read())
                assert response.status == status
                assert response.headers["Content-Type"] == "application/json"
                assert set(body) == {"error", "details"}
                assert body["error"]
        assert server.get("/health").status == 200

    def test_fifty_clients_that_open_a_stream_and_leave_cost_nothing(self, server: Server) -> None:
        """The ensemble they watch runs on without news, so only their leaving can end their streams."""
        runs.Progress(server.data / "progress" / "watched.json", "endless", 1, 1).begin()
        lock = sharedfiles.try_lock(server.data / "locks" / "run-endless.lock")
        assert lock is not None
        try:
            self.watch_and_leave(server)
            for pid in server.workers():  # each has opened all that it keeps open
                assert ask_worker(server, single(), pid).status == 200
            before = held(server)
            self.watch_and_leave(server)
            wait_until(lambda: not_more(held(server), before), "files and threads are as before", server)
        finally:
            os.close(lock)

    def watch_and_leave(self, server: Server) -> None:
        watching = [Asked(server, "/sim/progress-stream?request_id=watched") for _ in range(50)]
        assert server.get("/health").status == 200
        first = watching[0].connection.getresponse()
        assert first.status in {200, 429}
        assert server.get(single()).status == 200
        for stream in watching:
            first.close()
            stream.connection.close()
        # Were the leaving not noticed, the first heartbeat would be at 15 s and the first failed one at 30 s.
        wait_until(lambda: all_streams_free(server), "the streams are given back", server, seconds=14.0)

    def test_a_stream_is_not_held_back_on_its_way(self, server: Server) -> None:
        """Its first bytes come before its request has been made, and the end comes with the end of the request."""
        stream = Asked(server, "/sim/progress-stream?request_id=wire")
        response = stream.connection.getresponse()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.readline() == b"retry: 1000\n"
        assert server.get(spaceshot(request_id="wire", seed=5)).status == 200
        assert b'"status": "complete"' in response.read()
        stream.connection.close()

    def test_a_keep_alive_connection_serves_many_requests(self, server: Server) -> None:
        connection = http.client.HTTPConnection(HOST, server.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            ports = set()
            for path in ("/health", "/sim/which", "/nowhere", single(), "/sim/singlezpb", "/sim/which"):
                connection.request("GET", path)
                response = connection.getresponse()
                response.read()
                assert connection.sock is not None
                ports.add(connection.sock.getsockname()[1])
            assert len(ports) == 1


def all_streams_free(server: Server) -> bool:
    """Whether no connection of a stream is left: gunicorn's own ones to this test are closed as well."""
    established = re.compile(rf": \w+:{server.port:04X} \w+:\w+ (01|08) ")
    return not any(established.search(line) for line in Path("/proc/net/tcp").read_text().splitlines())


def held(server: Server) -> dict[int, tuple[int, int]]:
    """Open files and threads of each worker."""
    return {pid: (open_files(pid), threads(pid)) for pid in server.workers()}


def not_more(now: dict[int, tuple[int, int]], before: dict[int, tuple[int, int]]) -> bool:
    """Whether nothing is held beyond before; threads may grow up to what their pools allow."""
    most = 8 + (os.cpu_count() or 1) + 1
    return now.keys() == before.keys() and all(
        now[pid][0] <= before[pid][0] and now[pid][1] <= max(before[pid][1], most) for pid in now
    )


class TestCycles:
    def test_while_cycles_change_every_answer_is_of_one_of_them(self, tmp_path: Path) -> None:
        winds = {CYCLE: (10.0, 1.0, 5.0), LATER: (-20.0, -1.0, -8.0)}  # eastward, more for each member, northward
        # Demos: from a forecast there is no way back to an older one.
        bucket = make_bucket(tmp_path / "bucket", members=2, product="demo")
        publish_uniform(bucket, LATER, [(-20.0, -8.0), (-21.0, -8.0)], product="demo")
        stop, count = Event(), 0
        with serving(tmp_path, HABSIM_REFRESH_SECONDS="1") as server, ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(self.ask_until, server, stop, winds, offset) for offset in (0, 20, 40)]
            try:
                while count < 24 and not any(future.done() for future in asking):
                    bucket.write(CURRENT, (CYCLE, LATER)[count % 2].encode())
                    assert server.get("/sim/refresh").json["gefs"] == (CYCLE, LATER)[count % 2]
                    count += 1
                remove_cycle(bucket, CYCLE)
            finally:
                stop.set()
            seen = set[str]().union(*(future.result() for future in asking))
            assert seen == {CYCLE, LATER}
            assert server.get(single(timestamp=START + 8 * 3600)).headers["x-habsim-cycle"] == LATER
            assert len(server.workers()) == 2

    def ask_until(
        self, server: Server, stop: Event, winds: dict[str, tuple[float, float, float]], offset: int
    ) -> set[str]:
        """Ask for flights and ensembles, all different, and compare each landing with its cycle's wind."""
        seen, number = set(), 0
        while not stop.is_set():
            number += 1
            changes = {"timestamp": START + 8 * 3600, "lat": f"{offset + number / 1000:.3f}", "eqtime": 0}
            expected = {
                cycle: [zpb_landing(launch(**changes), u + member * more, v) for member in (0, 1)]
                for cycle, (u, more, v) in winds.items()
            }
            one = server.get(single(1, **changes))
            all_members = server.get(spaceshot(num_perturbations=1, **changes))
            assert (one.status, all_members.status) == (200, 200), one.body + all_members.body[:300]
            cycle = one.headers["x-habsim-cycle"]
            self.assert_lands(one.json, expected[cycle][1])
            body = all_members.json
            assert all_members.headers["x-habsim-cycle"] == body["cycle"]
            for path, place in zip(body["paths"], expected[body["cycle"]], strict=True):
                self.assert_lands(path, place)
            seen |= {cycle, body["cycle"]}
        return seen

    def assert_lands(self, flight: list[list[list[float]]], place: tuple[float, float]) -> None:
        _, lat, lon, *_ = flight[2][-1]
        assert distance(lat, lon, *place) < 5.0


def publish_uniform(bucket: LocalBucket, cycle: str, winds: list[tuple[float, float]], product: str = "test") -> None:
    """Publish a cycle whose member m blows `winds[m]` m/s everywhere."""
    work = bucket.root / "making"
    work.mkdir()
    files = {}
    for member, (u, v) in enumerate(winds):
        field = sample(uniform(u, v), start=cycle_start(cycle), degrees=10.0)
        files[member] = write_field(work / wind_file_name(cycle, member), field)
    publish(bucket, cycle, files, product)
    work.rmdir()


class TestFaults:
    def test_a_wind_file_that_is_cut_in_place_kills_no_worker(self, tmp_path: Path) -> None:
        make_bucket(tmp_path / "bucket", members=3)
        with serving(tmp_path) as server:
            workers = server.workers()
            for pid in workers:  # each has all members mapped
                assert ask_worker(server, spaceshot(seed=pid), pid).status == 200
            file = server.bucket / wind_file_name(CYCLE, 1)
            os.truncate(file, file.stat().st_size // 3)
            for number in range(8):
                alone = server.get(single(1, lat=number))
                assert alone.status == 503
                assert "wind file" in alone.json["error"] or file.name in alone.json["error"]
                assert int(alone.headers["retry-after"]) > 0
                assert server.get(single(0, lat=number)).status == 200
                body = server.get(spaceshot(lat=number)).json
                assert [failed["model_id"] for failed in body["failed_members"]] == [1]
                assert body["paths"][1] is None
            assert server.workers() == workers

    def test_a_wind_file_that_is_rewritten_in_place_under_load_kills_no_worker(self, tmp_path: Path) -> None:
        make_long_bucket(tmp_path)
        with serving(tmp_path) as server, ThreadPoolExecutor(4) as pool:
            file = next(iter(sorted(server.bucket.glob("*_01.npz"))))
            content, workers = file.read_bytes(), server.workers()
            long = single(1, eqtime=20, step=5, asc=1, desc=1)
            right = server.get(long)
            assert right.status == 200
            asked = [pool.submit(server.get, long) for _ in range(60)]
            while not all(future.done() for future in asked):
                file.write_bytes(content)
            for future in asked:
                answer = future.result()
                assert answer.status == 503 or answer.body == right.body
            assert server.workers() == workers

    def test_a_full_disk_under_the_data_folder_stops_no_answer(self, tmp_path: Path) -> None:
        make_bucket(tmp_path / "bucket", members=2)
        with small_disk(tmp_path / "disk") as disk, serving(tmp_path, HABSIM_DATA_DIR=str(disk)) as server:
            workers = server.workers()
            assert server.get(spaceshot(seed=1)).status == 200
            fill(disk / "filler")
            for seed in range(2, 8):
                answer = server.get(spaceshot(seed=seed, request_id=f"full-{seed}"))
                assert answer.status == 200, answer.body
                assert len(answer.json["heatmap_data"]) == 2 * 21
                assert server.get(single(seed % 2)).status == 200
                for path in ("/nowhere", "/metrics", "/ready", "/sim/status", "/sim/refresh", "/sim/cache-status"):
                    assert server.get(path).status in {200, 404}, path
            assert server.workers() == workers
            (disk / "filler").unlink()
            assert server.get(spaceshot(seed=9, request_id="free-again")).status == 200
            assert progress(server, "free-again")["status"] == "complete"

    def test_a_graceful_stop_lets_running_requests_end(self, tmp_path: Path) -> None:
        make_long_bucket(tmp_path)
        with serving(tmp_path) as server, ThreadPoolExecutor(1) as pool:
            asked = Asked(server, slow())
            wait_until(lambda: server.get("/sim/status").json["active_requests"] == 1, "the ensemble runs", server)
            stopped: Future[int] = pool.submit(server.stop)
            answer = asked.answer()
            assert answer.status == 200
            assert len(answer.json["heatmap_data"]) == 4 * 61
            assert stopped.result(DEADLINE) == 0
            with pytest.raises(OSError, match="refused"):
                server.get("/health")

    def test_a_server_leaves_nothing_in_shared_memory(self, tmp_path: Path) -> None:
        make_bucket(tmp_path / "bucket", members=1)
        with serving(tmp_path) as server:
            environment = Path(f"/proc/{min(server.workers())}/environ").read_bytes()
            assert b"PROMETHEUS_MULTIPROC_DIR" not in environment  # it is made by the server, not inherited
            assert server.get("/metrics").status == 200
            mapped = Path(f"/proc/{min(server.workers())}/maps").read_text()
            (folder,) = {Path(line.split()[-1]).parent for line in mapped.splitlines() if "habsim-metrics-" in line}
            assert folder.is_dir()
            server.stop()
            assert not folder.exists()


@contextlib.contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A disk of one megabyte in memory; only root can make one."""
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> None:
    """Write until the disk is full to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
