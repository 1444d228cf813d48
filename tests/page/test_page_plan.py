"""The plan: where and when the launch is, the balloon, the units, and what is refused before anything is sent."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Open
from tests.page.visit import DESKTOP, EARTH_PX, PHONE, START_ZOOM, Screen, Visit, mercator
from tests.page.visit import Projection as MapOnScreen

DEFAULT = (37.3553, -121.8763)
VIENNA = (48.2082, 16.3738)
both_screens = pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=lambda screen: screen.name)


def start_map(one: Visit) -> MapOnScreen:
    """The map as it is when the page opens: at its first zoom, under the launch's pin."""
    width = EARTH_PX * 2**START_ZOOM
    at = one.centre(".launch-pin")
    x, y = mercator(*DEFAULT)
    return MapOnScreen(at[0] - width * x, at[1] - width * y, width)


class TestPlace:
    @both_screens
    def test_a_click_on_the_map_sets_the_launch(self, visit: Open, screen: Screen) -> None:
        one = visit(screen).open()
        there = start_map(one)
        x, y = one.centre(".launch-pin")
        one.press(x + 60, y - 40)
        expect(one.page.locator("#place")).not_to_have_value("37.35530, -121.87630")
        # A pixel is 0.0055 degrees there.
        assert one.launch_place() == pytest.approx(there.coordinates(x + 60, y - 40), abs=0.006)
        assert one.centre(".launch-pin") == pytest.approx((x + 60, y - 40), abs=1.5)

    def test_the_launch_is_dragged(self, visit: Open) -> None:
        one = visit().open()
        there = start_map(one)
        x, y = one.centre(".launch-pin")
        mouse = one.page.mouse
        mouse.move(x, y)
        mouse.down()
        for step in range(1, 6):
            mouse.move(x - 20 * step, y + 12 * step)
        mouse.up()
        expect(one.page.locator("#place")).not_to_have_value("37.35530, -121.87630")
        assert one.launch_place() == pytest.approx(there.coordinates(x - 100, y + 60), abs=0.006)

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("48.2082, 16.3738", VIENNA),
            ("48°12.492'N 16°22.428'E", VIENNA),
            ("S33 52 10 E151 12 30", (-33.86944, 151.20833)),
        ],
    )
    def test_coordinates_are_typed_in_any_usual_form(self, visit: Open, text: str, place: tuple[float, float]) -> None:
        one = visit().open()
        field = one.page.locator("#place")
        field.fill(text)
        field.press("Enter")
        expect(field).to_have_attribute("aria-invalid", "false")
        # The map has gone there.
        x, y = one.centre(".launch-pin")
        box = one.page.locator("#map").bounding_box()
        assert box is not None
        assert box["x"] < x < box["x"] + box["width"] and box["y"] < y < box["y"] + box["height"]
        one.fly()
        asked = one.asked("/sim/singlezpb")[-1]
        assert (float(asked["lat"]), float(asked["lon"])) == pytest.approx(place, abs=1e-5)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [("95, 10", "latitude is 95, it must be -90..90"), ("home", "cannot be read"), ("12", "only one number")],
    )
    def test_wrong_coordinates_say_why_and_are_not_flown(self, visit: Open, text: str, reason: str) -> None:
        one = visit().open()
        field = one.page.locator("#place")
        field.fill(text)
        expect(field).to_have_attribute("aria-invalid", "false")
        one.page.locator("#fly").click()
        expect(one.page.locator("#place-note")).to_contain_text(reason)
        expect(one.page.locator("#run-problem")).to_contain_text(reason)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_be_focused()
        expect(field).to_have_value(text)
        assert one.asked("/sim/singlezpb") == []
        # A launch that is chosen on the map takes its place.
        x, y = one.centre(".launch-pin")
        one.press(x + 60, y - 40)
        expect(field).to_have_attribute("aria-invalid", "false")
        one.fly()

    def test_a_double_click_zooms_and_moves_nothing(self, visit: Open) -> None:
        one = visit().open(lat=45.1234567, lon=-100, alt=1500)
        x, y = one.centre(".launch-pin")
        before = one.page.locator(".leaflet-control-scale-line").first.inner_text()
        one.page.mouse.dblclick(x + 100, y - 80)
        expect(one.page.locator(".leaflet-control-scale-line").first).not_to_have_text(before)
        one.page.wait_for_timeout(600)
        expect(one.page.locator("#place")).to_have_value("45.12346, -100.00000")
        expect(one.page.locator("#alt")).to_have_value("1500")
        # Nor does Enter in coordinates that nobody has changed.
        one.page.locator("#place").press("Enter")
        expect(one.page.locator("#alt")).to_have_value("1500")

    def test_below_the_sea_the_flight_is_said_to_start_at_its_level(self, visit: Open) -> None:
        one = visit().open(lat=31.5, lon=35.47)
        ground = one.service.ask("/sim/elev", lat=31.5, lon=35.47)["elevation"]
        assert ground < -300
        expect(one.page.get_by_text("The ground is at")).to_have_text(
            f"The ground is at {round(ground)} m; the flight starts {round(-ground)} m above it"
        )

    def test_a_site_is_chosen_no_more_when_the_launch_has_moved(self, visit: Open) -> None:
        one = visit().open()
        one.page.get_by_role("button", name="Save", exact=True).click()
        one.page.get_by_role("dialog").get_by_role("textbox").fill("Home")
        one.page.get_by_role("dialog").get_by_role("button", name="Save").click()
        expect(one.page.locator("#sites")).to_have_value("0")
        one.page.locator("#place").fill("40, -100")
        one.page.locator("#place").press("Enter")
        expect(one.page.locator("#sites")).to_have_value("")
        one.page.locator("#sites").select_option("Home")
        expect(one.page.locator("#place")).to_have_value("37.35530, -121.87630")

    def test_ground_that_is_not_known_is_said(self, visit: Open) -> None:
        one = visit().open(lat=39.7, lon=-105)
        note = one.page.get_by_text(re.compile("The ground"))
        expect(note).to_contain_text("The ground is at")
        one.page.route("**/sim/elev*", lambda route: route.abort())
        one.expect_fault("ERR_FAILED")
        one.page.locator("#place").fill("40, -100")
        one.page.locator("#place").press("Enter")
        expect(note).to_have_text("The ground there is not known now")

    @pytest.mark.parametrize(
        "kept",
        [
            {"plan": '{"profile":"x"}', "sites": "{}", "units": '"furlong"', "theme": "7", "base": '"toString"'},
            {"plan": '"profile=x&asc=nan&run=7"', "sites": "[null]", "units": "null", "base": "[]"},
            {"plan": "null", "sites": '[{"name":1}]', "units": "{", "theme": "", "base": '"none"'},
        ],
    )
    def test_what_another_version_of_the_page_has_kept_does_no_harm(self, visit: Open, kept: dict[str, str]) -> None:
        one = visit().open()
        one.page.evaluate("(kept) => { for (const k in kept) localStorage.setItem('habsim.' + k, kept[k]); }", kept)
        one.page.reload()
        expect(one.page.locator("#service-text")).to_have_text("Demo winds")
        one.fly()

    def test_the_position_of_the_device_is_used(self, visit: Open) -> None:
        one = visit(
            PHONE, permissions=["geolocation"], geolocation={"latitude": VIENNA[0], "longitude": VIENNA[1]}
        ).open()
        one.page.get_by_role("button", name="Use my position").tap()
        expect(one.page.locator("#place")).to_have_value("48.20820, 16.37380")

    def test_a_refused_position_is_said_in_words(self, visit: Open) -> None:
        one = visit(PHONE)
        one.context.clear_permissions()
        one.open()
        one.page.get_by_role("button", name="Use my position").tap()
        expect(one.page.locator("#place-note")).to_contain_text("position may not be used")
        expect(one.page.locator("#place")).to_have_value("37.35530, -121.87630")

    def test_sites_are_saved_chosen_after_a_reload_and_deleted(self, visit: Open) -> None:
        one = visit().open(lat=VIENNA[0], lon=VIENNA[1], alt=300)
        page = one.page
        page.get_by_role("button", name="Save", exact=True).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox").fill("Home field")
        dialog.get_by_role("button", name="Save").click()
        expect(page.locator("#sites option")).to_have_text(["Saved sites", "Home field"])
        one.open(lat=1, lon=2)
        page.reload()
        expect(page.locator("#place")).to_have_value("1.00000, 2.00000")
        page.locator("#sites").select_option("Home field")
        expect(page.locator("#place")).to_have_value("48.20820, 16.37380")
        expect(page.locator("#alt")).to_have_value("300")
        page.get_by_role("button", name="Delete the saved site").click()
        expect(page.locator("#sites option")).to_have_count(1)
        page.reload()
        expect(page.locator("#sites option")).to_have_text(["No saved sites yet"])

    def test_the_ground_at_the_launch_is_said(self, visit: Open) -> None:
        one = visit().open(lat=39.7, lon=-105.0)
        ground = one.service.ask("/sim/elev", lat=39.7, lon=-105.0)["elevation"]
        assert ground > 1000
        note = one.page.get_by_text("The ground is at")
        expect(note).to_have_text(f"The ground is at {round(ground):,} m; the flight starts on it")
        one.page.locator("#alt").fill(str(round(ground) + 500))
        expect(note).to_contain_text("the flight starts 500 m above it")


class TestTime:
    def test_utc_and_local_time_are_in_step(self, visit: Open) -> None:
        one = visit().open()
        utc, local = (one.page.locator(f"#time-{zone}") for zone in ("utc", "local"))
        zone = ZoneInfo("America/Los_Angeles")
        moment = datetime.fromtimestamp(one.service.start, UTC)
        utc.fill(f"{moment:%Y-%m-%dT%H:%M}")
        expect(local).to_have_value(f"{moment.astimezone(zone):%Y-%m-%dT%H:%M}")
        expect(one.page.locator("label[for=time-local]")).to_contain_text("Los Angeles")
        local.fill("2026-07-01T06:30")
        expect(utc).to_have_value("2026-07-01T13:30")
        one.page.get_by_role("button", name="+6 h").click()
        expect(utc).to_have_value("2026-07-01T19:30")
        expect(local).to_have_value("2026-07-01T12:30")

    def test_a_year_is_typed_digit_by_digit(self, visit: Open) -> None:
        one = visit().open(lat=40, lon=-100)
        utc = one.page.locator("#time-utc")
        utc.focus()
        for key in ("Tab", "Tab", *"2027"):
            one.page.keyboard.press(key)
        expect(utc).to_have_value(re.compile("^2027-"))

    def test_now_is_the_present_minute(self, visit: Open) -> None:
        one = visit().open(at=one_day())
        one.page.get_by_role("button", name="Now", exact=True).click()
        utc = one.page.locator("#time-utc")
        expect(utc).not_to_have_value(one_day())
        shown = datetime.fromisoformat(utc.input_value()).replace(tzinfo=UTC)
        assert abs((datetime.now(UTC) - shown).total_seconds()) < 600

    def test_what_the_winds_cover_is_shown_and_a_time_outside_is_refused_unsent(self, visit: Open) -> None:
        one = visit().open()
        covers = one.service.ask("/sim/status")["covers"]
        first, last = (datetime.fromisoformat(covers[end]).strftime("%Y-%m-%d %H:%M UTC") for end in ("from", "to"))
        expect(one.page.get_by_text(f"Winds cover {first} to {last}")).to_be_visible()
        one.page.locator("#time-utc").fill("2031-01-01T00:00")
        reason = f"Launch is at 2031-01-01 00:00 UTC; the winds cover {first} to {last}"
        expect(one.page.locator("#time-utc-note")).to_have_text(reason)
        one.page.locator("#fly").click()
        expect(one.page.locator("#run-problem")).to_have_text(reason)
        expect(one.page.locator("#time-utc")).to_be_focused()
        assert one.asked("/sim/singlezpb") == []


def one_day() -> str:
    return "2026-11-01T00:00"


class TestBalloon:
    @pytest.mark.parametrize(
        ("text", "sent"),
        [("30,500", 30500), ("25 500", 25500), ("28.000", 28000), ("30500.75", 30500.75), ("21000 m", 21000)],
    )
    def test_thousands_may_be_set_apart(self, visit: Open, text: str, sent: float) -> None:
        one = visit().open(lat=40, lon=-40)
        one.page.locator("#burst").fill("")
        one.page.locator("#burst").press_sequentially(text)
        expect(one.page.locator("#burst")).to_have_value(text)
        one.fly()
        assert float(one.asked("/sim/singlezpb")[-1]["equil"]) == sent

    @both_screens
    def test_each_profile_shows_its_fields_only(self, visit: Open, screen: Screen) -> None:
        one = visit(screen).open()
        fields = {
            "standard": ["asc", "burst", "desc"],
            "zpb": ["asc", "float", "floatHours", "desc"],
            "float": ["asc", "float", "floatHours"],
        }
        for profile, names in fields.items():
            one.choose(profile)
            for name in ("asc", "burst", "desc", "float", "floatHours"):
                expect(one.page.locator(f"#{name}")).to_be_visible(visible=name in names)

    @pytest.mark.parametrize(
        ("profile", "typed", "sent", "title"),
        [
            ("standard", {"asc": "6.5", "burst": "28000", "desc": "7"}, {"equil": 28000, "eqtime": 0}, "Landing"),
            (
                "zpb",
                {"asc": "6.5", "float": "21000", "floatHours": "1.5", "desc": "7"},
                {"equil": 21000, "eqtime": 1.5},
                "Landing",
            ),
            (
                "float",
                {"asc": "6.5", "float": "19000", "floatHours": "3"},
                {"equil": 19000, "eqtime": 3},
                "End of the flight",
            ),
        ],
    )
    def test_what_is_typed_is_what_flies(
        self, visit: Open, profile: str, typed: dict[str, str], sent: dict[str, float], title: str
    ) -> None:
        one = visit().open()
        one.choose(profile)
        for name, value in typed.items():
            one.page.locator(f"#{name}").fill(value)
        one.fly(title)
        asked = one.asked("/sim/singlezpb")[-1]
        assert asked["profile"] == profile
        wanted = {**sent, "asc": 6.5, **({"desc": 7.0} if "desc" in typed else {})}
        assert {name: float(asked[name]) for name in wanted} == wanted

    @pytest.mark.parametrize(
        ("field", "value", "reason"),
        [
            ("asc", "50", r"Ascent rate is 50 m/s, it must be 0\.1 (m/s )?to 20 m/s"),
            ("desc", "0", r"Descent rate is 0 m/s, it must be 0\.1 (m/s )?to 20 m/s"),
            ("burst", "60000", r"Burst altitude is 60,000 m, it must be 0 (m )?to 49,999 m"),
            ("burst", "high", "Burst altitude needs a number"),
        ],
    )
    def test_a_value_out_of_range_says_its_limit_and_is_not_sent(
        self, visit: Open, field: str, value: str, reason: str
    ) -> None:
        one = visit().open()
        one.page.locator(f"#{field}").fill(value)
        note = one.page.locator(f"#{field}-note")
        expect(note).to_have_text(re.compile(reason))
        expect(one.page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
        one.page.locator("#fly").click()
        expect(one.page.locator("#run-problem")).to_have_text(re.compile(reason))
        expect(one.page.locator(f"#{field}")).to_be_focused()
        assert one.asked("/sim/singlezpb") == []

    def test_a_burst_below_the_launch_is_refused_in_words(self, visit: Open) -> None:
        one = visit().open()
        one.page.locator("#alt").fill("20000")
        one.page.locator("#burst").fill("15000")
        expect(one.page.locator("#burst-note")).to_have_text("Burst altitude is 15,000 m, below the launch at 20,000 m")
        one.page.locator("#fly").click()
        expect(one.page.locator("#run-problem")).to_contain_text("below the launch")
        assert one.asked("/sim/singlezpb") == []


class TestUnits:
    def test_values_are_converted_and_units_remembered(self, visit: Open) -> None:
        one = visit().open()
        expect(one.page.locator("#burst")).to_have_value("30000")
        one.page.locator("#units").select_option("Imperial")
        expect(one.page.locator("#burst")).to_have_value(f"{30000 / 0.3048:.0f}")
        expect(one.page.locator("#asc")).to_have_value(f"{5 / 0.3048 * 60:.0f}")
        one.page.reload()
        expect(one.page.locator("#units")).to_have_value("imperial")
        one.page.locator("#burst").fill("60000")
        one.fly()
        assert float(one.asked("/sim/singlezpb")[-1]["equil"]) == pytest.approx(60000 * 0.3048, abs=0.01)
        highest = one.page.locator("#result dt", has_text="Highest").locator("+ dd")
        expect(highest).to_have_text("60,000 ft")
        one.page.locator("#units").select_option("Metric")
        expect(highest).to_have_text(f"{math.floor(60000 * 0.3048 + 0.5):,} m")
