"""One flight: on the map, in the charts and in words, the same as the service answers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import chain
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Open
from tests.page.visit import DESKTOP, PHONE, Json, Projection, Screen, Visit, duration

both_screens = pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)
CURSOR = ".leaflet-tooltip"


def flown(one: Visit) -> tuple[dict[str, str], Json]:
    """The last single flight that the page asked for, and its points as the service answers them."""
    asked = one.asked("/sim/singlezpb")[-1]
    phases = one.service.ask(f"/sim/singlezpb?{urlencode(asked)}")
    return asked, list(chain.from_iterable(phases))


def map_of_flight(one: Visit, points: Json) -> Projection:
    """The map on the screen, from the pins of launch and landing."""
    return one.projection({".launch-pin": tuple(points[0][1:3]), ".landing-pin": tuple(points[-1][1:3])})


@both_screens
def test_the_flight_is_drawn_and_its_summary_is_what_the_service_answers(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    bare = one.painted()
    one.fly()
    expect(one.page.locator(".burst-pin")).to_be_visible()
    _, points = flown(one)
    assert one.landing_place() == pytest.approx(tuple(points[-1][1:3]), abs=1e-5)
    shown = {
        term: one.page.locator("#result dt", has_text=re.compile(f"^{term}$")).locator("+ dd")
        for term in ("Duration", "Lands", "Highest")
    }
    expect(shown["Duration"]).to_have_text(duration(points[-1][0] - points[0][0]))
    lands = datetime.fromtimestamp(points[-1][0] + 30, UTC)
    expect(shown["Lands"]).to_contain_text(f"{lands:%Y-%m-%d %H:%M} UTC")
    expect(shown["Highest"]).to_have_text("30,000 m")
    assert one.painted() != bare
    # The path is where the service says, a third of the way along the ascent and of the descent.
    there = map_of_flight(one, points)
    for share in (0.2, 0.9):
        _, lat, lon, *_ = points[int(share * len(points))]
        red, green, blue, opacity = one.colour_at(*there.place(lat, lon))
        assert opacity > 200 and max(red, green, blue) - min(red, green, blue) > 60


@both_screens
def test_pointing_at_the_path_tells_time_altitude_and_wind_and_moves_the_charts(visit: Open, screen: Screen) -> None:
    one = visit(screen).open()
    one.fly()
    _, points = flown(one)
    time, lat, lon, altitude, u, v, *_ = points[len(points) // 3]
    readouts = one.page.locator(".chart-readout")
    expect(readouts.first).to_contain_text("Highest 30,000 m")
    x, y = map_of_flight(one, points).place(lat, lon)
    if screen.touch:
        one.press(x, y)
    else:
        one.page.mouse.move(x, y)
    text = one.page.locator(CURSOR).first.inner_text()
    found = re.match(r"(\d+ \w+ \d\d:\d\d) UTC\s+([\d,]+) m, wind ([\d.]+) m/s", text)
    assert found, text
    seen = datetime.strptime(f"{datetime.fromtimestamp(time, UTC).year} {found[1]} +0000", "%Y %d %b %H:%M %z")
    # A finger, a mouse and a pixel are a few hundred metres there.
    assert abs(seen.timestamp() - time) < 300
    assert float(found[2].replace(",", "")) == pytest.approx(altitude, abs=1500)
    assert float(found[3]) == pytest.approx((u * u + v * v) ** 0.5, abs=5)
    expect(readouts.first).to_contain_text("ascent")
    expect(readouts.nth(1)).to_contain_text("m/s from")


def test_the_cursor_names_the_pin_it_is_at(visit: Open) -> None:
    one = visit().open()
    one.fly()
    for pin, name in ((".burst-pin", "Burst"), (".landing-pin", "Landing")):
        one.page.mouse.move(*one.centre(pin))
        cursor = one.page.locator(CURSOR)
        expect(cursor).to_have_count(1)
        expect(cursor).to_contain_text(re.compile(f"^{name}, "))


def test_arrow_keys_in_a_chart_move_the_cursor_on_the_map(visit: Open) -> None:
    one = visit().open()
    one.fly()
    _, points = flown(one)
    one.page.locator(".chart-plot").first.focus()
    cursor = one.page.locator(CURSOR)
    for index in range(4):
        one.page.keyboard.press("ArrowRight")
        moment = datetime.fromtimestamp(points[index][0] + 30, UTC)
        expect(cursor).to_contain_text(f"{moment.day} {moment:%b %H:%M} UTC")
        expect(cursor).to_contain_text(f"{round(points[index][3]):,} m")
    one.page.keyboard.press("Escape")
    expect(cursor).to_have_count(0)


def test_waypoints_are_shown_and_hidden(visit: Open) -> None:
    one = visit().open()
    one.fly()
    one.page.mouse.move(5, 5)
    with_them = one.painted()
    box = one.page.get_by_label("Waypoints")
    box.uncheck()
    one.wait(lambda: one.painted() != with_them, "the waypoints to go")
    assert "hide=waypoints" in one.page.url
    without = one.painted()
    box.check()
    one.wait(lambda: one.painted() != without, "the waypoints to come back")


def test_coordinates_are_copied_and_lead_to_the_landing(visit: Open) -> None:
    one = visit(PHONE, permissions=["clipboard-read", "clipboard-write"]).open()
    one.fly()
    text = one.page.locator("#result .place code").inner_text()
    one.page.get_by_title("Copy the coordinates").click()
    expect(one.page.get_by_text("The coordinates are copied").first).to_be_visible()
    assert one.page.evaluate("() => navigator.clipboard.readText()") == text
    link = one.page.get_by_role("link", name="Navigate")
    expect(link).to_have_attribute("href", re.compile(f"destination={re.escape(text.replace(' ', ''))}$"))
    expect(one.page.get_by_role("link", name="Open in a map app")).to_have_attribute(
        "href", f"geo:{text.replace(' ', '')}"
    )


def test_the_flight_follows_the_plan_without_a_click(visit: Open) -> None:
    one = visit().open()
    one.fly()
    before = one.landing_place()
    one.tab("Plan")
    one.page.locator("#asc").fill("7")
    code = one.page.locator("#result .place code")
    expect(code).not_to_have_text("{:.5f}, {:.5f}".format(*before))
    asked, points = flown(one)
    assert float(asked["asc"]) == 7
    assert one.landing_place() == pytest.approx(tuple(points[-1][1:3]), abs=1e-5)
    expect(one.page.get_by_role("tab", name="Plan")).to_have_attribute("aria-selected", "true")


def test_a_flight_that_follows_does_not_stop_what_is_asked_for_after_it(visit: Open) -> None:
    one = visit().open()
    one.fly()
    one.tab("Plan")
    held = one.hold("/sim/singlezpb")
    # In one go: before the flight that follows has been asked for.
    one.page.evaluate(
        """() => {
          const input = document.getElementById('asc');
          input.value = '7';
          input.dispatchEvent(new Event('input'));
          document.getElementById('plan').requestSubmit();
        }"""
    )
    one.page.wait_for_timeout(400)
    assert len(held.routes) == 1
    held.release()
    one.has_result("Landing")
    expect(one.page.get_by_role("tab", name="Result")).to_have_attribute("aria-selected", "true")


def test_everything_is_shown_again_after_the_flight_has_followed_the_plan(visit: Open) -> None:
    one = visit().open()
    one.choose("zpb")
    one.page.locator("#floatHours").fill("20")
    one.fly()
    one.tab("Plan")
    code = one.page.locator("#result .place code")
    before = code.inner_text()
    one.page.locator("#asc").fill("6")
    expect(code).not_to_have_text(before)
    one.use("Show everything")
    box = one.page.locator("#map").bounding_box()
    assert box is not None
    for pin in (".launch-pin", ".landing-pin"):
        x, y = one.centre(pin)
        assert box["x"] < x < box["x"] + box["width"] and box["y"] < y < box["y"] + box["height"]


def test_a_float_has_an_end_instead_of_a_landing(visit: Open) -> None:
    one = visit().open()
    one.choose("float")
    one.fly("End of the flight")
    expect(one.page.locator("#result")).not_to_contain_text("Landing")
    expect(one.page.locator("#result dt", has_text="Altitude there").locator("+ dd")).to_have_text("25,000 m")
