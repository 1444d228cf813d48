"""A browser, and services for it. Without Chromium or the built page all tests here are skipped."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from scripts import demo_cycle
from store.manifest import cycle_at, cycle_start, wind_file_name
from tests.page.visit import AXE, DESKTOP, PATIENCE_MS, Screen, Service, Theme, Visit, address_of
from tests.page.working import working
from tests.serving import ROOT, serving
from tests.worlds import make_bucket, sample, uniform

GROUND = ROOT / os.environ.get("HABSIM_DATA_DIR", "data") / "elevation.npz"
CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NEEDED: dict[str, bool] = {
    "Chromium (make chromium)": CHROMIUM is not None,
    "the built page (make page)": (ROOT / "www" / "dist" / "index.html").exists(),
    "axe-core (make check-page)": AXE.exists(),
    "the ground elevation (make setup)": GROUND.exists(),
}
PASSWORD = "open sesame"
ADMIN, ADMIN_PASSWORD = "chief", "balloons rise"
Open = Callable[..., Visit]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [what for what, there in NEEDED.items() if not there]
    if missing:
        skip = pytest.mark.skip(reason=f"tests of the page in a browser need {' and '.join(missing)}")
        for item in items:
            if item.path.parent == Path(__file__).parent:
                item.add_marker(skip)


# For the package only: Playwright has an event loop in the main thread, which no other test is to meet.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def demo_bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo cycle of 21 members, made by the first worker that comes; the others wait for its lock."""
    base = tmp_path_factory.getbasetemp()
    bucket = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demo" / "bucket"
    bucket.parent.mkdir(exist_ok=True)
    demo_cycle.make_if_needed(bucket, time.time())
    return bucket


@pytest.fixture(scope="package")
def service(demo_bucket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The real service with two workers on the demo cycle and the embedded ground."""
    folder = tmp_path_factory.mktemp("page")
    with serving(folder, HABSIM_BUCKET_DIR=str(demo_bucket), HABSIM_ELEVATION=str(GROUND)) as server:
        yield Service(server, address_of(server))


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Open]:
    """Opens pages, each in a context of its own, and asserts at the end that none of them had a fault."""
    visits: list[Visit] = []

    def arrive(
        screen: Screen = DESKTOP,
        theme: Theme = "light",
        *,
        at: Service | None = None,
        address: str | None = None,
        **options: Any,
    ) -> Visit:
        other = at or service
        context = browser.new_context(
            **{
                "viewport": {"width": screen.width, "height": screen.height},
                "has_touch": screen.touch,
                "is_mobile": screen.touch,
                "color_scheme": theme,
                "locale": "en-GB",
                "timezone_id": "America/Los_Angeles",
                "reduced_motion": "reduce",
                **options,
            }
        )
        one = Visit(context, screen, theme, other, address or other.address)
        visits.append(one)
        return one

    yield arrive
    for one in visits:
        one.context.close()
    assert [fault for one in visits for fault in one.surprises()] == []


@pytest.fixture(scope="package")
def worn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on an old cycle of live GEFS with 4 members of 21, of which member 2 cannot be read."""
    folder = tmp_path_factory.mktemp("worn")
    cycle = cycle_at(time.time() - 30 * 3600)
    winds = sample(uniform(12.0, 5.0), start=cycle_start(cycle), degrees=10.0, times=13)
    make_bucket(folder / "bucket", members=4, cycle=cycle, product="classic", field=winds)
    file = folder / "bucket" / wind_file_name(cycle, 2)
    file.write_bytes(bytes(file.stat().st_size))
    with serving(folder, HABSIM_WEB_WORKERS="1") as server:
        yield Service(server, address_of(server))


@pytest.fixture(scope="package")
def locked(demo_bucket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a password."""
    settings = {"HABSIM_BUCKET_DIR": str(demo_bucket), "HABSIM_ELEVATION": str(GROUND), "HABSIM_WEB_WORKERS": "1"}
    with serving(tmp_path_factory.mktemp("locked"), **settings, HABSIM_PASSWORD=PASSWORD) as server:
        yield Service(server, address_of(server))


@pytest.fixture(scope="package")
def office(demo_bucket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with an administrator and a worker."""
    folder = tmp_path_factory.mktemp("office")
    settings = {
        "HABSIM_BUCKET_DIR": str(demo_bucket),
        "HABSIM_ELEVATION": str(GROUND),
        "HABSIM_ADMIN_USERNAME": ADMIN,
        "HABSIM_ADMIN_PASSWORD": ADMIN_PASSWORD,
    }
    with serving(folder, **settings, HABSIM_WEB_WORKERS="1") as server, working(folder, **settings):
        yield Service(server, address_of(server))


@pytest.fixture(scope="package")
def idle(demo_bucket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without a worker: what is submitted waits."""
    settings = {"HABSIM_BUCKET_DIR": str(demo_bucket), "HABSIM_ELEVATION": str(GROUND), "HABSIM_WEB_WORKERS": "1"}
    with serving(tmp_path_factory.mktemp("idle"), **settings) as server:
        yield Service(server, address_of(server))
