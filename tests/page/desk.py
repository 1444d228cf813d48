"""The missions page as its user has it: signing in, and what stands on it."""

from __future__ import annotations

import itertools

from playwright.sync_api import Locator, expect

from tests.page.visit import Visit

PASSWORD = "a long password"
SHORT_PASSWORD, WRONG_PASSWORD = "short", "not the password"
_NUMBERS = itertools.count(1)


class Desk:
    """The missions page in a visit."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.page = visit.page
        self.username = ""

    def go(self, route: str) -> Desk:
        """Open a route, such as `/simulations`."""
        self.page.goto(f"{self.visit.address}/missions#{route}")
        expect(self.page.locator("#view .view")).to_be_visible()
        return self

    def register(self, prefix: str = "user") -> Desk:
        """Register somebody new, who is then signed in."""
        self.go("/simulations")
        self.username = f"{prefix}-{next(_NUMBERS)}"
        self.page.get_by_role("button", name="Register").click()
        self.fill(Username=self.username, Email=f"{self.username}@example.org", Password=PASSWORD)
        self.page.get_by_role("button", name="Register", exact=True).click()
        expect(self.page.locator("#who")).to_have_text(self.username)
        return self

    def sign_in(self, username: str, password: str = PASSWORD) -> Desk:
        self.fill(Username=username, Password=password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        return self

    def fill(self, **values: str) -> None:
        """Fill fields by their labels, underscores being spaces."""
        for label, value in values.items():
            self.page.get_by_label(label.replace("_", " "), exact=True).fill(value)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def search(self, name: str, **values: str) -> Desk:
        """Search on a coarse grid, with `values` in the form, and wait for what is found."""
        self.go("/reverse")
        expect(self.page.locator(".size")).to_contain_text("flights")
        self.fill(Spacing="25", **values)
        self.page.get_by_label("Name", exact=True).last.fill(name)
        self.press("Search")
        expect(self.page.get_by_role("heading", name=name)).to_be_visible()
        expect(self.page.locator(".launches table")).to_be_visible()
        return self

    def more_launches(self) -> None:
        self.page.get_by_role("button", name="More of the other").click()

    def row(self, name: str) -> Locator:
        """The row of a table that holds a text."""
        return self.page.get_by_role("row").filter(has_text=name)

    def wrong(self, group: str) -> list[str]:
        """Keep a picture of the view, and say what is wrong with it."""
        # All of it, not what fits the window.
        self.visit.keep(f"missions-{group}")
        found = self.visit.violations()
        if self.visit.overflow_px() > 0:
            found.append(f"{self.visit.overflow_px()} px wider than the screen")
        wide: list[str] = self.page.evaluate(
            """() => [...document.querySelectorAll('#view *')].filter((e) => {
              const box = e.getBoundingClientRect();
              const isWide = box.width > 0 && box.right > document.documentElement.clientWidth + 1;
              return isWide && !e.closest('.scroll-x, .scroll, .bars, .map, pre');
            }).slice(0, 5).map((e) => e.outerHTML.slice(0, 100))"""
        )
        return [f"{group}: {text}" for text in [*found, *wide]]
