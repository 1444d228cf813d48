"""Flights over the antimeridian are drawn on one side of the world."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Open
from tests.page.visit import Service, Visit

PAINTED = """() => {
  let [least, most] = [Infinity, -Infinity];
  for (const canvas of document.querySelectorAll('.leaflet-overlay-pane canvas')) {
    const {width, height} = canvas, box = canvas.getBoundingClientRect();
    const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
    for (let i = 3; i < data.length; i += 4) {
      if (data[i] < 40) continue;
      const x = box.x + ((i >> 2) % width) * box.width / width;
      [least, most] = [Math.min(least, x), Math.max(most, x)];
    }
  }
  return [least, most];
}"""


def scale_metres(one: Visit) -> float:
    """The length of the scale bar."""
    text = one.page.locator(".leaflet-control-scale-line").first.inner_text()
    number, unit = text.split()
    return float(number) * {"m": 1, "km": 1000}[unit]


@pytest.mark.parametrize("run", ["single", "ensemble"])
@pytest.mark.parametrize("lon", [179.5, 179.95])
def test_a_flight_across_the_antimeridian_is_in_one_piece(visit: Open, service: Service, run: str, lon: float) -> None:
    title, end = {"single": ("Landing", ".landing-pin"), "ensemble": ("Mean landing", ".mean-pin")}[run]
    one = visit().open(lat=45, lon=lon, at=service.start, run=run, n=3)
    one.has_result(title)
    assert one.landing_place()[1] < -170, "the demo wind blows eastward at 45 N"
    box = one.page.locator("#map").bounding_box()
    assert box is not None
    launch, landing = one.centre(".launch-pin"), one.centre(end)
    assert box["x"] < launch[0] < landing[0] < box["x"] + box["width"]
    # Fitted to a flight of some 100 km, not to the world.
    assert scale_metres(one) <= 100_000
    # Nothing is painted to the west of the launch, nor to the eastern edge of the map.
    least, most = one.page.evaluate(PAINTED)
    assert launch[0] - 40 < least < most < box["x"] + box["width"] - 10
    if run == "ensemble":
        one.page.get_by_role("button", name="Zoom to the landings").click()
        labels = one.page.locator(".contour-label")
        expect(labels).to_have_count(4)
        for index in range(4):
            x, _ = one.centre(labels.nth(index))
            assert box["x"] < x < box["x"] + box["width"]


def test_a_longitude_of_0_to_360_is_the_same_place(visit: Open) -> None:
    one = visit().open()
    one.page.locator("#place").fill("37, 200")
    one.page.locator("#place").press("Enter")
    one.fly()
    assert one.launch_place() == (37, -160)
    box = one.page.locator("#map").bounding_box()
    assert box is not None
    for pin in (".launch-pin", ".landing-pin"):
        x, _ = one.centre(pin)
        assert box["x"] < x < box["x"] + box["width"]


def test_a_zone_across_the_antimeridian_holds_the_landings_in_it(visit: Open, service: Service) -> None:
    zone = "30,170_60,170_60,-165_30,-165"
    one = visit().open(lat=45, lon=179.5, at=service.start, run="ensemble", n=2, zone=zone)
    one.has_result("Mean landing")
    expect(one.page.locator(".zone-share strong")).to_have_text("100 %")


def test_the_launch_may_be_chosen_beyond_the_antimeridian(visit: Open) -> None:
    one = visit().open(lat=-17.8, lon=179.9)
    x, y = one.centre(".launch-pin")
    one.press(x + 80, y)
    expect(one.page.locator("#place")).to_have_value(re.compile(r"^-17\.\d+, -179\.\d+$"))
    pin = one.centre(".launch-pin")
    box = one.page.locator("#map").bounding_box()
    assert box is not None and box["x"] < pin[0] < box["x"] + box["width"]
