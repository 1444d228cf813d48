"""How gunicorn serves HABSIM: `gunicorn --config gunicorn_config.py app:app`."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import socket
import struct
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from settings import read_settings

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter

_settings = read_settings()

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.web_workers
threads = _settings.web_threads
# The application, its compiled kernels and the ground are loaded once, and shared by the forked workers.
preload_app = True
timeout = 900
graceful_timeout = 60
keepalive = 75
limit_request_line = 8190
# Heartbeat files must not wait for a disk.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112
control_socket_disable = True
errorlog = "-"
loglevel = "info"
accesslog = "-"
access_log_format = '%(t)s %(h)s "%(r)s" %(s)s %(b)s %(M)sms'

# prometheus_client reads it when it is imported. It maps the files there, and on a full disk the first write to a new
# page of a mapped file kills the process: they are kept in memory.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="habsim-metrics-", dir=worker_tmp_dir)

# Requests already run on all cores; a matrix product of its own threads only spins. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_STALLED_SECONDS = 10

_POLLED = ("/sim/progress", "/sim/status", "/health", "/ready", "/metrics")


class QuietLog(Logger):
    """Leaves out what monitors and waiting pages ask for every few seconds, and the traces of stalled clients."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> None:
        if not str(environ.get("PATH_INFO", "")).startswith(_POLLED):
            super().access(resp, req, environ, request_time)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.info("a client stalled for %d s, its connection is closed", _STALLED_SECONDS)
        else:
            super().exception(msg, *args, **kwargs)


logger_class = QuietLog


class EvenWorker(ThreadWorker):
    """Leaves a new connection to a worker that has fewer.

    All workers wake for it, and the one that slept last would win each time: a handful of kept connections would all
    hang on one process while the others idle.
    """

    def accept(self, listener: Any) -> None:
        time.sleep(min(self.nr_conns, 5) * 0.0002)
        super().accept(listener)


worker_class = EvenWorker


def _write_error(sock: Any, status: int, reason: str, message: str) -> None:
    body = json.dumps({"error": message or reason, "details": None}).encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    util.write_nonblock(sock, f"{head}Connection: close\r\n\r\n".encode("latin1") + body)


# What gunicorn refuses before the application sees it, such as an over-long address, has the error shape too.
util.write_error = _write_error


def on_starting(_server: Arbiter) -> None:
    """What the service itself says goes to the same place as gunicorn's lines, with the time."""
    logging.basicConfig(
        level=logging.INFO,
        format="[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S %z",
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)


def post_fork(_server: Arbiter, _worker: Any) -> None:
    """A short answer does not wait 5 ms for the thread of a long one."""
    sys.setswitchinterval(0.0005)


def post_worker_init(worker: Any) -> None:
    """Threads do not survive a fork, so each worker starts its own."""
    worker.app.wsgi().extensions["habsim"].housekeeper.start()


def when_ready(server: Arbiter) -> None:
    """A client that stops in the middle of its request, or of taking its answer, gives its thread back.

    What is loaded by now is not looked at by the garbage collector again: its marks would copy 30 MB into each worker.
    """
    gc.collect()
    gc.freeze()
    for listener in server.LISTENERS:
        for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # accepted connections inherit them
            listener.sock.setsockopt(socket.SOL_SOCKET, direction, struct.pack("ll", _STALLED_SECONDS, 0))


def on_exit(_server: Arbiter) -> None:
    """The metrics go with the server."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


def child_exit(_server: Arbiter, worker: Any) -> None:
    """A dead worker's gauges are no longer counted."""
    from prometheus_client import multiprocess  # only now: it reads the environment when it is imported

    multiprocess.mark_process_dead(worker.pid)
