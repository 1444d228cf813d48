"""Many launch times, and the wind above a point."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import chain, pairwise
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Open
from tests.page.visit import DESKTOP, PHONE, Screen, Service, Visit
from tests.worlds import distance

both_screens = pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)
HOURS = 8
PLACE = (37.3553, -121.8763)
Far = dict[int, float]


def swept(one: Visit, service: Service) -> None:
    start = service.start
    one.open(
        lat=PLACE[0], lon=PLACE[1], at=start, run="sweep", from_=start, to=start + 2 * 3600 * (HOURS - 1), every=120
    )
    one.has_result(f"{HOURS} launch times")


def distances(one: Visit, place: tuple[float, float]) -> Far:
    """Metres from `place` to the landing, of each launch time that the page asked for."""
    far: Far = {}
    for asked in one.asked("/sim/singlezpb"):
        *_, last = chain.from_iterable(one.service.ask(f"/sim/singlezpb?{urlencode(asked)}"))
        far[int(asked["timestamp"])] = float(distance(*place, last[1], last[2]))
    return far


def table(one: Visit) -> list[tuple[str, str]]:
    """Launch and distance of each row, as they are written."""
    rows = one.page.locator("#result .scroll tbody tr").all()
    return [(row.locator("th").inner_text().strip(), row.locator("td").nth(1).inner_text()) for row in rows]


def metres(text: str) -> float:
    number, unit = text.replace(",", "").split()
    return float(number) * {"m": 1, "km": 1000}[unit]


def is_by_distance(one: Visit, far: Far) -> bool:
    """Whether the table has the launches with the nearest landing first, each with its distance."""
    written = [metres(text) for _, text in table(one)]
    wanted = sorted(far.values())
    in_order = all(a <= b for a, b in pairwise(written))
    return in_order and written == pytest.approx(wanted, rel=0.01, abs=100)


@both_screens
def test_launches_are_listed_by_how_near_they_land(visit: Open, service: Service, screen: Screen) -> None:
    one = visit(screen)
    swept(one, service)
    far = distances(one, PLACE)
    assert len(far) == HOURS
    assert is_by_distance(one, far), (table(one), far)
    # From a point that is chosen on the map, 80 px to the east of the launch.
    x, y = one.centre(".launch-pin")
    one.page.get_by_role("button", name="Choose a point", exact=True).click()
    one.press(x + 80, y)
    expect(one.page.get_by_text("Distances are from your point")).to_be_visible()
    lat, lon = map(float, re.findall(r"target=([^&]*)", one.page.url)[0].split(","))
    assert lon > PLACE[1]
    assert is_by_distance(one, distances(one, (lat, lon)))
    one.page.get_by_role("button", name="Use the launch").click()
    expect(one.page.get_by_text("Distances are from the launch")).to_be_visible()
    assert is_by_distance(one, far)


@both_screens
def test_a_launch_of_the_table_shows_its_flight(visit: Open, service: Service, screen: Screen) -> None:
    one = visit(screen)
    swept(one, service)
    expect(one.page.locator(".landing-pin")).to_have_count(0)
    one.page.get_by_title("Show this flight").nth(2).click()
    expect(one.page.locator(".landing-pin")).to_be_visible()
    expect(one.page.locator("#result").get_by_role("heading", name="Landing", exact=True)).to_be_visible()
    expect(one.page.locator(".chart-readout").first).to_contain_text("Highest 30,000 m")
    # What belongs to every result is still there.
    for button in ("#share", "#print"):
        expect(one.page.locator(button)).to_be_visible()
    third = sorted(distances(one, PLACE).items(), key=lambda item: item[1])[2][0]
    asked = next(asked for asked in one.asked("/sim/singlezpb") if int(asked["timestamp"]) == third)
    *_, last = chain.from_iterable(service.ask(f"/sim/singlezpb?{urlencode(asked)}"))
    assert one.landing_place() == pytest.approx((last[1], last[2]), abs=1e-5)


def test_too_many_launches_are_refused_unsent(visit: Open, service: Service) -> None:
    start = service.start
    one = visit().open()
    one.choose("sweep")
    for field, moment in (("sweepFrom", start), ("sweepTo", start + 24 * 3600)):
        one.page.locator(f"#{field}").fill(f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M}")
    one.page.locator("#sweepMinutes").fill("1")
    reason = re.compile("1,441 launches, at most 200")
    expect(one.page.locator("#sweepMinutes-note")).to_have_text(reason)
    one.page.locator("#fly").click()
    expect(one.page.locator("#run-problem")).to_have_text(reason)
    assert one.asked("/sim/singlezpb") == []


def test_a_point_beside_a_landing_is_chosen_and_its_flight_is_not(visit: Open, service: Service) -> None:
    one = visit()
    swept(one, service)
    one.page.get_by_title("Show this flight").first.click()
    x, y = one.centre(".landing-pin")
    one.page.get_by_title("Show this flight").first.click()
    expect(one.page.locator(".landing-pin")).to_have_count(0)
    one.use("Show everything")
    one.page.get_by_title("Show this flight").first.click()
    x, y = one.centre(".landing-pin")
    one.page.get_by_role("button", name="Choose a point", exact=True).click()
    # The tip of the pin is 11 px below its middle's anchor, on the landing's dot.
    one.press(x + 6, y + 4)
    expect(one.page.get_by_text("Distances are from your point")).to_be_visible()
    expect(one.page.locator(".landing-pin")).to_be_visible()


def test_launch_times_begin_at_the_launch_time_and_one_of_them_becomes_it(visit: Open, service: Service) -> None:
    one = visit().open(lat=PLACE[0], lon=PLACE[1])
    start = datetime.fromtimestamp(service.start, UTC)
    one.page.locator("#time-utc").fill(f"{start:%Y-%m-%dT%H:%M}")
    one.choose("sweep")
    expect(one.page.locator("#sweepFrom")).to_have_value(f"{start:%Y-%m-%dT%H:%M}")
    one.page.locator("#sweepMinutes").fill("360")
    one.fly("5 launch times")
    one.page.get_by_title("Show this flight").nth(3).click()
    title = one.page.locator("#result h2").nth(1).inner_text()
    one.page.get_by_role("button", name="Use this launch time").click()
    one.tab("Plan")
    chosen = datetime.strptime(title, "Launch %Y-%m-%d %H:%M UTC")
    expect(one.page.locator("#time-utc")).to_have_value(f"{chosen:%Y-%m-%dT%H:%M}")


class TestWind:
    def test_at_the_launch_is_where_the_launch_is_now(self, visit: Open) -> None:
        one = visit().open()
        for place in ("40, -100", "41, -101"):
            one.tab("Plan")
            one.page.locator("#place").fill(place)
            one.page.locator("#place").press("Enter")
            one.tab("Wind")
            one.page.get_by_role("button", name="At the launch").click()
            lat, lon = place.split(", ")
            expect(one.page.get_by_role("heading", name=f"Wind at {lat}.00000, {lon}.00000")).to_be_visible()

    @both_screens
    def test_the_wind_at_a_point_is_that_of_the_service(self, visit: Open, screen: Screen) -> None:
        one = visit(screen).open()
        x, y = one.centre(".launch-pin")
        one.use("Wind at a point")
        one.press(x + 30, y + 20)
        wind = one.page.locator("#wind")
        expect(wind.get_by_role("heading", name=re.compile("^Wind at "))).to_be_visible()
        # The launch stays where it was.
        assert one.launch_place() == PLACE
        (asked,) = one.asked("/sim/windprofile")
        profile = one.service.ask("/sim/windprofile", **asked)
        expect(wind).to_contain_text("21 members")
        plots, readouts = wind.locator(".chart-plot"), wind.locator(".chart-readout")
        expect(plots).to_have_count(2)
        expect(plots.first.locator("canvas")).to_be_visible()
        mean, altitudes = profile["mean"], profile["altitudes"]
        strongest = mean["speed"].index(max(mean["speed"]))
        expect(readouts.first).to_have_text(
            f"Strongest mean {mean['speed'][strongest]:.1f} m/s at {round(altitudes[strongest]):,} m"
        )
        plots.first.focus()
        for _ in range(4):
            one.page.keyboard.press("ArrowUp")
        at = f"at {round(altitudes[3]):,} m"
        expect(readouts.first).to_have_text(re.compile(f"^{mean['speed'][3]:.1f} m/s ± [\\d.]+ m/s {at}$"))
        expect(readouts.nth(1)).to_have_text(
            re.compile(f"^{round(mean['direction'][3]) % 360:03d}° \\w+ ± \\d+° {at}$")
        )

    def test_the_wind_at_the_launch_follows_the_launch_time(self, visit: Open, service: Service) -> None:
        one = visit().open()
        one.tab("Wind")
        one.page.get_by_role("button", name="At the launch").click()
        expect(one.page.get_by_role("heading", name="Wind at 37.35530, -121.87630")).to_be_visible()
        one.tab("Plan")
        one.page.get_by_role("button", name="+6 h").click()
        one.tab("Wind")
        one.wait(lambda: len(one.asked("/sim/windprofile")) > 1, "the wind of the new time")
        first, *_, last = (float(asked["timestamp"]) for asked in one.asked("/sim/windprofile"))
        assert last - first == 6 * 3600
