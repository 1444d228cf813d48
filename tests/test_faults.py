"""The injectors do what they say: a test that trusts them tests something."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests import faults, proxy
from tests.faults import Fault, Proxy
from tests.proxy import HOST

BODY = bytes(range(256)) * 400


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers with `BODY`, in pieces at `/pieces`, until the end of the connection at `/end`; echoes what is put."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("ETag", '"v1"')
        if self.path == "/pieces":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(BODY), 30_000):
                piece = BODY[start : start + 30_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        if self.path == "/end":
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


class QuietServer(http.server.ThreadingHTTPServer):
    """Says nothing of clients that go."""

    def handle_error(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with QuietServer((HOST, 0), Upstream) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def client(upstream: int) -> Iterator[tuple[Proxy, http.client.HTTPConnection]]:
    with Proxy(upstream) as between:
        connection = http.client.HTTPConnection(HOST, between.port, timeout=60)
        yield between, connection
        connection.close()


Client = tuple[Proxy, http.client.HTTPConnection]


def get(connection: http.client.HTTPConnection, path: str = "/", **headers: str) -> tuple[int, bytes]:
    connection.request("GET", path, headers=headers)
    with connection.getresponse() as response:
        return response.status, response.read()


# --- The proxy


def test_everything_is_forwarded_and_counted_on_one_connection(client: Client) -> None:
    between, connection = client
    assert get(connection) == (200, BODY)
    assert get(connection, "/pieces", Range="bytes=0-1") == (200, BODY)
    connection.request("HEAD", "/")
    with connection.getresponse() as response:
        assert (response.status, response.getheader("Content-Length"), response.read()) == (200, str(len(BODY)), b"")
    connection.request("PUT", "/", BODY, {"Expect": "100-continue"})
    with connection.getresponse() as response:
        assert response.read() == BODY
    counted = between.counters
    assert (counted.connections, counted.requests, counted.ranges, counted.refusals) == (1, 4, 1, 0)
    assert counted.by_method == {"GET": 2, "HEAD": 1, "PUT": 1}
    assert len(BODY) < counted.bytes_to_store < len(BODY) + 2000
    assert 3 * len(BODY) < counted.bytes_from_store < 3 * len(BODY) + 2000
    assert get(connection, "/end") == (200, BODY)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("cut", after=500), http.client.IncompleteRead),
        (Fault("reset", after=500), ConnectionResetError),
        (Fault("lost"), ConnectionError),
        (Fault("length", more=1), http.client.IncompleteRead),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_answer_breaks_as_often_as_asked(client: Client, fault: Fault, error: type[Exception]) -> None:
    between, connection = client
    between.add(fault, times=2)
    for _ in range(2):
        with pytest.raises(error):
            get(connection)
        connection.close()
    assert get(connection) == (200, BODY)


def test_cut_answer_has_so_many_bytes(client: Client) -> None:
    between, connection = client
    between.add(Fault("cut", after=70_000), times=1)
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(connection)
    assert caught.value.partial == BODY[:70_000]


@pytest.mark.parametrize("fault", [Fault("silent"), Fault("stall", after=500)], ids=["silent", "stall"])
def test_silence_lasts(client: Client, fault: Fault) -> None:
    between, connection = client
    between.add(fault, times=1)
    connection.timeout = 0.2
    with pytest.raises(TimeoutError):
        get(connection)
    connection.close()
    connection.timeout = 60
    assert get(connection) == (200, BODY)


def test_unavailable_says_when_to_come_back_and_keeps_the_connection(client: Client) -> None:
    between, connection = client
    between.add(Fault("unavailable", retry_after=7), times=1, when=lambda request: request.target == "/x")
    assert get(connection) == (200, BODY)
    connection.request("PUT", "/x", BODY)
    with connection.getresponse() as response:
        assert (response.status, response.getheader("Retry-After"), response.read()) == (503, "7", b"")
    assert get(connection, "/x") == (200, BODY)
    assert (between.counters.connections, between.counters.refusals) == (1, 1)


def test_refused_while_nobody_listens(client: Client) -> None:
    between, connection = client
    with between.refused():
        connection.close()
        with pytest.raises(ConnectionRefusedError):
            get(connection)
    connection.close()
    assert get(connection) == (200, BODY)


def test_etag_is_another_one(client: Client) -> None:
    between, connection = client
    between.add(Fault("etag"), times=1)
    found = []
    for _ in range(2):
        connection.request("GET", "/")
        with connection.getresponse() as response:
            found.append(response.getheader("ETag"))
            response.read()
    assert found == ['"another"', '"v1"']


def test_bytes_of_all_connections_share_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten connections that each send 1 MB over 1 MB/s: the last byte is through after 10 s, and none waits alone."""

    class Loop:
        now = 0.0

        def time(self) -> float:
            return self.now

    loop = Loop()

    async def sleep(seconds: float) -> None:
        loop.now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    link = proxy._Link(1e6)
    ends = []

    async def send(pieces: int) -> None:
        for _ in range(pieces):
            await link.take(link.step, loop)  # type: ignore[arg-type]
            ends.append(loop.now)

    async def together() -> None:
        await asyncio.gather(*(send(1_000_000 // link.step) for _ in range(10)))

    asyncio.run(together())
    assert ends[-1] == pytest.approx(10.0, abs=0.02)
    passed = [sum(end <= second for end in ends) * link.step for second in range(1, 11)]
    assert passed == pytest.approx([1e6 * second for second in range(1, 11)], abs=20_000)


def test_latency_is_waited_for_once_a_request(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    between, connection = client
    waits = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    between.latency_seconds = 1000.0
    for _ in range(3):
        assert get(connection) == (200, BODY)
    assert [round(wait, -1) for wait in waits] == [1000.0] * 3


def test_process_of_its_own_says_its_port_and_counters(upstream: int) -> None:
    code = "import runpy, sys; sys.argv[0] = 'proxy'; runpy.run_module('tests.proxy', run_name='__main__')"
    arguments = ["--upstream", f"{HOST}:{upstream}", "--latency-ms", "1", "--megabytes-per-second", "100"]
    with faults.Process(code, *arguments) as process:
        address = f"http://{HOST}:{process.line()}"
        with urlopen(f"{address}/x") as answer:
            assert answer.read() == BODY
        for method in ("GET", "POST"):
            connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
            connection.request(method, "/-/counters")
            with connection.getresponse() as response:
                counted = json.loads(response.read())
            connection.close()
            assert (counted["requests"], counted["by_method"]) == (1, {"GET": 1})
            assert counted["bytes_from_store"] > len(BODY)
        with urlopen(f"{address}/-/counters") as answer:
            assert json.loads(answer.read())["requests"] == 0


# --- Deaths

TWO_FILES = """
import os, sys
from pathlib import Path
folder = Path(sys.argv[1])
"""
STEPS = """
with open(folder / "a", "wb", buffering=0) as file:
    file.write(b"0123456789")
    os.pwrite(file.fileno(), b"ab", 4)
    os.fsync(file.fileno())
(folder / "a").rename(folder / "b")
(folder / "c").write_text("text")
(folder / "c").replace(folder / "b")
(folder / "b").unlink()
"""


def test_process_dies_at_each_step_and_what_came_before_is_done(tmp_path: Path) -> None:
    left = []
    for step in faults.deaths(TWO_FILES, STEPS, tmp_path):
        files = {path.name: path.read_text() for path in sorted(tmp_path.iterdir())}
        left.append((step.split()[0], files))
        for path in tmp_path.iterdir():
            path.unlink()
    assert left == [
        ("write", {"a": "01234"}),
        ("pwrite", {"a": "0123a56789"}),
        ("fsync", {"a": "0123ab6789"}),
        ("rename", {"a": "0123ab6789"}),
        ("write", {"b": "0123ab6789", "c": "te"}),
        ("replace", {"b": "0123ab6789", "c": "text"}),
        ("unlink", {"b": "text"}),
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("setup", "code"), [("", "1 / 0"), ("1 / 0", "")])
def test_code_that_fails_is_no_death(setup: str, code: str) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        list(faults.deaths(setup, code))


def test_code_that_never_ends_its_steps_is_noticed() -> None:
    with pytest.raises(AssertionError, match="more than 3 steps"):
        list(faults.deaths("import os", "while True: os.write(2, b'')", at_most=3))
