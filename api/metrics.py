"""Metrics for Prometheus, summed over the web workers where `PROMETHEUS_MULTIPROC_DIR` names their folder."""

from __future__ import annotations

import os
import time

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "habsim_requests", "Requests answered", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "habsim_request_seconds",
            "Time to the answer's first byte",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.flights = Counter("habsim_flights", "Single flights predicted", registry=self.registry)
        self.ensembles = Counter("habsim_ensembles", "Ensembles answered", registry=self.registry)
        self.refused_cycles = Counter(
            "habsim_cycles_refused", "Cycles of the bucket that were refused", ["reason"], registry=self.registry
        )
        self.store_requests = Counter(
            "habsim_store_requests", "Ranges read from the object store", registry=self.registry
        )
        self.store_bytes = Counter(
            "habsim_store_bytes", "Bytes read from the object store by ranges", registry=self.registry
        )
        self.cache_files = Gauge(
            "habsim_cache_files", "Wind files in the disk cache", multiprocess_mode="mostrecent", registry=self.registry
        )
        self.cache_bytes = Gauge(
            "habsim_cache_bytes", "Bytes of the disk cache", multiprocess_mode="mostrecent", registry=self.registry
        )
        self.cycle_start = Gauge(
            "habsim_cycle_start_seconds",
            "Start of the current cycle, Unix time",
            multiprocess_mode="mostrecent",
            registry=self.registry,
        )

    def moved(self, size: int) -> None:
        """Count a range of `size` bytes that was read from the object store."""
        self.store_requests.inc()
        self.store_bytes.inc(size)

    def watch(self, app: Flask) -> None:
        """Count and time every request of `app`."""

        def begin() -> None:
            g.began = time.perf_counter()

        def end(response: Response) -> Response:
            # The rule, not the path, and known methods: a client can invent both, and a new label is a new series.
            route = request.url_rule.rule if request.url_rule is not None else "none"
            method = request.method if request.method in _METHODS else "other"
            self.requests.labels(route, method, response.status_code).inc()
            if "began" in g:
                self.seconds.labels(route).observe(time.perf_counter() - g.began)
            return response

        app.before_request(begin)
        app.after_request(end)

    def render(self) -> tuple[bytes, str]:
        """The exposition and its content type."""
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            registry = self.registry
        return generate_latest(registry), CONTENT_TYPE_LATEST
