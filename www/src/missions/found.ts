// The result of a search: the best launch times, the places on a map, and the best launches in a table.

import L from "leaflet";
import { cssColour, rampColour } from "../colours";
import { announce, h } from "../dom";
import { type Format, write } from "../export";
import { pin } from "../pin";
import { DEFAULT_PLAN } from "../plan";
import { encodePlan } from "../share";
import { onTheme, theme } from "../theme";
import { formatAltitude, formatDistance, formatUtc, formatUtcShort } from "../units";
import { type App, attempt, problemLine, reasonOf, type Simulation, secondsOf, sentence } from "./app";
import {
  type Candidate,
  cutText,
  type Found,
  fileName,
  type Launch,
  percentText,
  reachedText,
  scaleTop,
  shownTimes,
  takeawayOf,
} from "./launches";
import { near, PlaceMap } from "./placemap";
import { type Draft, draftFrom, planOfLaunch } from "./searches";
import { boundsOf, drawSearch, zonesOf } from "./searchmap";
import { type Column, table, tableRow } from "./table";

const PER_PAGE = 20;
const MOST_OF_FILE = 1000;
const MOST_TIMES = 200;
const WHOSE_PROBABILITY =
  "Probabilities are over the members' winds; each balloon bursts and climbs as computed. " +
  "Fly the ensemble to see how its own scatter adds.";

/** Shows what a search has found. Raises what `Session.ask` raises. */
export async function showFound(root: HTMLElement, app: App, one: Simulation, signal: AbortSignal): Promise<void> {
  const path = `reverse/plan/${one.id}/results`;
  const ask = (parameters: Record<string, string>) =>
    app.session.ask<Found>("GET", `${path}?${new URLSearchParams(parameters)}`, undefined, signal);
  const found = await ask({ limit: String(PER_PAGE) });
  if (!signal.aborted) new FoundView(root, app, one, found, ask, signal);
}

class FoundView {
  readonly #search: Draft | null;
  readonly #area: Draft["area"];
  readonly #map: PlaceMap;
  readonly #places = L.layerGroup();
  readonly #zone = L.layerGroup();
  readonly #chosen = L.layerGroup();
  readonly #legend = h("div", { class: "legend" });
  readonly #table = h("div", { class: "scroll-x launches" });
  readonly #more = h("div", { class: "row" });
  readonly #about = h("p", { class: "about", role: "status" });
  readonly #bars = h("div", {
    class: "bars",
    role: "group",
    "aria-label": "Probability of the best launch at each launch time",
  });
  readonly #problem = problemLine("found-problem");
  #found: Found;
  #candidates: Candidate[];
  #picked: string | null = null;

  constructor(
    root: HTMLElement,
    readonly app: App,
    readonly one: Simulation,
    readonly first: Found,
    readonly ask: (parameters: Record<string, string>) => Promise<Found>,
    readonly signal: AbortSignal,
  ) {
    this.#found = first;
    this.#candidates = first.candidates;
    this.#search = draftFrom(one.config);
    this.#area = zonesOf(one.config).area;
    this.#map = new PlaceMap("Map of the launch places", this.#area, 7, signal);
    this.#map.choosing = null;
    this.#map.root.append(this.#legend);
    for (const layer of [this.#zone, this.#places, this.#chosen]) layer.addTo(this.#map.map);
    this.#map.onFit = () => this.#fit();
    onTheme(() => this.#draw(), signal);
    root.replaceChildren(
      this.#figures(),
      ...(this.#isHopeless ? [] : [h("p", { class: "note" }, WHOSE_PROBABILITY)]),
      ...this.#notes(),
      this.#problem,
      h(
        "div",
        { class: "split found-split" },
        h("div", { class: "stack" }, this.#isHopeless ? null : this.#times(), this.#launches()),
        this.#map.root,
      ),
    );
    this.#showBars();
    this.#show();
    this.#fit();
  }

  // The whole

  /** No launch reaches the zone: there are none to rank, only some that come nearer than others. */
  get #isHopeless(): boolean {
    return this.first.flights.hits === 0;
  }

  #times(): HTMLElement {
    return h(
      "section",
      { class: "card" },
      h("h3", {}, "Launch times"),
      this.#bars,
      h("p", { class: "note" }, "The best launch of each time; choose one to see its places and launches."),
    );
  }

  #launches(): HTMLElement {
    return h(
      "section",
      { class: "card" },
      h("h3", {}, this.#isHopeless ? "Nearest launches" : "Best launches"),
      this.#about,
      this.#table,
      this.#more,
      h(
        "p",
        { class: "note" },
        ...(this.#isHopeless
          ? []
          : ["Score: mean of the members, 1 through the centre of the zone, 0.5 at its edge, 0 for a miss. "]),
        "Closest: the member that comes nearest to the centre of the zone, when and how high.",
      ),
      this.#files(),
    );
  }

  #figures(): HTMLElement {
    const { flights, launch_times, places, members, candidates } = this.first;
    const best = candidates[0];
    const figure = (label: string, value: string) =>
      h("div", { class: "figure" }, h("span", { class: "note" }, label), h("strong", {}, value));
    const when = best ? formatUtcShort(secondsOf(best.time)) : "–";
    return h(
      "div",
      { class: "figures small" },
      ...(this.#isHopeless
        ? []
        : [figure("Best probability", best ? percentText(best.probability) : "–"), figure("Best launch", when)]),
      figure("Places", places.toLocaleString("en")),
      figure("Launch times", launch_times.length.toLocaleString("en")),
      figure("Members", members.length.toLocaleString("en")),
      figure("Flights", flights.asked.toLocaleString("en")),
    );
  }

  #notes(): HTMLElement[] {
    const { warnings, flights, failed_members, candidates } = this.first;
    const texts = [
      ...warnings.map(sentence),
      ...flights.lost.map(
        ({ reason, flights: count }) => `${count.toLocaleString("en")} flights cannot be judged: ${reason}`,
      ),
      ...failed_members.map(({ model_id, reason }) => `Member ${model_id} could not be flown: ${reason}`),
      ...(candidates.length ? [] : ["There is nothing to show"]),
    ];
    return [
      ...(this.#isHopeless ? [h("p", { class: "headline" }, "No launch reaches the zone")] : []),
      ...(texts.length ? [h("ul", { class: "warnings" }, ...texts.map((text) => h("li", {}, text)))] : []),
    ];
  }

  // Launch times

  #showBars(): void {
    const times = shownTimes(this.first.launch_times, MOST_TIMES);
    const top = scaleTop(Math.max(0, ...times.map(({ best }) => best.probability)));
    const buttons = times.map(({ time, rank, best, places }) => {
      const share = best.probability / top;
      const reached = `rank ${rank}, ${places} ${places === 1 ? "place reaches" : "places reach"} it`;
      const bar = h("span", { class: "bar" });
      bar.style.height = `${Math.max(2, 100 * share)}%`;
      bar.style.background = rampColour(share, theme() === "dark");
      const button = h(
        "button",
        {
          type: "button",
          class: "time",
          title: `${formatUtcShort(secondsOf(time))} UTC: ${percentText(best.probability)}, ${reached}`,
          "aria-pressed": "false",
          "data-time": time,
          tabindex: -1,
          onclick: () => void this.#pick(this.#picked === time ? null : time),
        },
        h("span", { class: "well" }, bar),
        h("span", { class: "tick" }, h("b", {}, percentText(best.probability)), ...dayAndHour(time)),
        h("span", { class: "visually-hidden" }, ` UTC, ${reached}`),
      );
      return button;
    });
    this.#bars.replaceChildren(...buttons);
    // One stop of the Tab key, walked with the arrows; it is in sight where not all are.
    const best =
      buttons[
        Math.max(
          0,
          times.findIndex(({ rank }) => rank === 1),
        )
      ];
    if (best) {
      best.tabIndex = 0;
      this.#bars.scrollLeft = best.offsetLeft - this.#bars.offsetLeft - this.#bars.clientWidth / 2;
    }
    this.#bars.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
      const next = step && at >= 0 ? buttons[at + step] : undefined;
      if (!next) return;
      event.preventDefault();
      buttons[at]!.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }

  async #pick(time: string | null): Promise<void> {
    this.#picked = time;
    for (const button of this.#bars.querySelectorAll<HTMLElement>("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.time === time));
    }
    this.#problem.textContent = "";
    try {
      const found = time === null ? this.first : await this.ask({ limit: String(PER_PAGE), time });
      if (this.signal.aborted || this.#picked !== time) return;
      this.#found = found;
      this.#candidates = found.candidates;
      this.#show();
      announce(`${found.total} launches${time ? ` at ${formatUtc(secondsOf(time))}` : ""}`);
    } catch (error) {
      if (!this.signal.aborted) this.#problem.textContent = reasonOf(error);
    }
  }

  // Launches

  #show(): void {
    const label = this.#isHopeless ? "Nearest launches" : "Best launches";
    this.#table.replaceChildren(table(label, this.#columns(), this.#candidates, "rows"));
    this.#showMore();
    this.#choose(this.#candidates[0] ?? null);
    this.#draw();
  }

  /** What stands below the launches: how to see the rest of them. */
  #showMore(): void {
    const rest = this.#found.total - this.#candidates.length;
    const more = h("button", { type: "button" }, `More of the other ${rest.toLocaleString("en")}`);
    more.addEventListener("click", () => void attempt(more, this.#problem, () => this.#append()));
    const all = h("button", { type: "button", onclick: () => void this.#pick(null) }, "All launch times");
    const kept = h("span", { class: "note" }, cutText(this.#found) ?? "");
    this.#more.replaceChildren(
      ...(rest > 0 ? [more] : []),
      ...(this.#picked ? [all] : []),
      ...(this.#found.cut || this.#found.map.cut ? [kept] : []),
    );
  }

  async #append(): Promise<void> {
    const parameters = { limit: String(PER_PAGE), offset: String(this.#candidates.length) };
    const more = await this.ask({ ...parameters, ...(this.#picked && { time: this.#picked }) });
    this.#candidates = [...this.#candidates, ...more.candidates];
    const rows = more.candidates.map((one) => tableRow(this.#columns(), one));
    this.#table.querySelector("tbody")!.append(...rows);
    this.#showMore();
    rows[0]?.querySelector("button")?.focus();
  }

  #columns(): Column<Candidate>[] {
    const { units } = this.app;
    const several = this.first.configurations.length > 1;
    const below = (text: string) => h("span", { class: "note below" }, text);
    const rank: Column<Candidate> = {
      title: "Rank",
      kind: "main",
      cell: (one) =>
        h(
          "button",
          {
            type: "button",
            "aria-label": `Show launch ${one.rank} on the map`,
            "data-rank": one.rank,
            onclick: () => {
              this.#choose(one);
              this.#map.root.scrollIntoView({ block: "nearest" });
            },
          },
          `${one.rank}`,
        ),
    };
    const launch: Column<Candidate> = {
      title: "Launch, UTC",
      cell: ({ time, lat, lon, configuration, over_water }) =>
        h(
          "span",
          {},
          formatUtcShort(secondsOf(time)),
          below(`${lat.toFixed(4)}, ${lon.toFixed(4)}`),
          over_water && below("over water"),
          several && below(configuration),
        ),
    };
    const closest: Column<Candidate> = {
      title: "Closest",
      cell: ({ distance, hit_time, hit_altitude }) =>
        h(
          "span",
          {},
          distance === null ? "–" : formatDistance(distance, units),
          hit_time !== null &&
            hit_altitude !== null &&
            below(`${formatUtcShort(secondsOf(hit_time))}, ${formatAltitude(hit_altitude, units)}`),
        ),
    };
    if (this.#isHopeless) return [rank, launch, closest];
    return [
      rank,
      {
        title: "Probability",
        kind: "number",
        cell: ({ probability, score }) =>
          h(
            "span",
            {},
            h("strong", {}, percentText(probability)),
            h("span", { class: "note score-below" }, `Score ${score.toFixed(2)}`),
          ),
      },
      { title: "Score", kind: "number score", cell: ({ score }) => score.toFixed(2) },
      launch,
      closest,
    ];
  }

  #choose(one: Candidate | null): void {
    for (const row of this.#table.querySelectorAll("tbody tr")) {
      const isIt = row.querySelector<HTMLElement>("button")?.dataset.rank === String(one?.rank);
      row.classList.toggle("chosen", isIt);
    }
    this.#about.replaceChildren(...(one ? this.#says(one) : []));
    this.#chosen.clearLayers();
    if (!one) return;
    const from = near(one, this.#area);
    const style = { interactive: false, keyboard: false };
    this.#chosen.addLayer(L.marker(from, { icon: pin("launch-pin"), ...style }));
    if (one.hit_lat === null || one.hit_lon === null) return;
    const hit = near({ lat: one.hit_lat, lon: one.hit_lon }, this.#area);
    const line = { color: cssColour("--ink"), weight: 1.5, dashArray: "4 4", renderer: this.#map.renderer, ...style };
    this.#chosen.addLayer(L.polyline([from, hit], line));
    this.#chosen.addLayer(L.marker(hit, { icon: pin("landing-pin"), ...style }));
  }

  /** One launch in a sentence, and the way to fly it. */
  #says(
    one: Pick<Launch, "time" | "lat" | "lon" | "configuration" | "hits" | "members"> & { rank?: number },
  ): (HTMLElement | string)[] {
    const search = this.#search;
    const balloon = search?.balloons.find(({ name }) => name === one.configuration);
    const what = `${one.rank ? `Launch ${one.rank}` : "Launch"} at ${formatUtcShort(secondsOf(one.time))} UTC: `;
    const members = `${reachedText(one, this.first.members.length)} `;
    if (!search || !balloon) return [what, members];
    const plan = planOfLaunch(DEFAULT_PLAN, one, balloon, search);
    return [what, members, h("a", { href: `/#${encodePlan(plan, this.first.provenance.cycle)}` }, "Fly it on the map")];
  }

  // The map

  #draw(): void {
    const dark = theme() === "dark";
    const { features } = this.#found.map;
    const top = scaleTop(Math.max(0, ...features.map(({ properties }) => properties.probability)));
    drawSearch(this.#map, this.#zone, zonesOf(this.one.config), false);
    this.#places.clearLayers();
    // The best are drawn last, over the others.
    for (const { geometry, properties } of features.toReversed()) {
      const [lon, lat] = geometry.coordinates;
      const { probability } = properties;
      const isNone = probability === 0;
      const dot = L.circleMarker(near({ lat, lon }, this.#area), {
        renderer: this.#map.renderer,
        radius: isNone ? 2.5 : 6,
        stroke: !isNone,
        color: cssColour("--casing"),
        weight: 1,
        fillColor: isNone ? cssColour("--quiet") : rampColour(probability / top, dark),
        fillOpacity: isNone ? 0.5 : 0.95,
      });
      dot.bindTooltip(
        `${percentText(probability)}, ${formatUtcShort(secondsOf(properties.time))} UTC, ${lat.toFixed(4)}, ${lon.toFixed(4)}`,
      );
      dot.on("click", () => {
        const same = this.#candidates.find(
          (one) => Math.abs(one.lat - lat) < 1e-5 && Math.abs(one.lon - lon) < 1e-5 && one.time === properties.time,
        );
        if (same) this.#choose(same);
        else this.#about.replaceChildren(...this.#says({ ...properties, lat, lon }));
      });
      this.#places.addLayer(dot);
    }
    const stops = [0, 0.25, 0.5, 0.75, 1].map((share) => rampColour(share, dark));
    const ramp = h("span", { class: "ramp" });
    ramp.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    this.#legend.hidden = this.#isHopeless;
    this.#legend.replaceChildren(
      h("span", {}, "Probability 0"),
      ramp,
      h("span", {}, percentText(top)),
      h("span", { class: "none" }),
      h("span", {}, "none"),
    );
    for (const bar of this.#bars.querySelectorAll<HTMLElement>(".bar")) {
      bar.style.background = rampColour(Number.parseFloat(bar.style.height) / 100, dark);
    }
  }

  #fit(): void {
    this.#map.showBounds(boundsOf(zonesOf(this.one.config)));
  }

  // Files

  #files(): HTMLElement {
    const formats: Record<Extract<Format, "csv" | "geojson" | "kml">, string> = {
      csv: "CSV",
      geojson: "GeoJSON",
      kml: "KML",
    };
    return h(
      "div",
      { class: "row take" },
      h("span", { class: "quiet" }, "Take away"),
      ...Object.entries(formats).map(([format, label]) => {
        const button = h("button", { type: "button" }, label);
        button.addEventListener(
          "click",
          () => void attempt(button, this.#problem, () => this.#download(format as Format)),
        );
        return button;
      }),
    );
  }

  async #download(format: Format): Promise<void> {
    const all = await this.ask({ limit: String(MOST_OF_FILE), ...(this.#picked && { time: this.#picked }) });
    const title = this.one.name || "HABSIM search";
    const launches = this.#isHopeless ? all.candidates : all.candidates.filter(({ probability }) => probability > 0);
    const { text, type, extension } = write(takeawayOf(title, all, launches), format);
    const address = URL.createObjectURL(new Blob([text], { type }));
    const name = fileName(this.one.id, this.#picked, all.provenance.demo);
    h("a", { href: address, download: `${name}.${extension}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }
}

/** In two pieces, each of which stays on its line. */
function dayAndHour(time: string): (HTMLElement | string)[] {
  const text = formatUtcShort(secondsOf(time));
  return [h("span", {}, text.slice(0, -6)), " ", h("span", {}, text.slice(-5))];
}
