"""What is kept of a flight, an ensemble or a search: seen and taken away later, and begun anew."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from store.manifest import cycle_start
from tests.page.conftest import GROUND, Open
from tests.page.desk import Desk
from tests.page.visit import PHONE, Service, address_of, downloaded
from tests.page.working import working
from tests.serving import serving
from tests.worlds import CYCLE, make_bucket, sample, uniform


@pytest.fixture
def passing(tmp_path: Path) -> Iterator[Service]:
    """A service with a worker on winds that a test can take away."""
    winds = sample(uniform(12.0, 5.0), start=cycle_start(CYCLE), degrees=10.0, times=13)
    make_bucket(tmp_path / "bucket", members=3, field=winds)
    settings = {"HABSIM_BUCKET_DIR": str(tmp_path / "bucket"), "HABSIM_ELEVATION": str(GROUND)}
    with serving(tmp_path, **settings, HABSIM_WEB_WORKERS="1") as server, working(tmp_path, **settings):
        yield Service(server, address_of(server))


def submit(desk: Desk, kind: str, name: str, **config: object) -> str:
    """Submit a launch in the name of who is signed in, and open its page when it is done."""
    launch = {
        "timestamp": desk.visit.service.start,
        "lat": 37.36,
        "lon": -121.88,
        "alt": 24,
        "equil": 30000,
        "eqtime": 0,
        "asc": 5,
        "desc": 6,
        "profile": "standard",
    }
    id_: str = desk.page.evaluate(
        """async (body) => {
          const me = await (await fetch('/api/v1/auth/me')).json();
          const headers = {'Content-Type': 'application/json', 'X-CSRF-Token': me.csrf_token};
          const request = {method: 'POST', headers, body: JSON.stringify(body)};
          return (await (await fetch('/api/v1/simulations/submit', request)).json()).id;
        }""",
        {"type": kind, "name": name, "config": {k: v for k, v in {**launch, **config}.items() if v is not None}},
    )
    desk.go(f"/simulations/{id_}")
    expect(desk.page.locator(".badge")).to_have_text("Done")
    return id_


def result_of(page: Page, id_: str) -> Any:
    return page.evaluate("async (id) => (await fetch(`/api/v1/simulations/${id}/results`)).json()", id_)


def test_a_result_is_seen_and_taken_away_after_its_cycle_is_gone(passing: Service, visit: Open) -> None:
    one = visit(at=passing)
    desk = Desk(one).register()
    page = desk.page
    id_ = submit(desk, "ensemble", "Kept", num_perturbations=5)
    answer = result_of(page, id_)
    shutil.rmtree(passing.server.bucket)
    shutil.rmtree(passing.server.data / "gefs", ignore_errors=True)
    page.reload()
    panel = page.get_by_role("region", name="Result")
    expect(panel.get_by_role("heading", name="Mean landing")).to_be_visible()
    mean = answer["landing"]["mean"]
    expect(panel.locator(".place code")).to_have_text(f"{mean['lat']:.5f}, {mean['lon']:.5f}")
    expect(panel).to_contain_text("90 % ellipse")
    expect(panel.get_by_role("button", name="Draw a zone")).to_have_count(0)
    expect(page.locator(".place-map .mean-pin")).to_be_visible()
    expect(page.locator(".place-map .launch-pin")).to_be_visible()
    features = json.loads(downloaded(one, "GeoJSON"))["features"]
    landings = [each for each in features if "perturbation" in each["properties"]]
    assert len(landings) == len(answer["heatmap_data"])
    assert "<kml" in downloaded(one, "KML")
    assert "<gpx" in downloaded(one, "GPX")
    # Nothing of it was flown anew.
    assert one.asked("/sim/spaceshot") == []


def test_a_flight_that_is_done_shows_its_landing_path_and_files(visit: Open, office: Service) -> None:
    one = visit(PHONE, at=office)
    desk = Desk(one).register()
    page = desk.page
    landing = result_of(page, submit(desk, "forward", "A flight"))["landing"]
    panel = page.get_by_role("region", name="Result")
    expect(panel.get_by_role("heading", name="Landing")).to_be_visible()
    expect(panel.locator(".place code")).to_have_text(f"{landing['lat']:.5f}, {landing['lon']:.5f}")
    expect(panel).to_contain_text("Demo winds")
    expect(page.locator(".place-map .landing-pin")).to_be_visible()
    rows = list(csv.DictReader(io.StringIO(downloaded(one, "CSV"))))
    assert float(rows[-1]["latitude"]) == pytest.approx(landing["lat"], abs=1e-6)
    assert desk.wrong("kept") == []
    assert one.asked("/sim/singlezpb") == []
    page.get_by_role("link", name="Fly again on the map").click()
    one.has_result("Landing")


@pytest.mark.parametrize("kind", ["forward", "ensemble"])
def test_a_gas_balloon_that_is_kept_says_how_it_is_filled(visit: Open, office: Service, kind: str) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    gas = {"profile": "physical", "envelope": "kaymont-1200", "lift_gas_type": "helium", "payload_mass": 1}
    copies = {"num_perturbations": 2} if kind == "ensemble" else {}
    submit(desk, kind, "With gas", alt=0, equil=None, **gas, **copies)
    ground = office.ask("/sim/elev", lat="37.36", lon="-121.88")["elevation"]
    body = {**gas, "ascent_rate": 5, "launch_altitude": ground}
    del body["profile"]
    specs = one.context.request.post(f"{one.address}/api/v1/balloon-specs", data=body).json()
    lift = specs["neck_lift_g"] / 1000
    said = f"{specs['volume']:.2f} m³ of helium, 1 cylinder (50l): fill it until the neck lifts {lift:.2f} kg"
    expect(desk.page.locator("dt", has_text="Filling").locator("+ dd")).to_have_text(said)


def test_what_waits_is_not_offered_on_the_map(visit: Open, idle: Service) -> None:
    one = visit(at=idle)
    desk = Desk(one).register()
    desk.go("/new")
    expect(desk.page.get_by_text("Winds cover")).to_be_visible()
    desk.press("Submit")
    expect(desk.page.locator(".badge")).to_have_text("Waiting")
    expect(desk.page.get_by_role("link", name=re.compile("on the map"))).to_have_count(0)


def test_a_flight_is_begun_anew_from_one_that_is_kept(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.page
    submit(desk, "ensemble", "Once", num_perturbations=7, seed=5, equil=21000)
    page.get_by_role("link", name="Use as a new plan").click()
    expect(page.get_by_role("heading", name="New flight")).to_be_visible()
    expect(page.get_by_text("Winds cover")).to_be_visible()
    expect(page.get_by_label("Coordinates")).to_have_value("37.36000, -121.88000")
    expect(page.get_by_label("Burst altitude")).to_have_value("21000")
    expect(page.get_by_label("Perturbations")).to_have_value("7")
    expect(page.get_by_label("Name", exact=True)).to_have_value("Once")
    page.get_by_label("Burst altitude").fill("22000")
    page.get_by_label("Name", exact=True).fill("Twice")
    desk.press("Submit")
    expect(page.get_by_role("heading", name="Twice")).to_be_visible()
    expect(page.locator("dl").last).to_contain_text("burst at 22,000 m")


def test_a_search_is_begun_anew_from_one_that_is_kept(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.search("First", Members="0-2").page
    mine = page.url
    desk.search("Second", Members="0")
    page.goto(mine)
    page.get_by_role("link", name="Use as a new plan").click()
    expect(page.get_by_role("heading", name="Plan backwards")).to_be_visible()
    expect(page.get_by_label("Members", exact=True)).to_have_value("0, 1, 2")
    expect(page.get_by_label("Spacing", exact=True)).to_have_value("25")
    expect(page.get_by_label("Name", exact=True).last).to_have_value("First")


def test_demo_winds_are_named_wherever_they_are_flown(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.page
    for route in ("/new", "/reverse"):
        desk.go(route)
        expect(page.locator(".heading")).to_contain_text("demo winds")
    submit(desk, "forward", "On demo winds")
    expect(page.locator(".heading")).to_contain_text("demo winds")
    expect(page.locator("dl").last).to_contain_text(re.compile(r"\d{10}, demo winds"))
    desk.go("/simulations")
    expect(desk.row("On demo winds").locator(".tag")).to_have_text("demo winds")
