// The missions page: which view the address asks for, and who may see it.

// Before our own, which changes some of it.
import "leaflet/dist/leaflet.css";
import "../style.css";
import "./missions.css";
import { announce, byId, h, toast } from "../dom";
import { store, storedUnits } from "../stored";
import { applyTheme, themeButton } from "../theme";
import type { Units } from "../units";
import { accountView } from "./account";
import { adminView } from "./admin";
import { type App, reasonOf, sentence, type View } from "./app";
import { simulationView } from "./details";
import { historyView } from "./history";
import { Session } from "./session";
import { signIn } from "./signin";

interface Route {
  title: string;
  /** In the navigation; others are reached from elsewhere. */
  tab?: string;
  view: View;
  for: "all" | "users" | "admins";
}

/** Views with maps come when they are asked for. */
const later = (load: () => Promise<View>): View => {
  return async (root, app, signal, rest) => {
    const view = await load();
    if (!signal.aborted) await view(root, app, signal, rest);
  };
};

const ROUTES: Record<string, Route> = {
  simulations: { title: "Simulations", tab: "Simulations", view: simulationView, for: "users" },
  new: {
    title: "New flight",
    tab: "New flight",
    view: later(async () => (await import("./new")).newView),
    for: "users",
  },
  reverse: {
    title: "Plan backwards",
    tab: "Plan backwards",
    view: later(async () => (await import("./reverse")).reverseView),
    for: "users",
  },
  history: { title: "History", tab: "History", view: historyView, for: "users" },
  balloon: {
    title: "Size a balloon",
    tab: "Balloon",
    view: later(async () => (await import("./balloon")).balloonView),
    for: "all",
  },
  admin: { title: "Administration", tab: "Admin", view: adminView, for: "admins" },
  account: { title: "Your account", view: accountView, for: "users" },
};

applyTheme();
const session = new Session();
const app: App = {
  session,
  units: storedUnits(),
  go: (route) => {
    location.hash = route;
  },
};
const root = byId("view");
const nav = byId("nav");
const who = byId("who");
let leave = new AbortController();
let why = whySignIn(null);

/** `simulations` and the rest behind it, of `#/simulations/…`. */
function asked(): [name: string, rest: string] {
  const [, name = "", rest = ""] = /^#\/([a-z]+)(?:\/([^?]*))?/.exec(location.hash) ?? [];
  return [Object.hasOwn(ROUTES, name) ? name : "simulations", rest];
}

/** Why there is a form to sign in; `ended` is why the service knows the session no longer. */
function whySignIn(ended: string | null): string {
  if (ended === null) return "Simulations, searches and history are kept under your account.";
  return ended.includes("not active") ? sentence(ended) : "You are signed out; sign in to go on.";
}

function mayUse(route: Route): boolean {
  return route.for === "all" || (route.for === "users" ? session.user !== null : session.user?.is_admin === true);
}

function showNav(name: string): void {
  const links = Object.entries(ROUTES).filter(
    ([, { tab, for: whom }]) => tab && (whom !== "admins" || session.user?.is_admin),
  );
  nav.replaceChildren(
    ...links.map(([key, { tab }]) => h("a", { href: `#/${key}`, "aria-current": key === name ? "page" : null }, tab)),
  );
  who.hidden = session.user === null;
  who.textContent = session.user?.username ?? "";
  who.title = "Your account";
  who.setAttribute("aria-label", `Your account, ${session.user?.username}`);
  if (name === "account") who.setAttribute("aria-current", "page");
  else who.removeAttribute("aria-current");
}

async function show(): Promise<void> {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const [name, rest] = asked();
  const route = ROUTES[name]!;
  showNav(name);
  document.title = `${route.title} – HABSIM`;
  for (const open of document.querySelectorAll("dialog")) open.close();
  const page = h("div", { class: `view ${name}` });
  root.replaceChildren(page);
  root.scrollTop = 0;
  // On a narrow screen the whole page is scrolled.
  scrollTo(0, 0);
  if (!mayUse(route)) {
    if (session.user) page.append(h("p", { class: "empty" }, "Only administrators see this."));
    else signIn(page, app, why);
    return;
  }
  try {
    await route.view(page, app, signal, rest);
  } catch (error) {
    if (!signal.aborted) page.append(h("p", { class: "bad", role: "alert" }, reasonOf(error)));
  }
}

session.onChange = (ended) => {
  why = whySignIn(ended);
  void show();
  announce(session.user ? `Signed in as ${session.user.username}` : "Signed out");
};

addEventListener("hashchange", () => {
  void show();
  // Who follows a link with the keyboard goes on in what it leads to.
  root.focus({ preventScroll: true });
});

document.querySelector(".skip")!.addEventListener("click", (event) => {
  // The part of the address after # is the view.
  event.preventDefault();
  root.focus();
});

const unitSelect = byId<HTMLSelectElement>("units");
unitSelect.value = app.units;
unitSelect.addEventListener("change", () => {
  app.units = unitSelect.value as Units;
  store("units", app.units);
  void show();
});
byId("theme-place").replaceWith(themeButton());

try {
  await session.restore();
} catch (error) {
  toast(reasonOf(error));
}
void show();
