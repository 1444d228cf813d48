// The form of the plan. Each field says its range, and why a value is refused, where it is typed.

import { ask } from "./api";
import {
  type FieldName,
  outOfRange,
  type Problems,
  problemsOf,
  rangeText,
  readField,
  type Surroundings,
  usedFields,
} from "./checks";
import { formatCoordinates, parseCoordinates } from "./coordinates";
import { askName, h, iconButton, segments, toast } from "./dom";
import type { GasBalloon } from "./gasballoon";
import { wrap } from "./geo";
import type { MapView } from "./map";
import {
  BALLOON_NUMBERS,
  balloonFields,
  DEFAULT_BALLOON,
  FIELDS,
  launchTimes,
  MODES,
  type Mode,
  type NumberName,
  type Plan,
  PROFILE_NAMES,
  PROFILES,
  type Profile,
} from "./plan";
import type { PlanState } from "./state";
import { store, stored } from "./stored";
import {
  formatAltitude,
  formatLocal,
  formatUtc,
  fromDateTimeInput,
  inputText,
  toDateTimeInput,
  type Units,
  unitName,
  type Zone,
} from "./units";

interface Site {
  name: string;
  lat: number;
  lon: number;
  alt: number | null;
}

const PROFILE_NOTES: Record<Profile, string> = {
  standard: "Climbs, bursts and comes down under a parachute",
  zpb: "Climbs, floats for a while and comes down",
  float: "Climbs and stays up",
  physical: "Climbs as envelope, gas and payload make it; bursts or floats, and comes down",
};
const MODE_NAMES: Record<Mode, string> = { single: "Single", ensemble: "Ensemble", sweep: "Launch times" };
const MODE_NOTES: Record<Mode, string> = {
  single: "One flight with one member",
  ensemble: "All members, each with perturbed copies: where it may land",
  sweep: "One flight for each launch time",
};

/** A form field: its input, and the place for its range or for what is wrong with it. */
interface Field {
  root: HTMLElement;
  input: HTMLInputElement | HTMLSelectElement;
  note: HTMLElement;
  usual: () => string;
}

export class PlanForm {
  units: Units;
  around: Surroundings = { covers: null, members: [], ground: null };
  /** Called when the sizing of a gas balloon has said at a field why it does not fly. */
  onReason: () => void = () => {};
  readonly #state: PlanState;
  readonly #fields = new Map<FieldName, Field>();
  /** What was typed and is no value at all, by field. */
  readonly #unreadable = new Map<FieldName, string>();
  /** What the service refused, by field, until the plan changes. */
  #refused: Problems = {};
  readonly #place = h("input", {
    id: "place",
    type: "text",
    spellcheck: "false",
    enterkeyhint: "search",
    "aria-describedby": "place-note",
  });
  readonly #placeNote = h("p", { id: "place-note", class: "note" });
  readonly #sites = h("select", { id: "sites", "aria-label": "Saved launch sites" });
  readonly #altitude = h("div", { class: "fields" });
  readonly #balloon = h("div", { class: "fields" });
  readonly #run = h("div", { class: "fields" });
  /** The choices of a gas balloon, while they are shown. */
  #gas: GasBalloon | null = null;
  readonly #coverNote = h("p", { class: "note" });
  readonly #groundNote = h("p", { class: "note" });
  #groundAsked = "";
  /** Why the position of the user is not known, once it was asked for. */
  #notLocated = "";

  /** Without a `map` no tool of it can be chosen; `modes` are those to choose from. */
  constructor(root: HTMLElement, state: PlanState, map: MapView | null, units: Units, modes: readonly Mode[] = MODES) {
    this.#state = state;
    this.units = units;
    root.append(
      this.#placeFields(map),
      this.#timeFields(),
      this.#choice("balloon", "Balloon", "profile", PROFILES, PROFILE_NAMES, PROFILE_NOTES, this.#balloon),
      this.#choice("run", "Run", "mode", modes, MODE_NAMES, MODE_NOTES, this.#run),
    );
    this.#fillAltitude();
    this.#fillBalloon();
    this.#fillRun();
    state.onChange((changed) => this.#onPlan(changed));
    this.show();
    this.#askGround();
  }

  /** Everything wrong with the plan, also what was typed and cannot be read. */
  problems(): Problems {
    const { plan } = this.#state;
    const found = { ...this.#refused, ...problemsOf(plan, this.around, this.units) };
    for (const [name, reason] of this.#unreadable) {
      if (this.#fields.get(name)?.root.isConnected) found[name] = reason;
    }
    return found;
  }

  /** Show the reason of each problem at its field. */
  showProblems(): Problems {
    const problems = this.problems();
    for (const [name, field] of this.#fields) {
      const reason = problems[name];
      field.note.textContent = reason ?? field.usual();
      field.note.classList.toggle("bad", reason !== undefined);
      field.input.setAttribute("aria-invalid", String(reason !== undefined));
    }
    return problems;
  }

  focusFirst(problems: Problems): void {
    const order = [...this.#fields].filter(([name, field]) => problems[name] && field.root.isConnected);
    const input = order[0]?.[1].input;
    input?.closest("details")?.setAttribute("open", "");
    input?.focus();
    // What says the reason takes room below the form.
    requestAnimationFrame(() => input?.scrollIntoView({ block: "center" }));
  }

  /** Show what the service refused, by the names of its parameters. */
  refuse(parameters: Record<string, string>): void {
    for (const name of usedFields(this.#state.plan)) {
      const reason = parameters[FIELDS[name].parameter ?? ""];
      if (reason) this.#refused[name] = reason;
    }
    if (parameters.timestamp) this.#refused.time = parameters.timestamp;
    this.showProblems();
  }

  setUnits(units: Units): void {
    this.units = units;
    this.#fillAltitude();
    this.#fillBalloon();
    this.#fillRun();
    this.#groundNote.textContent = this.#groundText();
    this.show();
  }

  setAround(around: Partial<Surroundings>): void {
    const before = this.around;
    this.around = { ...before, ...around };
    const { covers } = this.around;
    this.#coverNote.textContent = covers ? `Winds cover ${formatUtc(covers.from)} to ${formatUtc(covers.to)}` : "";
    if (String(before.members) !== String(this.around.members)) this.#fillRun();
    this.show();
  }

  /** Write the plan into the fields that nobody is typing in. */
  show(): void {
    const { plan } = this.#state;
    if (document.activeElement !== this.#place && !this.#unreadable.has("lat")) {
      this.#place.value = this.#placeText();
    }
    for (const [name, field] of this.#fields) {
      if (name === "lat") continue;
      // What was typed stays with its reason until it is mended, or the plan changes elsewhere.
      if (this.#unreadable.has(name)) continue;
      const isTyped = document.activeElement === field.input && this.#valueOf(name, field.input.value) === plan[name];
      if (!isTyped) field.input.value = this.#textOf(name, plan);
    }
    if (this.#unreadable.has("time")) return void this.showProblems();
    for (const zone of ["utc", "local"] as const) {
      const input = document.getElementById(`time-${zone}`) as HTMLInputElement | null;
      if (input && document.activeElement !== input) input.value = toInput(plan.time, zone);
    }
    this.showProblems();
  }

  #onPlan(changed: ReadonlySet<keyof Plan>): void {
    this.#refused = {};
    for (const name of changed) this.#unreadable.delete(name as FieldName);
    if (changed.has("profile")) this.#fillBalloon();
    else if ([...changed].some((name) => name in DEFAULT_BALLOON || name === "alt" || name === "air")) {
      this.#gas?.update();
    }
    if (changed.has("mode")) this.#fillRun();
    for (const name of ["profile", "mode"] as const) {
      const radio = document.getElementById(`${name}-${this.#state.plan[name]}`) as HTMLInputElement | null;
      if (radio) radio.checked = true;
    }
    const site = sites()[Number(this.#sites.value)];
    const { lat, lon } = this.#state.plan;
    if (site && (site.lat !== lat || wrap(site.lon) !== lon)) this.#sites.value = "";
    if (changed.has("lat") || changed.has("lon")) {
      this.#unreadable.delete("lat");
      if (!this.#isThePlace(this.#place.value)) this.#place.value = this.#placeText();
      this.#notLocated = "";
      this.#askGround();
    }
    this.show();
  }

  // Place

  #placeFields(map: MapView | null): HTMLElement {
    const take = () => this.#takePlace();
    this.#place.addEventListener("change", take);
    this.#place.addEventListener("blur", () => this.show());
    this.#place.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        take();
      }
    });
    this.#sites.addEventListener("change", () => this.#takeSite());
    this.#fillSites();
    const root = h(
      "div",
      { class: "row" },
      this.#place,
      iconButton("locate", "Use my position", () => this.#locate()),
      map && iconButton("launch", "Choose on the map", () => map.choose("launch")),
    );
    this.#fields.set("lat", { root, input: this.#place, note: this.#placeNote, usual: () => this.#notLocated });
    return section(
      "Launch place",
      h("label", { for: "place" }, "Coordinates"),
      root,
      this.#placeNote,
      h(
        "div",
        { class: "row" },
        this.#sites,
        h("button", { type: "button", onclick: () => void this.#saveSite() }, "Save"),
        iconButton("trash", "Delete the saved site", () => this.#deleteSite()),
      ),
      this.#altitude,
      this.#groundNote,
    );
  }

  #placeText(): string {
    const { lat, lon } = this.#state.plan;
    return formatCoordinates({ lat, lon: wrap(lon) }, "decimal");
  }

  /** Whether a text means the place of the plan. */
  #isThePlace(text: string): boolean {
    const found = parseCoordinates(text);
    return !("error" in found) && found.lat === this.#state.plan.lat && wrap(found.lon) === this.#state.plan.lon;
  }

  #takePlace(): void {
    const text = this.#place.value;
    const found = parseCoordinates(text);
    if (text === this.#placeText()) this.#unreadable.delete("lat");
    else if ("error" in found) this.#unreadable.set("lat", found.error);
    else {
      this.#unreadable.delete("lat");
      this.#state.change({ ...found, alt: null });
    }
    this.showProblems();
  }

  #locate(): void {
    const fail = (text: string) => {
      this.#notLocated = text;
      this.showProblems();
    };
    if (!navigator.geolocation) {
      fail(
        window.isSecureContext ? "This browser knows no position" : "Browsers give the position to https pages only",
      );
      return;
    }
    navigator.geolocation.getCurrentPosition(
      ({ coords }) =>
        this.#state.change({
          lat: Number(coords.latitude.toFixed(5)),
          lon: Number(coords.longitude.toFixed(5)),
          alt: null,
        }),
      (error) =>
        fail(
          error.code === error.PERMISSION_DENIED
            ? "The position may not be used; the browser's settings allow it"
            : "The position cannot be found now",
        ),
      { enableHighAccuracy: true, timeout: 15000, maximumAge: 30000 },
    );
  }

  /** The elevation of the ground at the launch, from the service. */
  #askGround(): void {
    const { lat, lon } = this.#state.plan;
    const key = `${lat},${lon}`;
    if (this.#groundAsked === key || Math.abs(lat) > 90) return;
    this.#groundAsked = key;
    this.around.ground = null;
    this.#groundNote.textContent = "";
    ask<{ elevation: number }>("/sim/elev", { lat: String(lat), lon: String(lon) })
      .then(({ body }) => {
        if (this.#groundAsked !== key) return;
        this.setAround({ ground: body.elevation });
        this.#gas?.update();
        this.#groundNote.textContent = this.#groundText();
      })
      .catch(() => {
        if (this.#groundAsked !== key) return;
        this.#groundAsked = "";
        this.#groundNote.textContent = "The ground there is not known now";
      });
  }

  /** Ask for what could not be asked while the server was away. */
  refresh(): void {
    this.#askGround();
  }

  #groundText(): string {
    const { ground } = this.around;
    if (ground === null) return "";
    const { alt } = this.#state.plan;
    const there = `The ground is at ${formatAltitude(ground, this.units)}`;
    // Launches are at sea level or above it.
    const above = (alt ?? 0) - ground;
    if (above <= 0 || (alt === null && ground >= 0)) return `${there}; the flight starts on it`;
    return `${there}; the flight starts ${formatAltitude(above, this.units)} above it`;
  }

  #fillSites(): void {
    const known = sites();
    this.#sites.replaceChildren(
      h("option", { value: "" }, known.length ? "Saved sites" : "No saved sites yet"),
      ...known.map((site, i) => h("option", { value: i }, site.name)),
    );
  }

  #takeSite(): void {
    const site = sites()[Number(this.#sites.value)];
    if (this.#sites.value !== "" && site) this.#state.change({ lat: site.lat, lon: site.lon, alt: site.alt });
  }

  async #saveSite(): Promise<void> {
    const { lat, lon, alt } = this.#state.plan;
    const name = await askName("Name of this launch site", formatCoordinates({ lat, lon: wrap(lon) }, "decimal"));
    if (!name) return;
    const known = sites().filter((site) => site.name !== name);
    known.push({ name, lat, lon, alt });
    known.sort((a, b) => a.name.localeCompare(b.name));
    if (!store("sites", known)) toast("This browser does not keep anything: the site is not saved");
    this.#fillSites();
    this.#sites.value = String(known.findIndex((site) => site.name === name));
  }

  #deleteSite(): void {
    const known = sites();
    const [gone] = this.#sites.value === "" ? [] : known.splice(Number(this.#sites.value), 1);
    if (!gone) {
      toast("Choose the site to delete first");
      return;
    }
    store("sites", known);
    this.#fillSites();
    toast(`${gone.name} is deleted`);
  }

  // Time

  #timeFields(): HTMLElement {
    const now = h("button", { type: "button", id: "now", onclick: () => this.#setTime(Date.now() / 1000) }, "Now");
    return section(
      "Launch time",
      h(
        "div",
        { class: "fields times" },
        this.#timeField("time", "utc", "UTC"),
        this.#timeField("time", "local", localName()),
      ),
      h("div", { class: "row" }, now, ...[-6, -1, 1, 6].map((hours) => this.#later(hours))),
      this.#coverNote,
    );
  }

  #later(hours: number): HTMLElement {
    const label = `${hours > 0 ? "+" : "−"}${Math.abs(hours)} h`;
    const title = `${Math.abs(hours) === 1 ? "An hour" : `${Math.abs(hours)} hours`} ${hours > 0 ? "later" : "earlier"}`;
    const onclick = () => this.#setTime(this.#state.plan.time + hours * 3600);
    return h("button", { type: "button", class: "quiet", title, onclick }, label);
  }

  /** Whole minutes are what the fields show, and what flies. */
  #setTime(time: number): void {
    this.#unreadable.delete("time");
    this.#state.change({ time: Math.round(time / 60) * 60 });
  }

  /** One time in one zone; the note of the first is that of both. */
  #timeField(name: "time" | "sweepFrom" | "sweepTo", zone: Zone, label: string): HTMLElement {
    const id = name === "time" ? `time-${zone}` : name;
    const note = h("p", { id: `${id}-note`, class: "note" });
    const input = h("input", {
      id,
      type: "datetime-local",
      "aria-describedby": name === "time" ? "time-utc-note" : note.id,
    });
    const root = h("div", { class: "field moment" }, h("label", { for: id }, label), input, zone === "utc" && note);
    input.addEventListener("input", () => {
      const time = fromDateTimeInput(input.value, zone);
      // The first digit of a year that is being typed is a year, too.
      if (time === null || time <= 0) this.#unreadable.set(name, "Needs a date and a time");
      else {
        this.#unreadable.delete(name);
        this.#state.change({ [name]: time });
      }
      this.showProblems();
    });
    input.addEventListener("blur", () => this.show());
    if (zone === "utc") {
      const usual = () => (name === "time" ? "" : formatLocal(this.#state.plan[name]));
      this.#fields.set(name, { root, input, note, usual });
    }
    return root;
  }

  // Balloon and run

  #choice<T extends string>(
    id: string,
    title: string,
    name: "profile" | "mode",
    options: readonly T[],
    names: Record<T, string>,
    notes: Record<T, string>,
    rest: HTMLElement,
  ): HTMLElement {
    const note = h("p", { class: "note", id: `${id}-note` });
    const chosen = () => this.#state.plan[name] as string as T;
    const tell = () => {
      note.textContent = notes[chosen()];
    };
    tell();
    this.#state.onChange(tell);
    const labels = Object.fromEntries(options.map((value) => [value, names[value]])) as Record<T, string>;
    const group = segments(name, title, labels, chosen(), (value) => this.#state.change({ [name]: value }));
    group.setAttribute("aria-describedby", note.id);
    return section(title, group, note, rest);
  }

  #fillAltitude(): void {
    this.#forget(["alt"]);
    this.#altitude.replaceChildren(this.#numberField("alt", "ground"));
  }

  #fillBalloon(): void {
    this.#gas = null;
    if (this.#state.plan.profile === "physical") void this.#fillGasBalloon();
    else
      this.#showBalloon(
        () => balloonFields(this.#state.plan).map((name) => this.#numberField(name)),
        h(
          "button",
          { type: "button", id: "size-balloon", class: "wide", onclick: () => void this.#sizeBalloon() },
          "From balloon and payload",
        ),
      );
  }

  /** What only gas balloons need comes with the first of them. */
  async #fillGasBalloon(): Promise<void> {
    const { GasBalloon } = await import("./gasballoon");
    if (this.#state.plan.profile !== "physical") return;
    this.#showBalloon(() => {
      this.#gas = new GasBalloon(this.#gasForm());
      return this.#gas.fields;
    });
    this.show();
  }

  #gasForm(): ConstructorParameters<typeof GasBalloon>[0] {
    const form = this;
    const state = this.#state;
    return {
      units: this.units,
      prefix: "",
      get balloon() {
        const unreadable = [...form.#unreadable.keys()].map((name) => [name, Number.NaN]);
        return { ...state.plan, ...Object.fromEntries(unreadable) };
      },
      get altitude() {
        return Math.max(state.plan.alt ?? 0, form.around.ground ?? 0);
      },
      change: (part) => state.change(part),
      number: (name) => this.#numberField(name),
      refuse: (name, reason) => {
        this.#refused[name] = reason;
        this.showProblems();
        this.onReason();
      },
    };
  }

  #showBalloon(fields: () => HTMLElement[], ...rest: HTMLElement[]): void {
    this.#forget(BALLOON_NUMBERS);
    const open = this.#balloon.querySelector("details")?.open ?? this.#state.plan.coeff !== 1;
    this.#balloon.replaceChildren(
      ...fields(),
      h(
        "details",
        { class: "wide", open },
        h("summary", {}, "More"),
        h("div", { class: "fields" }, this.#numberField("coeff")),
      ),
      ...rest,
    );
  }

  /** The rates of a balloon that is sized from its envelope, gas and payload. */
  async #sizeBalloon(): Promise<void> {
    const { askBalloon } = await import("./balloondialog");
    const found = await askBalloon(this.units, this.#state.plan);
    if (found) this.#state.change(found);
  }

  #fillRun(): void {
    const { mode } = this.#state.plan;
    this.#forget(["model", "perturbations", "seed", "sweepFrom", "sweepTo", "sweepMinutes"]);
    const fields: Record<Mode, () => HTMLElement[]> = {
      single: () => [this.#memberField()],
      ensemble: () => [this.#numberField("perturbations"), this.#numberField("seed", "any")],
      sweep: () => [
        this.#timeField("sweepFrom", "utc", "From, UTC"),
        this.#timeField("sweepTo", "utc", "To, UTC"),
        this.#numberField("sweepMinutes"),
        this.#memberField(),
      ],
    };
    this.#run.replaceChildren(...fields[mode]());
    this.show();
  }

  #forget(names: FieldName[]): void {
    for (const name of names) {
      this.#fields.delete(name);
      this.#unreadable.delete(name);
    }
  }

  #memberField(): HTMLElement {
    const { members } = this.around;
    const numbers = members.length ? members : [this.#state.plan.model];
    const select = h(
      "select",
      { id: "model", "aria-describedby": "model-note" },
      ...numbers.map((m) => h("option", { value: m }, m === 0 ? "0, the control" : String(m))),
    );
    select.addEventListener("change", () => this.#state.change({ model: Number(select.value) }));
    const note = h("p", { id: "model-note", class: "note" });
    const root = h("div", { class: "field" }, h("label", { for: "model" }, FIELDS.model.label), select, note);
    this.#fields.set("model", { root, input: select, note, usual: () => "" });
    return root;
  }

  /** A number; `empty` says what a field that may be empty then means. */
  #numberField(name: NumberName, empty?: string): HTMLElement {
    const { label, quantity } = FIELDS[name];
    const unit = unitName(quantity, this.units);
    const note = h("p", { id: `${name}-note`, class: "note" });
    const input = h("input", {
      id: name,
      type: "text",
      inputmode: FIELDS[name].whole ? "numeric" : "decimal",
      placeholder: empty,
      "aria-describedby": note.id,
    });
    const root = h(
      "div",
      { class: "field" },
      h("label", { for: name }, label),
      h("div", { class: "measure" }, input, unit && h("span", {}, unit)),
      note,
    );
    input.addEventListener("input", () => this.#takeNumber(name, input.value, empty !== undefined));
    input.addEventListener("blur", () => this.show());
    this.#fields.set(name, {
      root,
      input,
      note,
      usual: () => (name === "alt" || name === "seed" ? "" : (FIELDS[name].help ?? this.#range(name))),
    });
    input.value = this.#textOf(name, this.#state.plan);
    return root;
  }

  #takeNumber(name: NumberName, text: string, mayBeEmpty: boolean): void {
    const value = this.#valueOf(name, text);
    const reason = text.trim() === "" && mayBeEmpty ? null : outOfRange(name, value ?? Number.NaN, this.units);
    // What was refused before is not said beside what is wrong now.
    this.#refused = {};
    if (reason) this.#unreadable.set(name, reason);
    else {
      this.#unreadable.delete(name);
      this.#state.change({ [name]: value });
    }
    this.#gas?.update();
    this.#groundNote.textContent = this.#groundText();
    this.showProblems();
  }

  /** The plan's number that a text means; null for nothing, NaN for what is no number. */
  #valueOf(name: FieldName, text: string): number | null {
    if (!(name in FIELDS)) return fromDateTimeInput(text, "utc");
    return readField(FIELDS[name as NumberName], text, this.units);
  }

  #textOf(name: FieldName, plan: Plan): string {
    if (name === "time" || name === "sweepFrom" || name === "sweepTo") return toInput(plan[name], "utc");
    const value = plan[name];
    return value === null ? "" : inputText(value, FIELDS[name].quantity, this.units);
  }

  #range(name: NumberName): string {
    if (name === "sweepMinutes") return `${launchTimes(this.#state.plan).length} launches`;
    return rangeText(FIELDS[name], this.units);
  }
}

function sites(): Site[] {
  const isSite = (site: Partial<Site> | null) =>
    typeof site?.name === "string" &&
    Number.isFinite(site.lat) &&
    Number.isFinite(site.lon) &&
    (site.alt === null || Number.isFinite(site.alt));
  return stored<Site[]>("sites", Array.isArray, []).filter(isSite);
}

function section(title: string, ...content: (HTMLElement | null)[]): HTMLElement {
  return h("fieldset", {}, h("legend", {}, title), ...content);
}

function localName(): string {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `Local, ${zone.split("/").pop()!.replaceAll("_", " ")}`;
}

function toInput(time: number, zone: Zone): string {
  return Number.isFinite(time) && time > 0 ? toDateTimeInput(time, zone) : "";
}
