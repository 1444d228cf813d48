// The balloons of a search: one or more, each with a name and its numbers.

import { h, iconButton } from "../dom";
import { ChoiceField, type Field, MeasureField, TextField } from "../fields";
import { type BalloonForm, GasBalloon } from "../gasballoon";
import {
  BALLOON_NUMBERS,
  type Balloon,
  type BalloonNumber,
  balloonFields,
  FIELDS,
  PROFILE_NAMES,
  type Profile,
} from "../plan";
import type { Units } from "../units";
import { type BalloonDraft, MOST_BALLOONS } from "./searches";

export class BalloonRows {
  readonly root = h("div", { class: "stack" });
  onChange: () => void = () => {};
  readonly #list = h("div", { class: "stack" });
  readonly #add = h("button", { type: "button", onclick: () => this.#addOne() }, "Add a balloon");
  #rows: BalloonRow[] = [];
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

  #append(balloon: BalloonDraft): BalloonRow {
    const row = new BalloonRow(this.units, balloon, this.#count++);
    row.onChange = () => this.onChange();
    row.onGone = () => this.#remove(row);
    this.#rows.push(row);
    this.#list.append(row.root);
    this.#update();
    return row;
  }

  #remove(row: BalloonRow): void {
    this.#rows = this.#rows.filter((one) => one !== row);
    row.root.remove();
    this.#update();
    this.#add.focus();
    this.onChange();
  }

  #update(): void {
    this.#add.disabled = this.#rows.length >= MOST_BALLOONS;
    for (const { root } of this.#rows) root.querySelector<HTMLElement>(".icon-button")!.hidden = this.#rows.length < 2;
  }
}

class BalloonRow {
  readonly root: HTMLElement;
  onChange: () => void = () => {};
  onGone: () => void = () => {};
  readonly #name: TextField;
  readonly #profile: ChoiceField;
  readonly #numbers: Record<BalloonNumber, MeasureField>;
  readonly #parts = h("div", { class: "fields" });
  readonly #size = h("button", { type: "button", onclick: () => void this.#fromPayload() }, "From balloon and payload");
  /** As it was read or chosen; what is typed stands in the fields. */
  #balloon: BalloonDraft;
  #gas: GasBalloon | null = null;

  constructor(
    readonly units: Units,
    balloon: BalloonDraft,
    readonly key: number,
  ) {
    this.#balloon = balloon;
    this.#name = new TextField(this.#id("name"), "Name", { maxlength: 50 }, {}, (text) =>
      text.trim() ? null : "Needs a name",
    );
    this.#name.text = balloon.name;
    this.#profile = new ChoiceField(this.#id("profile"), "Profile", Object.entries(PROFILE_NAMES));
    this.#numbers = Object.fromEntries(
      BALLOON_NUMBERS.map((name) => [name, new MeasureField(this.#id(name), FIELDS[name], balloon[name], units)]),
    ) as Record<BalloonNumber, MeasureField>;
    const { input } = this.#profile;
    input.addEventListener("change", () => this.#change({ profile: input.value as Profile }));
    const gone = iconButton("trash", `Remove ${balloon.name}`, () => this.onGone());
    this.#name.input.addEventListener("input", () => gone.setAttribute("aria-label", `Remove ${this.#name.text}`));
    const beside = h("div", { class: "row with-button" });
    this.#name.input.before(beside);
    beside.append(this.#name.input, gone);
    this.root = h(
      "div",
      { class: "balloon-row", role: "group", "aria-label": "Balloon" },
      h("div", { class: "fields" }, this.#name.root, this.#profile.root),
      this.#parts,
      this.#size,
    );
    this.#parts.addEventListener("input", () => this.#sizeAgain());
    this.#show();
  }

  /** Fields by the names of the service. */
  get fields(): Record<string, Field> {
    const used = this.#used.map((name) => [FIELDS[name].parameter!, this.#numbers[name]]);
    return { name: this.#name, ...Object.fromEntries(used), ...(this.#gas && { envelope: this.#gas.envelope }) };
  }

  read(): BalloonDraft {
    const typed = this.#used.map((name) => [name, this.#numbers[name].value ?? Number.NaN]);
    return { ...this.#balloon, ...Object.fromEntries(typed), name: this.#name.text.trim() };
  }

  get #used(): BalloonNumber[] {
    return [...balloonFields(this.#balloon), "coeff"];
  }

  #id(name: string): string {
    return `balloon-${this.key}-${name}`;
  }

  #show(): void {
    const { profile } = this.#balloon;
    this.#profile.text = profile;
    this.#size.hidden = profile === "physical";
    this.#gas = profile === "physical" ? new GasBalloon(this.#gasForm()) : null;
    const fields = this.#gas?.fields ?? balloonFields(this.#balloon).map((name) => this.#numbers[name].root);
    this.#parts.replaceChildren(...fields, this.#numbers.coeff.root);
  }

  #change(part: Partial<Balloon>): void {
    const { profile } = this.#balloon;
    this.#balloon = { ...this.read(), ...part };
    for (const name of BALLOON_NUMBERS) if (part[name] !== undefined) this.#numbers[name].value = part[name];
    if (this.#balloon.profile === profile) this.#sizeAgain();
    else this.#show();
    this.onChange();
  }

  /** What was refused may be right with another number beside it. */
  #sizeAgain(): void {
    if (!this.#gas) return;
    for (const name of this.#used) this.#numbers[name].fail(this.#numbers[name].problem());
    this.#gas.update();
  }

  async #fromPayload(): Promise<void> {
    const { askBalloon } = await import("../balloondialog");
    const found = await askBalloon(this.units, this.read());
    if (found) this.#change(found);
  }

  #gasForm(): BalloonForm {
    const row = this;
    return {
      units: this.units,
      prefix: this.#id(""),
      get balloon() {
        return row.read();
      },
      altitude: 0,
      change: (part) => this.#change(part),
      number: (name) => this.#numbers[name].root,
      refuse: (name, reason) => {
        if (name !== "alt") this.#numbers[name].fail(reason);
      },
    };
  }
}
