// Fields of forms: a label, an input, and a line for its range or for what is wrong with it.

import { ApiError } from "./api";
import { outOfLimits, rangeText, readField } from "./checks";
import { formatCoordinates, parseCoordinates } from "./coordinates";
import { h } from "./dom";
import { wrap } from "./geo";
import type { NumberField, Position } from "./plan";
import { fromDateTimeInput, inputText, toDateTimeInput, type Units, unitName } from "./units";

type Input = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

interface Look {
  /** What stands below while nothing is wrong. */
  hint?: string;
  /** Over all columns. */
  wide?: boolean;
  unit?: string;
}

export class Field<I extends Input = Input> {
  readonly root: HTMLElement;
  readonly #note: HTMLElement;
  #hint: string;

  constructor(
    readonly input: I,
    label: string,
    look: Look = {},
  ) {
    this.#hint = look.hint ?? "";
    this.#note = h("p", { id: `${input.id}-note`, class: "note" }, this.#hint);
    input.setAttribute("aria-describedby", this.#note.id);
    const shown = look.unit ? h("div", { class: "measure" }, input, h("span", {}, look.unit)) : input;
    this.root = h(
      "div",
      { class: look.wide ? "field wide" : "field" },
      h("label", { for: input.id }, label),
      shown,
      this.#note,
    );
    input.addEventListener("input", () => this.fail(null));
    // What is not yet typed is not wrong yet.
    input.addEventListener("change", () => this.fail(input.value ? this.problem() : null));
  }

  get text(): string {
    return this.input.value;
  }

  set text(text: string) {
    this.input.value = text;
    this.fail(null);
  }

  set hint(text: string) {
    this.#hint = text;
    if (this.input.getAttribute("aria-invalid") !== "true") this.#note.textContent = text;
  }

  /** What is wrong with what stands there; null for nothing. */
  problem(): string | null {
    return null;
  }

  /** Show a reason, or the usual line for none. */
  fail(reason: string | null): void {
    this.#note.textContent = reason ?? this.#hint;
    this.#note.classList.toggle("bad", reason !== null);
    this.input.setAttribute("aria-invalid", String(reason !== null));
  }
}

export type Props = NonNullable<Parameters<typeof h>[1]>;

/** A line of text; `check` says what is wrong with it. */
export class TextField extends Field<HTMLInputElement> {
  constructor(
    id: string,
    label: string,
    props: Props = {},
    look: Look = {},
    readonly check: (text: string) => string | null = () => null,
  ) {
    super(h("input", { id, type: "text", ...props }), label, look);
  }

  override problem(): string | null {
    return this.check(this.text);
  }
}

export class LongTextField extends Field<HTMLTextAreaElement> {
  constructor(id: string, label: string, most: number) {
    super(h("textarea", { id, rows: 3, maxlength: most }), label, { wide: true });
  }
}

export class ChoiceField extends Field<HTMLSelectElement> {
  constructor(id: string, label: string, options: Iterable<readonly [value: string, text: string]>, look: Look = {}) {
    super(h("select", { id }), label, look);
    this.options = options;
  }

  set options(options: Iterable<readonly [value: string, text: string]>) {
    this.input.replaceChildren(...[...options].map(([value, text]) => h("option", { value }, text)));
  }
}

/** A number in SI that is shown in the reader's units. */
export class MeasureField extends Field<HTMLInputElement> {
  constructor(
    id: string,
    readonly of: NumberField,
    value: number | null,
    readonly units: Units,
    /** What a field that may be empty then means. */
    readonly empty?: string,
    wide = false,
  ) {
    const hint = of.help ?? rangeText(of, units);
    const input = h("input", {
      id,
      type: "text",
      inputmode: of.whole ? "numeric" : "decimal",
      autocomplete: "off",
      placeholder: empty,
    });
    super(input, of.label, { hint, unit: unitName(of.quantity, units), wide });
    this.value = value;
  }

  /** SI; null where it is empty, NaN for what is no number. */
  get value(): number | null {
    return readField(this.of, this.text, this.units);
  }

  set value(value: number | null) {
    this.text = value === null ? "" : inputText(value, this.of.quantity, this.units);
  }

  override problem(): string | null {
    const { value } = this;
    return value === null && this.empty !== undefined ? null : outOfLimits(this.of, value ?? Number.NaN, this.units);
  }
}

/** A place, as people write it. */
export class PlaceField extends Field<HTMLInputElement> {
  constructor(id: string, label: string, place: Position | null, look: Look = { wide: true }) {
    super(h("input", { id, type: "text", spellcheck: "false", autocomplete: "off" }), label, look);
    if (place) this.place = place;
  }

  get place(): Position | null {
    const found = parseCoordinates(this.text);
    return "error" in found ? null : { lat: found.lat, lon: wrap(found.lon) };
  }

  set place({ lat, lon }: Position) {
    this.text = formatCoordinates({ lat, lon: wrap(lon) }, "decimal");
  }

  override problem(): string | null {
    const found = parseCoordinates(this.text);
    return "error" in found ? found.error : null;
  }
}

/** A moment in UTC. */
export class TimeField extends Field<HTMLInputElement> {
  constructor(
    id: string,
    readonly label: string,
    unixSeconds: number | null,
    readonly mayBeEmpty = false,
  ) {
    super(h("input", { id, type: "datetime-local" }), label);
    if (unixSeconds !== null) this.time = unixSeconds;
  }

  get time(): number | null {
    return fromDateTimeInput(this.text, "utc");
  }

  set time(unixSeconds: number) {
    this.text = toDateTimeInput(unixSeconds, "utc");
  }

  override problem(): string | null {
    return this.time === null && !(this.mayBeEmpty && !this.text) ? "Needs a date and a time" : null;
  }
}

/** A checkbox with its label. */
export function checkBox(id: string, label: string, checked = false): { root: HTMLElement; input: HTMLInputElement } {
  const input = h("input", { type: "checkbox", id, checked });
  return { root: h("label", { class: "check" }, input, label), input };
}

/** Show what is wrong in each field and go to the first of them. Returns whether all are right. */
export function allRight(fields: Iterable<Field>): boolean {
  let first: Field | null = null;
  for (const field of fields) {
    const reason = field.root.isConnected ? field.problem() : null;
    field.fail(reason);
    if (reason) first ??= field;
  }
  first?.input.focus();
  return first === null;
}

/** Show what the service refused at the fields, by the names of its parameters; what belongs to none is returned. */
export function refuse(error: unknown, fields: Record<string, Field>): boolean {
  if (!(error instanceof ApiError)) return false;
  const reasons = Object.entries(error.parameters);
  let first: Field | null = null;
  for (const [name, reason] of reasons) {
    const field = fields[name];
    if (!field?.root.isConnected) return false;
    field.fail(reason);
    first ??= field;
  }
  first?.input.focus();
  return reasons.length > 0;
}
