// The wind above a point, of all members.

import { ApiError, ask, UnreachableError, type WindProfile } from "./api";
import { WindCharts } from "./charts";
import { formatCoordinates } from "./coordinates";
import { announce, h } from "./dom";
import type { MapView } from "./map";
import type { Position } from "./plan";
import type { PlanState } from "./state";
import { formatAltitude, formatUtc, type Units } from "./units";

export class WindPanel {
  units: Units;
  readonly #text = h("div", {});
  readonly #chartRoot = h("div", {});
  #charts: WindCharts | null = null;
  #place: Position | null = null;
  #profile: WindProfile | null = null;
  #isShown = false;
  #askedTime = 0;
  #asking: AbortController | null = null;

  constructor(
    root: HTMLElement,
    readonly view: MapView,
    readonly state: PlanState,
    units: Units,
  ) {
    this.units = units;
    root.append(this.#text, this.#chartRoot);
    this.#write();
    state.onChange((changed) => {
      if (changed.has("time")) this.#follow();
    });
  }

  /** Whether the panel is open: the place is marked while it is. */
  set isShown(yes: boolean) {
    this.#isShown = yes;
    this.view.showWindPin(yes ? this.#place : null);
    this.#follow();
  }

  /** The wind of another launch time is asked for once it is looked at. */
  #follow(): void {
    if (this.#isShown && this.#place && this.#askedTime !== this.state.plan.time) void this.show(this.#place);
  }

  /** Ask again for what could not be asked while the server was away. */
  refresh(): void {
    if (this.#isShown && this.#place && !this.#profile) void this.show(this.#place);
  }

  setUnits(units: Units): void {
    this.units = units;
    this.#write();
  }

  /** Ask for the wind over a place at the launch time, and show it. */
  async show(place: Position): Promise<void> {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.#place = place;
    this.view.showWindPin(place);
    const { time } = this.state.plan;
    this.#askedTime = time;
    try {
      const parameters = { lat: String(place.lat), lon: String(place.lon), timestamp: String(time) };
      this.#profile = (await ask<WindProfile>("/sim/windprofile", parameters, asking.signal)).body;
      this.#write();
      announce(`Wind of ${this.#profile.members.length} members at ${formatCoordinates(place, "decimal")}`);
    } catch (error) {
      if (asking.signal.aborted) return;
      if (!(error instanceof ApiError || error instanceof UnreachableError)) throw error;
      this.#profile = null;
      this.#write(error.message);
    }
  }

  #write(problem?: string): void {
    const here = () => {
      const { lat, lon } = this.state.plan;
      void this.show({ lat, lon });
    };
    const buttons = h(
      "div",
      { class: "row" },
      h("button", { type: "button", onclick: () => this.view.choose("wind") }, "Choose a point on the map"),
      h("button", { type: "button", onclick: here }, "At the launch"),
    );
    const profile = this.#profile;
    this.#chartRoot.hidden = !profile;
    if (!profile || !this.#place) {
      const text = problem ?? "The wind above a point, from the ground up, of all members at the launch time.";
      this.#text.replaceChildren(h("h2", {}, "Wind"), h("p", { class: problem ? "bad" : "" }, text), buttons);
      return;
    }
    const failed = profile.failed_members.length;
    const notes = [
      `${formatUtc(profile.timestamp)}, ${profile.members.length} members`,
      ...(failed ? [`${failed} could not be read`] : []),
      `ground at ${formatAltitude(profile.ground, this.units)}`,
    ];
    this.#text.replaceChildren(
      h("h2", {}, `Wind at ${formatCoordinates(this.#place, "decimal")}`),
      h("p", { class: "note" }, notes.join("; ")),
      buttons,
    );
    this.#charts ??= new WindCharts(this.#chartRoot);
    this.#charts.show(profile, this.units);
  }
}
