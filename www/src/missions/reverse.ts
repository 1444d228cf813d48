// Planning backwards: from a zone to the launches that reach it.

import L from "leaflet";
import { ApiError, ask, type Status, UnreachableError } from "../api";
import { h, segments, toast } from "../dom";
import {
  allRight,
  checkBox,
  type Field,
  LongTextField,
  MeasureField,
  PlaceField,
  refuse,
  TextField,
  TimeField,
} from "../fields";
import { DEFAULT_PLAN, type Position } from "../plan";
import type { components } from "../schema";
import { remembered } from "../state";
import { store, stored } from "../stored";
import { onTheme } from "../theme";
import { formatDuration } from "../units";
import { attempt, demoTag, heading, oneOf, problemLine, reasonOf, sentence, type View } from "./app";
import { BalloonRows } from "./balloonrows";
import { shareBox } from "./dialogs";
import { PlaceMap } from "./placemap";
import { bodyOf, type Draft, disagreement, draftFrom, draftOf, LIMITS, membersText, readMembers } from "./searches";
import { boundsOf, drawSearch } from "./searchmap";

type Estimate = components["schemas"]["SearchEstimate"];
type Submitted = components["schemas"]["SearchSubmitted"];

const HOUR = 3600;
const DAY = 24 * HOUR;
const ASK_AFTER_MS = 400;

export const reverseView: View = async (root, app, signal, id) => {
  const demo = h("span", {});
  root.append(heading(["Plan backwards", demo]));
  const waiting = h("p", { class: "quiet" }, "Asking which winds there are");
  root.append(waiting);
  const [covers, again] = await Promise.all([coverOf(signal), id ? oneOf(app, id, signal) : null]);
  if (signal.aborted) return;
  demo.replaceChildren(demoTag(covers?.demo ?? false) ?? "");
  waiting.textContent = "Where, when and with what to launch so that the balloon reaches a place.";
  const form = new SearchForm(firstDraft(covers, again?.config), app.units, signal);
  const name = new TextField("search-name", "Name", { maxlength: 200 }, { hint: "May be empty", wide: true });
  const description = new LongTextField("search-description", "Description", 2000);
  if (again) [name.text, description.text] = [again.name, again.description];
  const shared = shareBox(app, false);
  const problem = problemLine("submit-problem");
  const button = h("button", { class: "primary" }, "Search");
  const size = h("p", { class: "size", role: "status" });
  const element = h(
    "form",
    { novalidate: true, autocomplete: "off", class: "stack" },
    ...form.sections,
    section("Keep it as", h("div", { class: "fields" }, name.root, description.root), shared.root),
    h("div", { class: "submit" }, size, problem, button),
  );
  root.append(h("div", { class: "split" }, element, form.map.root));
  form.showAll();

  let timer = 0;
  let asking = new AbortController();
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    asking.abort();
  });
  const measure = async () => {
    asking.abort();
    asking = new AbortController();
    const { signal: mine } = asking;
    const draft = form.read();
    if (!draft) {
      size.textContent = "";
      return;
    }
    try {
      const found = await app.session.ask<Estimate>("POST", "reverse/estimate", bodyOf(draft), mine);
      problem.textContent = "";
      size.replaceChildren(...sizeText(found));
    } catch (error) {
      if (mine.aborted) return;
      size.textContent = "";
      problem.textContent = error instanceof ApiError || error instanceof UnreachableError ? reasonOf(error) : "";
      // What is typed is not taken away from who types it.
      if (error instanceof ApiError) form.mark(error);
    }
  };
  form.onChange = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void measure(), ASK_AFTER_MS);
  };
  void measure();
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    const draft = form.checked();
    if (!draft) {
      problem.textContent = "Something above is not right yet";
      return;
    }
    clearTimeout(timer);
    void attempt(button, problem, async () => {
      try {
        const body = {
          ...bodyOf(draft),
          name: name.text,
          description: description.text,
          shared: shared.input.checked,
        };
        const { id } = await app.session.ask<Submitted>("POST", "reverse/plan", body);
        store("search", bodyOf(draft));
        toast("The search is submitted");
        if (!signal.aborted) app.go(`/simulations/${id}`);
      } catch (error) {
        if (error instanceof ApiError) form.mark(error);
        refuse(error, { ...form.named, name, description });
        throw error;
      }
    });
  });
};

interface Cover {
  from: number;
  to: number;
  demo: boolean;
}

async function coverOf(signal: AbortSignal): Promise<Cover | null> {
  try {
    const { body } = await ask<Status>("/sim/status", {}, signal);
    const { from, to } = body.covers;
    return { from: Date.parse(from) / 1000, to: Date.parse(to) / 1000, demo: body.demo };
  } catch (error) {
    // Without winds the form is there all the same; the estimate says what is missing.
    if (error instanceof ApiError || error instanceof UnreachableError) return null;
    if (signal.aborted) return null;
    throw error;
  }
}

/** A search that is kept, or what was searched the last time, in the time that the winds cover now. */
function firstDraft(covers: Cover | null, again?: Record<string, unknown>): Draft {
  const now = Math.ceil(Date.now() / 1000 / HOUR) * HOUR;
  const from = covers ? Math.max(covers.from, Math.min(now, covers.to - DAY)) : now;
  const to = covers ? Math.min(from + 3 * DAY, covers.to) : from + 3 * DAY;
  const kept = stored<Record<string, unknown>>("search", (value) => typeof value === "object" && value !== null, {});
  const before = draftFrom(again ?? kept);
  if (!before?.balloons.length) return draftOf({ ...DEFAULT_PLAN, ...remembered() }, from, to);
  const isCovered = (time: number) => !covers || (time >= covers.from && time <= covers.to);
  return {
    ...before,
    ...(!(isCovered(before.from) && isCovered(before.to) && before.to > now) && { from, to }),
    ...(!(isCovered(before.arrival) && before.arrival > now) && { arrival: to }),
  };
}

function sizeText(found: Estimate): (HTMLElement | string)[] {
  const many = (count: number, one: string, more: string) =>
    `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
  const product = [
    many(found.places, "place", "places"),
    many(found.times, "time", "times"),
    many(found.configurations, "balloon", "balloons"),
    many(found.members, "member", "members"),
  ].join(" × ");
  const duration = found.seconds < 1 ? "under a second" : `about ${formatDuration(found.seconds)}`;
  return [
    h("strong", {}, many(found.flights, "flight", "flights")),
    `, ${duration}`,
    h("span", { class: "note" }, product),
    ...found.warnings.map((text) => h("span", { class: "note bad" }, sentence(text))),
  ];
}

function section(title: string, ...content: (HTMLElement | null)[]): HTMLElement {
  return h("fieldset", {}, h("legend", {}, title), ...content);
}

/** The fields of a search, and the map beside them. */
class SearchForm {
  readonly map: PlaceMap;
  readonly sections: HTMLElement[];
  onChange: () => void = () => {};
  readonly #layer = L.layerGroup();
  readonly #target: PlaceField;
  readonly #area: PlaceField;
  readonly #fields: Record<keyof typeof LIMITS, MeasureField>;
  readonly #from: TimeField;
  readonly #to: TimeField;
  readonly #arrival: TimeField;
  readonly #members: TextField;
  readonly #refine: ReturnType<typeof checkBox>;
  readonly #balloons: BalloonRows;
  readonly #when = h("div", { class: "stack" });
  #shape: Draft["area"]["shape"];
  #mission: Draft["mission"];
  #hit: Draft["hit"];
  #choosing: "target" | "area" = "target";
  /** An area that nobody has moved goes with the target. */
  #areaFollows: boolean;

  constructor(draft: Draft, units: ConstructorParameters<typeof MeasureField>[3], signal: AbortSignal) {
    const { target, area } = draft;
    this.#shape = area.shape;
    this.#mission = draft.mission;
    this.#hit = draft.hit;
    this.#areaFollows = target.lat === area.lat && target.lon === area.lon;
    this.#target = new PlaceField("target", "Coordinates", target);
    this.#area = new PlaceField("area", "Middle", area);
    const measure = (name: keyof typeof LIMITS, value: number | null, empty?: string) =>
      new MeasureField(`search-${name}`, LIMITS[name], value, units, empty);
    this.#fields = {
      targetRadius: measure("targetRadius", target.radius),
      lowest: measure("lowest", target.lowest, "any"),
      highest: measure("highest", target.highest, "any"),
      areaRadius: measure("areaRadius", area.radius),
      spacing: measure("spacing", area.spacing),
      stepHours: measure("stepHours", draft.stepHours),
      days: measure("days", draft.days),
      tolerance: measure("tolerance", draft.toleranceMinutes),
    };
    this.#from = new TimeField("search-from", "First launch, UTC", draft.from);
    this.#to = new TimeField("search-to", "Before, UTC", draft.to);
    this.#arrival = new TimeField("search-arrival", "In the zone at, UTC", draft.arrival);
    this.#members = new TextField(
      "members",
      "Members",
      { spellcheck: "false" },
      { hint: "all, or such as 0, 3, 5-8; 0 is the control" },
      (text) => {
        const found = readMembers(text);
        return typeof found === "object" && "error" in found ? found.error : null;
      },
    );
    this.#members.text = membersText(draft.members);
    this.#refine = checkBox("refine", "Leave out launches whose neighbours miss by far", draft.refine);
    this.#balloons = new BalloonRows(units, draft.balloons);
    this.#balloons.onChange = () => this.#changed();
    this.map = new PlaceMap("Map of the search", target, 7, signal);
    this.sections = this.#made();
    this.#layer.addTo(this.map.map);
    this.map.onPlace = (place) => this.#take(place);
    this.map.onFit = () => this.showAll();
    onTheme(() => this.#draw(), signal);
    this.#showWhen();
    this.#showChoosing();
    this.#draw();
  }

  #made(): HTMLElement[] {
    const { targetRadius, lowest, highest, areaRadius, spacing } = this.#fields;
    const shape = segments("shape", "Shape", { circle: "Circle", square: "Square" }, this.#shape, (chosen) => {
      this.#shape = chosen;
      this.#changed();
    });
    const mission = segments(
      "mission",
      "Mission",
      { launch_window: "Launch window", target_window: "Time at the target" },
      this.#mission,
      (chosen) => {
        this.#mission = chosen;
        this.#showWhen();
        this.#changed();
      },
    );
    const choose = segments(
      "choosing",
      "A click on the map chooses",
      { target: "Set the target", area: "Set the launch area" },
      this.#choosing,
      (chosen) => {
        this.#choosing = chosen;
        this.#showChoosing();
      },
    );
    this.map.root.prepend(h("div", { class: "choose" }, choose));
    const sections = [
      section(
        "Target",
        h("div", { class: "fields" }, this.#target.root, targetRadius.root, h("span", {}), lowest.root, highest.root),
      ),
      section("Launch places", h("div", { class: "fields" }, this.#area.root, areaRadius.root, spacing.root), shape),
      section("Mission", mission, this.#when),
      section("Balloons", this.#balloons.root),
      section("Winds", h("div", { class: "fields" }, this.#members.root), this.#refine.root),
    ];
    for (const one of sections) {
      one.addEventListener("input", (event) => {
        if (event.target === this.#area.input) this.#areaFollows = false;
        if (event.target === this.#target.input) this.#follow();
        this.#changed();
      });
    }
    return sections;
  }

  #showWhen(): void {
    const { stepHours, days, tolerance } = this.#fields;
    const hit = segments(
      "hit",
      "What counts",
      { land: "Lands in it", pass: "Passes through it" },
      this.#hit,
      (chosen) => {
        this.#hit = chosen;
        this.#changed();
      },
    );
    this.#when.replaceChildren(
      ...(this.#mission === "launch_window"
        ? [hit, h("div", { class: "fields times-two" }, this.#from.root, this.#to.root, stepHours.root)]
        : [h("div", { class: "fields times-two" }, this.#arrival.root, tolerance.root, days.root, stepHours.root)]),
    );
  }

  #showChoosing(): void {
    this.map.choosing = this.#choosing === "target" ? "the target" : "the middle of the launch places";
  }

  #take(place: Position): void {
    if (this.#choosing === "target") {
      this.#target.place = place;
      this.#follow();
    } else {
      this.#areaFollows = false;
      this.#area.place = place;
    }
    this.#changed();
  }

  #follow(): void {
    const { place } = this.#target;
    if (this.#areaFollows && place) this.#area.place = place;
  }

  #changed(): void {
    this.#draw();
    this.onChange();
  }

  #draw(): void {
    const drawn = this.#zones();
    if (drawn) drawSearch(this.map, this.#layer, drawn, true);
  }

  showAll(): void {
    const drawn = this.#zones();
    if (drawn) this.map.showBounds(boundsOf(drawn));
  }

  /** What can be drawn; null while a number of it is being typed. */
  #zones(): Pick<Draft, "target" | "area"> | null {
    const { targetRadius, lowest, highest, areaRadius, spacing } = this.#fields;
    const [target, area] = [this.#target.place, this.#area.place];
    if (!target || !area || [targetRadius, areaRadius, spacing].some((field) => field.problem())) return null;
    return {
      target: { ...target, radius: targetRadius.value!, lowest: lowest.value, highest: highest.value },
      area: { ...area, radius: areaRadius.value!, spacing: spacing.value!, shape: this.#shape },
    };
  }

  get #all(): Field[] {
    const fields = [this.#target, this.#area, this.#from, this.#to, this.#arrival, this.#members];
    const shown = [...fields, ...Object.values(this.#fields), ...this.#balloons.fields];
    return shown.filter(({ root }) => root.isConnected);
  }

  /** Fields by the names of the service. */
  get named(): Record<string, Field> {
    const { targetRadius, lowest, highest, areaRadius, spacing, stepHours, days, tolerance } = this.#fields;
    return {
      "target.lat": this.#target,
      "target.lon": this.#target,
      "target.radius": targetRadius,
      "target.lowest": lowest,
      "target.highest": highest,
      "area.lat": this.#area,
      "area.lon": this.#area,
      "area.radius": areaRadius,
      "area.spacing": spacing,
      window: this.#to,
      "window.from": this.#from,
      "window.to": this.#to,
      "window.step_hours": stepHours,
      "arrival.time": this.#arrival,
      "arrival.days": days,
      "arrival.tolerance_minutes": tolerance,
      "arrival.step_hours": stepHours,
      members: this.#members,
      ...this.#balloons.named,
    };
  }

  /** Show what the service refused at the fields that it names, or begins its sentence with. */
  mark({ parameters, message }: ApiError): void {
    const { named } = this;
    const [first = ""] = message.split(" ", 1);
    const reasons = Object.entries(parameters);
    for (const [name, reason] of reasons.length ? reasons : [[first, message] as const])
      named[name]?.fail(sentence(reason));
  }

  /** The search, or null while something of it is not right; said is only what no field alone can tell. */
  read(): Draft | null {
    if (this.#all.some((field) => field.problem() !== null)) return null;
    const draft = this.#draft();
    const wrong = draft && disagreement(draft);
    for (const [name, field] of Object.entries(this.#disagreeing))
      field.fail(wrong?.field === name ? wrong.reason : null);
    return wrong ? null : draft;
  }

  get #disagreeing(): Record<"to" | "highest", Field> {
    return { to: this.#to, highest: this.#fields.highest };
  }

  /** The search; what is wrong with it is shown, and null is returned. */
  checked(): Draft | null {
    if (!allRight(this.#all)) return null;
    const draft = this.#draft();
    const wrong = draft && disagreement(draft);
    if (!wrong) return draft;
    if (wrong.field === "balloon") this.#balloons.fail(wrong.index ?? 0, wrong.reason);
    else {
      const field = this.#disagreeing[wrong.field];
      field.fail(wrong.reason);
      field.input.focus();
    }
    return null;
  }

  #draft(): Draft | null {
    const zones = this.#zones();
    if (!zones) return null;
    const { stepHours, days, tolerance } = this.#fields;
    const members = readMembers(this.#members.text);
    return {
      ...zones,
      mission: this.#mission,
      hit: this.#hit,
      from: this.#from.time ?? 0,
      to: this.#to.time ?? 0,
      stepHours: stepHours.value!,
      arrival: this.#arrival.time ?? 0,
      days: days.value!,
      toleranceMinutes: tolerance.value!,
      balloons: this.#balloons.read(),
      members: typeof members === "object" && "error" in members ? "all" : members,
      refine: this.#refine.input.checked,
    };
  }
}
