// The balloons of a search: one or more, each with a name and its numbers.

import { h, iconButton } from "../dom";
import { type Field, MeasureField, TextField } from "../fields";
import type { Profile } from "../plan";
import type { Units } from "../units";
import { BALLOON_LIMITS, type BalloonDraft, MOST_BALLOONS } from "./searches";

const PROFILES: Record<Profile, string> = { standard: "Standard", zpb: "Zero-pressure", float: "Float" };

interface Row {
  root: HTMLElement;
  fields: Record<string, Field>;
  read(): BalloonDraft;
}

export class BalloonRows {
  readonly root = h("div", { class: "stack" });
  onChange: () => void = () => {};
  readonly #list = h("div", { class: "stack" });
  readonly #add = h("button", { type: "button", onclick: () => this.#addOne() }, "Add a balloon");
  #rows: Row[] = [];
  /** Ids of fields stay different when rows go. */
  #count = 0;

  constructor(
    readonly units: Units,
    balloons: BalloonDraft[],
  ) {
    this.root.append(this.#list, h("div", {}, this.#add));
    for (const balloon of balloons) this.#append(balloon);
  }

  get fields(): Field[] {
    return this.#rows.flatMap(({ fields }) => Object.values(fields));
  }

  /** Fields by the names of the service: `balloons.0.asc`. */
  get named(): Record<string, Field> {
    const entries = this.#rows.flatMap(({ fields }, i) =>
      Object.entries(fields).map(([name, field]) => [`balloons.${i}.${name}`, field] as const),
    );
    return Object.fromEntries(entries);
  }

  read(): BalloonDraft[] {
    return this.#rows.map((row) => row.read());
  }

  fail(index: number, reason: string): void {
    const field = this.#rows[index]?.fields.name;
    field?.fail(reason);
    field?.input.focus();
  }

  #addOne(): void {
    const balloons = this.read();
    const names = new Set(balloons.map(({ name }) => name));
    let number = balloons.length + 1;
    while (names.has(`Balloon ${number}`)) number++;
    const row = this.#append({ ...balloons.at(-1)!, name: `Balloon ${number}` });
    row.fields.name!.input.focus();
    this.onChange();
  }

  #append(balloon: BalloonDraft): Row {
    const row = this.#rowOf(balloon, this.#count++);
    this.#rows.push(row);
    this.#list.append(row.root);
    this.#update();
    return row;
  }

  #update(): void {
    this.#add.disabled = this.#rows.length >= MOST_BALLOONS;
    for (const { root } of this.#rows) root.querySelector<HTMLElement>(".icon-button")!.hidden = this.#rows.length < 2;
  }

  #rowOf(balloon: BalloonDraft, key: number): Row {
    const { units } = this;
    const id = (name: string) => `balloon-${key}-${name}`;
    const name = new TextField(id("name"), "Name", { maxlength: 50 }, {}, (text) =>
      text.trim() ? null : "Needs a name",
    );
    name.text = balloon.name;
    const profile = h(
      "select",
      { id: id("profile") },
      ...Object.entries(PROFILES).map(([value, label]) => h("option", { value }, label)),
    );
    profile.value = balloon.profile;
    const asc = new MeasureField(id("asc"), BALLOON_LIMITS.asc, balloon.asc, units);
    const burst = new MeasureField(id("burst"), BALLOON_LIMITS.burst, balloon.top, units);
    const float = new MeasureField(id("float"), BALLOON_LIMITS.float, balloon.top, units);
    const hours = new MeasureField(id("hours"), BALLOON_LIMITS.floatHours, balloon.floatHours, units);
    const desc = new MeasureField(id("desc"), BALLOON_LIMITS.desc, balloon.desc, units);
    const coeff = new MeasureField(id("coeff"), BALLOON_LIMITS.coeff, balloon.coeff, units);
    const numbers = h("div", { class: "fields" });
    const size = h("button", { type: "button", onclick: () => void fromPayload() }, "From balloon and payload");
    const top = () => (profile.value === "standard" ? burst : float);
    const show = () => {
      const parts: Record<Profile, Field[]> = {
        standard: [asc, burst, desc],
        zpb: [asc, float, hours, desc],
        float: [asc, float, hours],
      };
      numbers.replaceChildren(...parts[profile.value as Profile].map(({ root }) => root), coeff.root);
    };
    const fromPayload = async () => {
      const { askBalloon } = await import("../balloondialog");
      const found = await askBalloon(units);
      if (!found) return;
      asc.value = found.ascentRate;
      top().value = found.top;
      if (found.descentRate !== null) desc.value = found.descentRate;
      this.onChange();
    };
    profile.addEventListener("change", show);
    show();
    const gone = iconButton("trash", `Remove ${balloon.name}`, () => {
      this.#rows = this.#rows.filter((one) => one !== row);
      row.root.remove();
      this.#update();
      this.#add.focus();
      this.onChange();
    });
    name.input.addEventListener("input", () => gone.setAttribute("aria-label", `Remove ${name.text}`));
    const root = h(
      "div",
      { class: "balloon-row", role: "group", "aria-label": "Balloon" },
      h(
        "div",
        { class: "fields" },
        name.root,
        h(
          "div",
          { class: "field" },
          h("label", { for: profile.id }, "Profile"),
          h("div", { class: "row with-button" }, profile, gone),
        ),
      ),
      numbers,
      size,
    );
    const row: Row = {
      root,
      // What the service calls `equil` is the one that is shown.
      get fields() {
        return { name, asc, equil: top(), eqtime: hours, desc, coeff };
      },
      read: () => ({
        name: name.text.trim(),
        profile: profile.value as Profile,
        asc: asc.value ?? Number.NaN,
        desc: desc.value ?? Number.NaN,
        top: top().value ?? Number.NaN,
        floatHours: hours.value ?? Number.NaN,
        coeff: coeff.value ?? Number.NaN,
      }),
    };
    return row;
  }
}
