"""The map page in a browser, as its user has it: where things are on it, what it asked the service, what went wrong."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, Route, expect

from habsim import landing
from tests.serving import HOST, ROOT, Server

AXE = ROOT / "www" / "node_modules" / "axe-core" / "axe.min.js"
ARTEFACTS = ROOT / ".test-artefacts"
# Generous: what waits for it is a page on a machine that runs other tests too.
PATIENCE_MS = 30_000.0
EARTH_PX = 256  # of the map's width at zoom 0
START_ZOOM = 8

Theme = Literal["light", "dark"]
Json = Any


@dataclass(frozen=True)
class Screen:
    """What the page is looked at with."""

    name: str
    width: int
    height: int
    touch: bool = False


SMALL = Screen("small", 360, 740, touch=True)
PHONE = Screen("phone", 390, 844, touch=True)
DESKTOP = Screen("desktop", 1366, 820)


@dataclass(frozen=True)
class Service:
    """A running service and what it flies on."""

    server: Server
    address: str

    def ask(self, path: str, **parameters: object) -> Json:
        """The JSON answer of the service to the same question that a page asks."""
        query = "?" + urlencode({name: str(value) for name, value in parameters.items()}) if parameters else ""
        answer = self.server.get(path + query)
        assert answer.status == 200, answer.body
        return answer.json

    @property
    def start(self) -> int:
        """A day into what the winds cover, Unix seconds, on the hour."""
        covers = self.ask("/sim/status")["covers"]
        return int(datetime.fromisoformat(covers["from"]).timestamp()) + 24 * 3600


@dataclass
class Held:
    """Requests that wait in the browser until the test lets them go."""

    routes: list[Route] = field(default_factory=list)
    is_open: bool = False

    def take(self, route: Route) -> None:
        if self.is_open:
            route.continue_()
        else:
            self.routes.append(route)

    def release(self) -> None:
        self.is_open = True
        for route in self.routes:
            # Those that the page gave up are gone.
            with contextlib.suppress(Exception):
                route.continue_()


# The width of the world at zoom 0.
TILE_PX = 256


class Visit:
    """One open page. At the end of a test it must have logged no error and asked no other host."""

    def __init__(self, context: BrowserContext, screen: Screen, theme: Theme, service: Service, address: str) -> None:
        self.context = context
        self.screen = screen
        self.theme = theme
        self.service = service
        self.address = address
        self.requests: list[str] = []
        self.faults: list[str] = []
        self._expected: list[str] = []
        context.set_default_timeout(PATIENCE_MS)
        context.on("request", self._see)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))
        self.page: Page = context.new_page()

    # --- What the browser says

    def _see(self, request: Request) -> None:
        self.requests.append(request.url)
        if not request.url.startswith((self.address + "/", "data:", "blob:")):
            self.faults.append(f"asked another host: {request.url}")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def expect_fault(self, pattern: str) -> None:
        """A fault that belongs to the test, such as a server that is stopped."""
        self._expected.append(pattern)

    def surprises(self) -> list[str]:
        return [one for one in self.faults if not any(re.search(pattern, one) for pattern in self._expected)]

    def asked(self, path: str) -> list[dict[str, str]]:
        """The parameters of all requests to a path so far."""
        return [dict(parse_qsl(urlsplit(url).query)) for url in self.requests if urlsplit(url).path == path]

    def hold(self, path: str) -> Held:
        """Keep requests to `path` waiting until `release`."""
        held = Held()
        self.page.route(f"**{path}*", held.take)
        return held

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until what is no element is so; the page goes on meanwhile."""
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not condition():
            assert time.monotonic() < deadline, f"waited for {what}"
            self.page.wait_for_timeout(30)

    # --- Go there

    def open(self, **link: object) -> Visit:
        """Open the page, with a plan in the link if there are parameters, and wait until it knows the service."""
        self.page.goto(f"{self.address}/{plan_hash(**link)}")
        expect(self.page.locator("#service-text")).not_to_have_text("Connecting")
        return self

    def fly(self, title: str = "Landing") -> None:
        """Press Fly and wait for a result with this title."""
        self.page.locator("#fly").click()
        self.has_result(title)

    def has_result(self, title: str) -> None:
        expect(self.page.locator("#result").get_by_role("heading", name=title, exact=True)).to_be_visible()

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def choose(self, name: str) -> None:
        """Choose a profile or a mode by the end of its id, such as `zpb` or `ensemble`."""
        self.page.locator(f"label[for$='-{name}']").click()

    def use(self, tool: str) -> None:
        self.page.get_by_role("toolbar", name="Map tools").get_by_role("button", name=tool).click()

    # --- The map

    def centre(self, place: str | Locator) -> tuple[float, float]:
        """Where the middle of an element is on the screen."""
        locator = self.page.locator(place) if isinstance(place, str) else place
        expect(locator).to_be_visible()
        box = locator.bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def press(self, x: float, y: float) -> None:
        """Click, or tap with a finger."""
        if self.screen.touch:
            self.page.touchscreen.tap(x, y)
            # Leaflet takes two taps within 0.2 s for a double tap, wherever they are.
            self.page.wait_for_timeout(250)
        else:
            self.page.mouse.click(x, y)

    def launch_place(self) -> tuple[float, float]:
        """The coordinates of the launch, as the form has them."""
        lat, lon = self.page.locator("#place").input_value().split(",")
        return float(lat), float(lon)

    def landing_place(self) -> tuple[float, float]:
        """The coordinates over the result."""
        lat, lon = self.page.locator("#result .place code").inner_text().split(",")
        return float(lat), float(lon)

    def projection(self, marks: dict[str, tuple[float, float]]) -> Projection:
        """How the map lies on the screen, from two pins (selector -> latitude, longitude)."""
        (a, place_a), (b, place_b) = ((self.centre(pin), place) for pin, place in marks.items())
        ends = [mercator(*place) for place in (place_a, place_b)]
        # Pins stand on whole pixels, which is far from exact where they are close together; zooms come in halves.
        zoom = round(2 * math.log2(math.dist(a, b) / math.dist(*ends) / TILE_PX)) / 2
        width = TILE_PX * 2**zoom
        x0, y0 = ((a[i] + b[i] - width * (ends[0][i] + ends[1][i])) / 2 for i in (0, 1))
        return Projection(x0, y0, width)

    def painted(self) -> str:
        """What the layers of results have painted over the map, to compare."""
        picture: str = self.page.evaluate(
            """() => [...document.querySelectorAll('#map canvas')].filter((c) => !c.closest('.leaflet-tile-container'))
            .map((canvas) => canvas.toDataURL()).join()"""
        )
        return picture

    def colour_at(self, x: float, y: float) -> list[int]:
        """Red, green, blue and opacity of what results have painted at a place on the screen."""
        rgba: list[int] = self.page.evaluate(
            """([x, y]) => {
              const canvas = document.querySelector('.leaflet-overlay-pane canvas');
              const box = canvas.getBoundingClientRect();
              const size = canvas.width / box.width;
              return [...canvas.getContext('2d').getImageData((x - box.x) * size, (y - box.y) * size, 1, 1).data];
            }""",
            [x, y],
        )
        return rgba

    # --- What it looks like

    def keep(self, group: str) -> None:
        """Keep a picture of the page."""
        ARTEFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTEFACTS / f"{self.screen.name}-{self.theme}-{group}.png")

    def violations(self) -> list[str]:
        """What axe-core finds that is serious or critical."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")["violations"]
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    def overflow_px(self) -> int:
        """How much wider than the screen the page is."""
        width: int = self.page.evaluate(
            """() => Math.max(...['html', 'body', 'main'].map((name) => document.querySelector(name).scrollWidth))"""
        )
        # The window itself grows with what sticks out of the page, on a phone.
        return width - self.screen.width


@dataclass(frozen=True)
class Projection:
    """Web Mercator on the screen: `x0` and `y0` of its north-western corner, and its width, px."""

    x0: float
    y0: float
    width: float

    def place(self, lat: float, lon: float) -> tuple[float, float]:
        """Where a place is on the screen."""
        x, y = mercator(lat, lon)
        return self.x0 + self.width * x, self.y0 + self.width * y

    def coordinates(self, x: float, y: float) -> tuple[float, float]:
        """Latitude and longitude of a place on the screen."""
        lon = ((x - self.x0) / self.width - 0.5) * 360
        lat = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * (y - self.y0) / self.width))))
        return lat, lon


def mercator(lat: float, lon: float) -> tuple[float, float]:
    """The place in a world of width 1."""
    phi = math.radians(lat)
    return lon / 360 + 0.5, 0.5 - math.log(math.tan(math.pi / 4 + phi / 2)) / (2 * math.pi)


def plan_hash(**link: object) -> str:
    """The part of a link after the address. `at` may be Unix seconds."""
    parts = dict(link)
    for name in ("at", "from_", "to"):
        if isinstance(parts.get(name), int):
            moment = datetime.fromtimestamp(int(str(parts.pop(name))), UTC)
            parts[name.rstrip("_")] = moment.strftime("%Y-%m-%dT%H:%MZ")
    return "#" + "&".join(f"{name}={value}" for name, value in parts.items()) if parts else ""


def share_inside(corners: list[tuple[float, float]], spaceshot: Json) -> float:
    """The weighted share of an ensemble's landings inside a zone of (latitude, longitude) corners."""
    rows = spaceshot["heatmap_data"]
    ring = [[lon, lat] for lat, lon in [*corners, corners[0]]]
    columns = ([row[name] for row in rows] for name in ("lat", "lon", "weight"))
    return landing.probability_inside([ring], *columns)


def percent(share: float) -> str:
    """As the page says it."""
    if 0 < share < 0.01:
        return "<1 %"
    if 0.99 < share < 1:
        return ">99 %"
    return f"{math.floor(share * 100 + 0.5)} %"


def duration(seconds: float) -> str:
    """As the page says it, for a minute and more."""
    minutes = math.floor(seconds / 60 + 0.5)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def downloaded(visit: Visit, format_name: str) -> str:
    """The text of a file that is taken away."""
    with visit.page.expect_download() as started:
        visit.page.get_by_role("button", name=format_name, exact=True).click()
    return Path(started.value.path()).read_text(encoding="utf-8")


def address_of(server: Server) -> str:
    return f"http://{HOST}:{server.port}"
