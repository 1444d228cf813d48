"""The map page in headless Chromium: how soon it is usable, how large it is, how fast it draws and moves."""

from __future__ import annotations

import re
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from bench.service import DEMO_NOW, ROOT, Server
from bench.table import Row
from scripts import demo_cycle

STARTS = 7
RUNS = 7
_DIST = ROOT / "www" / "dist"
_SIZE: ViewportSize = {"width": 1366, "height": 820}
# The policy of the page forbids what Playwright waits with: it is put aside.
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

# Frames from one call to the next, as [frames/s, longest in ms].
_COUNT_FRAMES = """() => {
  const times = [];
  let counting = true;
  const tick = (time) => { times.push(time); if (counting) requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
  window.countedFrames = () => {
    counting = false;
    const longest = Math.max(...times.slice(1).map((time, i) => time - times[i]));
    return [1000 * (times.length - 1) / (times.at(-1) - times[0]), longest];
  };
}"""


def rows(data_dir: Path) -> Iterator[Row]:
    """Rows of the table; needs the page (`make page`), Chromium and the ground elevation of `data_dir`."""
    elevation, chromium = data_dir / "elevation.npz", shutil.which("chromium")
    for there, what in (
        (elevation.exists(), "ground elevation; `make setup` makes it"),
        ((_DIST / "index.html").exists(), "map page; `make page` builds it"),
        (chromium is not None, "Chromium"),
    ):
        if not there:
            yield Row(f"skipped: there is no {what}", "")
            return
    bucket = data_dir / "bench" / "demo"
    demo_cycle.make_if_needed(bucket, DEMO_NOW)
    yield Row("script and style, gzip", f"{_compressed_bytes() / 1e3:.1f} kB", "<= 120 kB")
    with tempfile.TemporaryDirectory(prefix="habsim-bench-") as folder, sync_playwright() as playwright:
        server = Server(bucket, elevation, Path(folder))
        browser = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        try:
            yield from _of_page(browser, f"http://127.0.0.1:{server.port}/")
        finally:
            browser.close()
            server.stop()


def _compressed_bytes() -> int:
    """What the map page asks for when it is opened; other pages and what a button brings do not count."""
    names = re.findall(r'(?:src|href)="/page/(assets/[^"]+\.(?:js|css))"', (_DIST / "index.html").read_text("utf-8"))
    return sum((_DIST / f"{name}.gz").stat().st_size for name in names)


def _of_page(browser: Browser, address: str) -> Iterator[Row]:
    starts = [_start(browser, address) for _ in range(STARTS)]
    for what, mark in (("can be used", "usable"), ("has drawn its map", "map")):
        median = statistics.median(start[mark] for start in starts)
        yield Row(f"load until the page {what}, nothing cached", f"{median:.0f} ms", "<= 1000 ms")
    page = browser.new_page(viewport=_SIZE, bypass_csp=True)
    page.goto(address)
    page.wait_for_function("performance.getEntriesByName('habsim:map').length")
    page.locator("label[for=mode-ensemble]").click()
    page.locator("#perturbations").fill("100")
    for run in range(RUNS):
        page.locator("#tab-plan").click()
        page.locator("#fly").click()
        page.wait_for_function(f"performance.getEntriesByName('habsim:drawn').length > {run}")
    drawn = page.evaluate("performance.getEntriesByName('habsim:drawn').map((entry) => entry.duration)")
    yield Row("21 paths, 2,121 landings, heat map and contours, answer to drawn", _ms(drawn), "<= 150 ms")
    for what, move in (("pan", _pan), ("zoom", _zoom)):
        page.evaluate(_COUNT_FRAMES)
        move(page)
        rate, longest = page.evaluate("window.countedFrames()")
        yield Row(
            f"{what} with them on screen (longest frame {longest:.0f} ms)", f"{rate:.0f} frames/s", ">= 30 frames/s"
        )


def _start(browser: Browser, address: str) -> dict[str, float]:
    """Milliseconds from the navigation to each mark of the page, in a new browser profile."""
    context = browser.new_context(viewport=_SIZE, bypass_csp=True)
    page = context.new_page()
    page.goto(address)
    page.wait_for_function("performance.getEntriesByName('habsim:map').length")
    marks = page.evaluate("performance.getEntriesByType('mark').map((mark) => [mark.name, mark.startTime])")
    context.close()
    return {name.removeprefix("habsim:"): time for name, time in marks}


def _pan(page: Page) -> None:
    page.mouse.move(500, 400)
    page.mouse.down()
    for step in [*range(30), *range(30, 0, -1)]:
        page.mouse.move(500 + 6 * step, 400 + 2 * step)
    page.mouse.up()
    page.wait_for_timeout(300)


def _zoom(page: Page) -> None:
    for step in range(6):
        page.mouse.wheel(0, -200 if step % 2 else 200)
        page.wait_for_timeout(350)


def _ms(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} ms, first {times[0]:.0f}"
