"""What is taken away: files, a link, and paper."""

from __future__ import annotations

import csv
import io
import json
from itertools import chain
from pathlib import Path
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Open
from tests.page.visit import ARTEFACTS, DESKTOP, PHONE, Screen, Service, Visit

both_screens = pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)
KML = "{http://www.opengis.net/kml/2.2}"
GPX = "{http://www.topografix.com/GPX/1/1}"


def taken(one: Visit, name: str) -> str:
    """The text of a file that a button gives."""
    with one.page.expect_download() as started:
        one.page.locator(".take").get_by_role("button", name=name, exact=True).click()
    extension = started.value.suggested_filename.rsplit(".", 1)[-1]
    assert extension == name.lower()
    return Path(started.value.path()).read_text(encoding="utf-8")


def test_a_flight_is_in_every_format_what_was_shown(visit: Open) -> None:
    one = visit().open()
    one.fly()
    landing = one.landing_place()
    points = list(chain.from_iterable(one.service.ask(f"/sim/singlezpb?{urlencode(one.asked('/sim/singlezpb')[-1])}")))
    near = pytest.approx(landing, abs=1e-5)

    rows = list(csv.DictReader(line for line in io.StringIO(taken(one, "CSV")) if not line.startswith("#")))
    lat, lon = (next(name for name in rows[0] if name.startswith(start)) for start in ("lat", "lon"))
    assert (float(rows[-1][lat]), float(rows[-1][lon])) == near
    assert len(rows) == pytest.approx(len(points), abs=4)  # where phases meet a point may stand once or twice

    kml = ET.fromstring(taken(one, "KML"))
    ends = [line.text.split()[-1].split(",") for line in kml.iter(f"{KML}coordinates") if line.text]
    assert any((float(end[1]), float(end[0])) == near for end in ends)

    gpx = ET.fromstring(taken(one, "GPX"))
    track = list(gpx.iter(f"{GPX}trkpt"))
    assert (float(track[-1].attrib["lat"]), float(track[-1].attrib["lon"])) == near
    names = {name.text for point in gpx.iter(f"{GPX}wpt") for name in point.iter(f"{GPX}name")}
    assert {"Launch", "Burst", "Landing"} <= names

    features = json.loads(taken(one, "GeoJSON"))["features"]
    spots = {f["properties"]["name"]: f["geometry"] for f in features if f["geometry"]["type"] == "Point"}
    assert tuple(reversed(spots["Landing"]["coordinates"][:2])) == near


def test_an_ensemble_is_taken_away_whole_and_in_parts(visit: Open) -> None:
    one = visit().open()
    one.choose("ensemble")
    one.page.locator("#perturbations").fill("2")
    one.fly("Mean landing")
    what = one.page.get_by_label("What to take away")

    features = json.loads(taken(one, "GeoJSON"))["features"]
    kinds = [feature["geometry"]["type"] for feature in features]
    assert sum(kind.endswith("Polygon") for kind in kinds) == 4
    flights = {f["properties"].get("member") for f in features if f["geometry"]["type"].endswith("LineString")}
    assert flights == set(range(21))

    button = one.page.locator(".take").get_by_role("button", name="CSV", exact=True)
    expect(button).to_be_disabled()
    what.select_option("Landings")
    rows = list(csv.DictReader(line for line in io.StringIO(taken(one, "CSV")) if not line.startswith("#")))
    assert sum(row["name"].startswith("Landing ") for row in rows) == 63

    what.select_option("Contours")
    kml = ET.fromstring(taken(one, "KML"))
    assert len(list(kml.iter(f"{KML}Placemark"))) == 4
    expect(one.page.locator(".take").get_by_role("button", name="GPX", exact=True)).to_be_disabled()

    what.select_option("Flights")
    gpx = ET.fromstring(taken(one, "GPX"))
    assert len(list(gpx.iter(f"{GPX}trk"))) == 21


def test_a_link_brings_the_whole_plan_to_another_browser_and_flies_it(visit: Open, service: Service) -> None:
    one = visit(permissions=["clipboard-read", "clipboard-write"]).open(at=service.start)
    typed = {"alt": "1200", "asc": "6.25", "float": "22000", "floatHours": "1.5", "desc": "7.5"}
    one.tab("Plan")
    one.page.locator("#place").fill("44.5, -100.25")
    one.page.locator("#place").press("Enter")
    one.choose("zpb")
    for name, value in typed.items():
        one.page.locator(f"#{name}").fill(value)
    one.choose("ensemble")
    one.page.locator("#perturbations").fill("3")
    one.page.locator("#seed").fill("42")
    one.fly("Mean landing")
    one.page.locator("#result").get_by_label("Heat map").uncheck()
    one.page.get_by_role("button", name="Copy a link to this plan").click()
    expect(one.page.get_by_text("The link is copied").first).to_be_visible()
    link = one.page.evaluate("() => navigator.clipboard.readText()")

    other = visit(PHONE, timezone_id="Europe/Vienna", locale="en-US")
    other.page.goto(link)
    other.has_result("Mean landing")
    assert other.landing_place() == one.landing_place()
    mine, theirs = ({**v.asked("/sim/spaceshot")[-1], "request_id": ""} for v in (one, other))
    assert theirs == mine
    expect(other.page.locator("#result").get_by_label("Heat map")).not_to_be_checked()
    other.tab("Plan")
    other.page.locator("#units").select_option("Metric")
    for name, value in {**typed, "perturbations": "3", "seed": "42"}.items():
        expect(other.page.locator(f"#{name}")).to_have_value(value)


def test_a_link_is_flown_as_it_says_where_another_plan_was_made(visit: Open, service: Service) -> None:
    one = visit().open()
    for name, value in {"asc": "8", "burst": "20000", "alt": "500"}.items():
        one.page.locator(f"#{name}").fill(value)
    one.choose("ensemble")
    one.page.goto("about:blank")
    one.open(lat=40, lon=-100, at=service.start, desc=7)
    one.has_result("Landing")
    asked = one.asked("/sim/singlezpb")[-1]
    assert {name: float(asked[name]) for name in ("asc", "equil", "desc")} == {"asc": 5, "equil": 30000, "desc": 7}
    assert float(asked["alt"]) <= 0
    # Looking at a plan of others loses nobody's own.
    one.page.goto("about:blank")
    one.open()
    expect(one.page.locator("#asc")).to_have_value("8")


def test_what_a_link_holds_and_cannot_be_taken_is_said(visit: Open) -> None:
    one = visit().open(lat=95, lon=10, asc=6, run="dance")
    toasts = one.page.locator("#toasts")
    expect(toasts).to_contain_text("Latitude is 95, it must be -90..90")
    expect(toasts).to_contain_text("Run is dance, it must be one of single, ensemble, sweep")
    expect(one.page.locator("#asc")).to_have_value("6")


@both_screens
def test_on_paper_are_map_and_summary_without_controls(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    one.fly()
    one.page.emulate_media(media="print")
    for there in ("#map", "#result h2 >> nth=0", "#result dl >> nth=0", ".landing-pin"):
        expect(one.page.locator(there)).to_be_visible()
    for gone in ("#fly", ".tabs", ".tools", "#units", "#theme", "#print", ".take", ".layers", "#hint"):
        expect(one.page.locator(gone)).to_be_hidden()
    one.keep("print")
    paper = one.page.pdf()
    assert paper.startswith(b"%PDF")
    (ARTEFACTS / f"{screen.name}-single.pdf").write_bytes(paper)
