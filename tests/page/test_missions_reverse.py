"""Planning backwards in the browser, and sizing a balloon."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Open
from tests.page.desk import Desk
from tests.page.visit import DESKTOP, PHONE, SMALL, Screen, Service, percent, share_inside


def test_a_search_is_sized_submitted_and_read(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.go("/reverse").page
    size = page.locator(".size")
    expect(size).to_contain_text("317 places × 12 times × 1 balloon × 21 members")
    page.get_by_label("Spacing", exact=True).fill("25")
    expect(size).to_contain_text("49 places")
    page.locator("label[for='hit-pass']").click()
    desk.press("Add a balloon")
    page.get_by_label("Burst altitude").last.fill("20000")
    expect(size).to_contain_text("2 balloons")
    page.get_by_label("Members", exact=True).fill("0-4")
    expect(size).to_contain_text("5 members")
    page.get_by_label("Name", exact=True).last.fill("To the valley")
    desk.press("Search")
    expect(page.get_by_role("heading", name="To the valley")).to_be_visible()
    expect(page.get_by_role("heading", name="Best launches")).to_be_visible()
    about = page.locator(".about")
    expect(about).to_contain_text("Launch 1 at")
    before = one.page.locator(".place-map .launch-pin").bounding_box()
    desk.more_launches()
    page.get_by_role("button", name="Show launch 40 on the map").click()
    expect(about).to_contain_text("Launch 40 at")
    assert one.page.locator(".place-map .launch-pin").bounding_box() != before
    # One launch time.
    bars = page.get_by_role("group", name="Probability of the best launch")
    bars.get_by_role("button").nth(2).click()
    expect(bars.get_by_role("button").nth(2)).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="All launch times")).to_be_visible()
    desk.press("All launch times")
    # Files.
    id_ = page.url.rsplit("/", 1)[1]
    answer = one.page.evaluate(
        "async (id) => (await fetch(`/api/v1/reverse/plan/${id}/results?limit=1000`)).json()", id_
    )
    with page.expect_download() as started:
        desk.press("GeoJSON")
    features = json.loads(Path(started.value.path()).read_text(encoding="utf-8"))["features"]
    reaching = sum(launch["probability"] > 0 for launch in answer["candidates"])
    assert len(features) == reaching
    best = answer["candidates"][0]
    assert features[0]["geometry"]["coordinates"] == [best["lon"], best["lat"]]
    assert features[0]["properties"]["probability"] == best["probability"]
    with page.expect_download() as started:
        desk.press("CSV")
    rows = Path(started.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(rows) == reaching + 1
    assert "altitude_m" not in rows[0].split(",")
    # And to the map.
    page.get_by_role("button", name="Show launch 1 on the map").click()
    page.get_by_role("link", name="Fly it on the map").click()
    one.has_result("Mean landing")
    assert abs(one.launch_place()[0] - best["lat"]) < 1e-4


def test_the_zone_of_a_search_goes_along_to_the_map_with_the_share_of_landings_in_it(
    visit: Open, office: Service
) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.search("To be flown", Members="0-2").page
    expect(page.get_by_text("Fly the ensemble to see how its own scatter adds.")).to_be_visible()
    page.get_by_role("link", name="Fly it on the map").click()
    one.has_result("Mean landing")
    expect(page.locator(".zone-share")).to_contain_text(re.compile(r"^(<|>)?\d+ % of the landings are in your zone"))
    corners = [
        (float(lat), float(lon))
        for lat, lon in (corner.split(",") for corner in re.findall(r"zone=([^&]+)", page.url)[0].split("_"))
    ]
    answer = one.service.ask("/sim/spaceshot", **one.asked("/sim/spaceshot")[-1])
    expect(page.locator(".zone-share strong")).to_have_text(percent(share_inside(corners, answer)))
    lats, lons = zip(*corners, strict=True)
    assert (sum(lats) / 32, sum(lons) / 32) == pytest.approx((37.3553, -121.8763), abs=1e-3)


@pytest.mark.parametrize("screen", [SMALL, PHONE], ids=lambda screen: screen.name)
def test_on_a_phone_a_search_is_as_wide_as_the_screen_and_scrolls_as_one(
    visit: Open, office: Service, screen: Screen
) -> None:
    one = visit(screen, at=office)
    desk = Desk(one).register()
    page = desk.page
    desk.search("On the phone")
    expect(page.get_by_role("group", name="Probability of the best launch").get_by_role("button")).to_have_count(12)
    assert one.overflow_px() <= 0
    launches = page.get_by_role("table", name="Best launches").get_by_role("row")
    expect(launches).to_have_count(21)
    heights = page.locator(".launches").evaluate("(box) => [box.scrollHeight, box.clientHeight]")
    assert heights[0] <= heights[1]
    desk.more_launches()
    expect(launches).to_have_count(41)
    expect(page.get_by_role("button", name="Show launch 21 on the map")).to_be_focused()
    assert desk.wrong("found-more") == []


def test_map_and_launches_of_a_search_are_in_sight_at_once(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    desk.search("In sight")
    for place in (".place-map", ".launches"):
        box = one.page.locator(place).bounding_box()
        assert box is not None
        assert box["y"] < 0.7 * DESKTOP.height


def test_a_search_says_what_was_searched(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.search("Said in words").page
    expect(page.get_by_text("To land within 10.0 km of 37.35530, -121.87630, launched")).to_be_visible()
    facts = page.locator("dl")
    expect(facts).to_contain_text("Circle of radius 100 km around 37.35530, -121.87630, every 25.0 km")
    expect(facts).to_contain_text("5.0 m/s up, burst at 30,000 m, 5.0 m/s down")
    expect(facts).to_contain_text("every 6 h")


def test_a_search_that_waits_says_what_it_looks_for_and_where(visit: Open, idle: Service) -> None:
    one = visit(PHONE, at=idle)
    desk = Desk(one).register()
    page = desk.go("/reverse").page
    expect(page.locator(".size")).to_contain_text("flights")
    page.get_by_label("Name", exact=True).last.fill("Waits")
    desk.press("Search")
    expect(page.locator(".badge")).to_have_text("Waiting")
    expect(page.locator("dl")).to_contain_text("Circle of radius 100 km around 37.35530, -121.87630, every 10.0 km")
    expect(page.get_by_role("application", name="Map of the search")).to_be_visible()
    assert desk.wrong("search-waits") == []
    desk.press("Cancel")
    page.get_by_role("dialog").get_by_role("button", name="Cancel it").click()
    expect(page.locator(".badge")).to_have_text("Cancelled")
    expect(page.get_by_role("link", name="Use as a new plan")).to_be_visible()


def test_a_search_that_finds_nothing_says_so(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.search("Hopeless", Coordinates="20, -160", Middle="37.36, -121.88").page
    expect(page.get_by_text("No launch reaches the zone")).to_be_visible()
    expect(page.get_by_role("heading", name="Nearest launches")).to_be_visible()
    expect(page.get_by_role("heading", name="Best launches")).to_have_count(0)
    expect(page.locator(".launches")).not_to_contain_text("%")
    expect(page.locator(".about")).to_contain_text("0 of 21 members reach the zone")


def test_a_click_on_the_map_sets_the_target_or_the_launch_area(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.go("/reverse").page
    target, area = page.get_by_label("Coordinates"), page.get_by_label("Middle", exact=True)
    start = target.input_value()
    x, y = one.centre(".place-map .map")
    one.press(x + 60, y)
    expect(target).not_to_have_value(start)
    expect(area).to_have_value(target.input_value())
    page.locator("label[for='choosing-area']").click()
    one.press(x - 60, y)
    expect(area).not_to_have_value(target.input_value())
    chosen = area.input_value()
    # An area that was set stays where it is.
    page.locator("label[for='choosing-target']").click()
    one.press(x, y + 60)
    expect(area).to_have_value(chosen)
    # The keyboard chooses the middle of the map.
    before = target.input_value()
    page.locator(".place-map .map").focus()
    page.keyboard.press("Enter")
    expect(target).not_to_have_value(before)


def test_a_search_that_is_too_large_is_refused_with_its_size_before_it_is_sent(visit: Open, office: Service) -> None:
    one = visit(at=office)
    one.expect_fault("status of 400")
    desk = Desk(one).register()
    page = desk.go("/reverse").page
    expect(page.locator(".size")).to_contain_text("flights")
    page.get_by_label("Spacing", exact=True).fill("0.01")
    problem = page.locator("#submit-problem")
    expect(problem).to_contain_text("the limit is 10,000,000")
    desk.press("Search")
    expect(problem).to_contain_text("the limit is 10,000,000")
    page.get_by_label("Spacing", exact=True).fill("far")
    desk.press("Search")
    expect(page.locator("#search-spacing-note")).to_have_text("Spacing needs a number")
    expect(page.get_by_label("Spacing", exact=True)).to_be_focused()
    page.get_by_label("Spacing", exact=True).fill("25")
    page.locator("label[for='mission-target_window']").click()
    page.get_by_label("In the zone at, UTC").fill("2030-01-01T00:00")
    expect(problem).to_contain_text("outside cycle")


def test_what_fields_contradict_or_the_winds_lack_is_said_beside_them(visit: Open, office: Service) -> None:
    one = visit(at=office)
    one.expect_fault("status of 400")
    desk = Desk(one).register()
    page = desk.go("/reverse").page
    expect(page.locator(".size")).to_contain_text(", about ")
    page.get_by_label("Members", exact=True).fill("0-40")
    expect(page.locator("#members-note")).to_contain_text("Members has 21, 22")
    page.get_by_label("Members", exact=True).fill("all")
    to = page.get_by_label("Before, UTC")
    first, last = page.get_by_label("First launch, UTC").input_value(), to.input_value()
    to.fill(first)
    expect(page.locator("#search-to-note")).to_have_text("The last launch is before the first")
    to.fill(last)
    expect(page.locator("#search-to-note")).to_be_empty()
    expect(page.locator(".size")).to_contain_text("flights")


def test_time_at_the_target(visit: Open, office: Service) -> None:
    one = visit(at=office)
    desk = Desk(one).register()
    page = desk.go("/reverse").page
    page.locator("label[for='mission-target_window']").click()
    page.get_by_label("Spacing", exact=True).fill("25")
    page.get_by_label("Days before it").fill("1")
    page.get_by_label("Members", exact=True).fill("0")
    expect(page.locator(".size")).to_contain_text("1 member")
    desk.press("Search")
    expect(page.get_by_text("In the day before, every 6 h")).to_be_visible()
    expect(page.locator(".launches table")).to_be_visible()
    # What was searched is there again.
    desk.go("/reverse")
    expect(page.get_by_label("Days before it")).to_have_value("1")
    expect(page.get_by_label("Members", exact=True)).to_have_value("0")


def test_a_balloon_is_sized_refused_with_numbers_and_flown(visit: Open, office: Service) -> None:
    one = visit(at=office)
    one.expect_fault("status of 400")
    desk = Desk(one).go("/balloon")
    page = desk.page
    fly = page.get_by_role("link", name="Fly this")
    expect(page.get_by_text("Bursts at")).to_be_visible()
    page.locator("label[for='wish-volume']").click()
    page.get_by_label("Gas volume").fill("0.5")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Net lift -")
    assert fly.get_attribute("href") is None
    page.get_by_label("Gas volume").fill("4")
    expect(page.locator(".calculator .problem")).to_be_empty()
    expect(page.get_by_text("Bursts at")).to_be_visible()
    burst = page.locator(".figure strong").first.inner_text()
    fly.click()
    one.has_result("Landing")
    expect(page.locator("#profile-physical")).to_be_checked()
    expect(page.locator("#volume")).to_have_value("4")
    expect(page.locator(".outcome-line")).to_contain_text(f"Bursts at {burst}")


def test_an_envelope_of_ones_own_is_flown_with_its_rates(visit: Open, office: Service) -> None:
    one = visit(PHONE, at=office)
    page = Desk(one).go("/balloon").page
    page.get_by_label("Envelope", exact=True).select_option("An envelope of your own")
    page.get_by_label("Burst diameter").fill("6.5")
    page.get_by_label("Mass of the envelope").fill("0.7")
    page.wait_for_timeout(600)
    burst = page.locator(".figure strong").first.inner_text().replace(",", "").removesuffix(" m")
    one.keep("own-envelope-missions")
    assert one.violations() == []
    page.get_by_role("link", name="Fly this").click()
    one.has_result("Landing")
    expect(page.locator("#profile-standard")).to_be_checked()
    expect(page.locator("#burst")).to_have_value(burst)


@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)
def test_a_search_has_gas_balloons(visit: Open, office: Service, screen: Screen) -> None:
    one = visit(screen, at=office)
    one.expect_fault("status of 400")
    desk = Desk(one).register()
    page = desk.go("/reverse").page
    size = page.locator(".size")
    page.get_by_label("Spacing", exact=True).fill("25")
    page.get_by_label("Members", exact=True).fill("0-2")
    desk.press("Add a balloon")
    row = page.get_by_role("group", name="Balloon", exact=True).last
    row.get_by_label("Profile").select_option("Gas balloon")
    expect(row.get_by_label("Air it climbs through")).to_have_count(0)
    expect(row.locator(".outcome-line")).to_contain_text("Climbs at 5.0 m/s")
    row.get_by_label("Filled for").select_option("Gas volume")
    row.get_by_label("Gas volume").last.fill("0.5")
    expect(row.get_by_text("Net lift -16.4 N")).to_be_visible()
    row.get_by_label("Gas volume").last.fill("3.5")
    expect(row.get_by_text("Net lift -16.4 N")).to_have_count(0)
    row.get_by_label("Envelope").select_option("hwoyee-1000")
    row.get_by_label("Payload").fill("0.9")
    expect(row.locator(".outcome-line")).to_contain_text("3.50 m³ of helium")
    row.scroll_into_view_if_needed()
    assert desk.wrong("search-gas-balloon") == []
    expect(size).to_contain_text("2 balloons × 3 members")
    page.get_by_label("Name", exact=True).last.fill("With gas")
    desk.press("Search")
    expect(page.get_by_role("heading", name="Best launches")).to_be_visible()
    said = "Balloon 2: hwoyee-1000 with a payload of 0.90 kg, helium with 3.50 m³, 5.0 m/s down"
    expect(page.locator("dd", has_text=said)).to_be_visible()
    # It is there the next time.
    found = page.url
    desk.go("/reverse")
    row = page.get_by_role("group", name="Balloon", exact=True).last
    expect(row.get_by_label("Envelope").locator("optgroup").first).to_be_attached()
    expect(row.get_by_label("Envelope")).to_have_value("hwoyee-1000")
    expect(row.get_by_label("Gas volume").last).to_have_value("3.5")
    # A launch of it is flown on the map.
    page.goto(found)
    page.locator("tr", has_text="Balloon 2").first.get_by_role("button", name="Show launch").click()
    page.get_by_role("link", name="Fly it on the map").click()
    one.has_result("Mean landing")
    expect(page.locator("#profile-physical")).to_be_checked()
    asked = one.asked("/sim/spaceshot")[-1]
    balloon = {name: asked[name] for name in ("profile", "envelope", "volume", "payload_mass")}
    assert balloon == {"profile": "physical", "envelope": "hwoyee-1000", "volume": "3.5", "payload_mass": "0.9"}
