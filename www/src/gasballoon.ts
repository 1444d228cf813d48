// The choices of a gas balloon, and the line that says what it will do.

import "./gasballoon.css";
import { ApiError, send, UnreachableError } from "./api";
import { outOfRange } from "./checks";
import { h } from "./dom";
import { balloonParts, envelopeGroups, type Parts } from "./envelopes";
import { ChoiceField } from "./fields";
import { AIRS, type Balloon, type BalloonNumber, balloonFields, FIELDS, FILLS, GASES, type Plan } from "./plan";
import { notFlown, refusedField, type Specs, sizingBody, sizingText } from "./sizing";
import type { Units } from "./units";

const ASK_AFTER_MS = 250;
const AFLOAT_HOURS = 2;
const AIR_NAMES: Record<Plan["air"], string> = { standard: "Standard", model: "The forecast's" };

type Choice = "gas" | "fillBy" | "descendBy" | "air";

/** A form with a gas balloon in it. */
export interface BalloonForm {
  readonly units: Units;
  /** Set before the names of its own fields, which stay different on one page. */
  readonly prefix: string;
  /** As it is; without `air` where that cannot be chosen. */
  readonly balloon: Balloon & { air?: Plan["air"] };
  /** Where it is filled, m. */
  readonly altitude: number;
  change(part: Partial<Plan>): void;
  /** The field of a number, made anew. */
  number(name: BalloonNumber): HTMLElement;
  refuse(name: BalloonNumber | "alt", reason: string): void;
}

export class GasBalloon {
  readonly envelope: ChoiceField;
  readonly fields: HTMLElement[];
  readonly #choices: Record<Choice, ChoiceField>;
  readonly #slots = { payload: slot(), fill: slot(), descent: slot(), afloat: slot() };
  readonly #outcome = h("p", { class: "note wide outcome-line", role: "status" });
  readonly #trouble = h("p", { class: "note bad wide", hidden: true });
  readonly #shown = new Map<HTMLElement, BalloonNumber | null>();
  #parts: Parts | null = null;
  #timer = 0;
  #asked = new AbortController();

  constructor(readonly form: BalloonForm) {
    const id = (name: string) => `${form.prefix}${name}`;
    this.envelope = new ChoiceField(id("envelope"), "Envelope", [], { wide: true });
    this.#choices = {
      gas: new ChoiceField(
        id("gas"),
        "Gas",
        GASES.map((gas) => [gas, gas]),
      ),
      fillBy: new ChoiceField(
        id("fill-by"),
        "Filled for",
        FILLS.map((name) => [name, FIELDS[name].label]),
      ),
      descendBy: new ChoiceField(id("descend-by"), "Comes down by", [
        ["desc", FIELDS.desc.label],
        ["chute", "Parachute"],
      ]),
      air: new ChoiceField(
        id("air"),
        "Air it climbs through",
        AIRS.map((air) => [air, AIR_NAMES[air]]),
      ),
    };
    for (const [name, { input }] of Object.entries(this.#choices)) {
      input.addEventListener("input", () => form.change({ [name]: input.value }));
    }
    this.envelope.input.addEventListener("input", () => this.#takeEnvelope());
    const { gas, fillBy, descendBy, air } = this.#choices;
    const { payload, fill, descent, afloat } = this.#slots;
    this.fields = [
      this.envelope.root,
      this.#trouble,
      gas.root,
      payload,
      fillBy.root,
      fill,
      descendBy.root,
      descent,
      ...(form.balloon.air === undefined ? [] : [air.root]),
      afloat,
      this.#outcome,
    ];
    this.update();
    void this.#load();
  }

  async #load(): Promise<void> {
    try {
      this.#parts = await balloonParts();
      this.#trouble.hidden = true;
      this.update();
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof UnreachableError)) throw error;
      const again = h("button", { type: "button", onclick: () => void this.#load() }, "Try again");
      this.#trouble.replaceChildren(`${error.message}: there are no other envelopes now. `, again);
      this.#trouble.hidden = false;
    }
  }

  /** Show the balloon as it is now, and what it will do. */
  update(): void {
    const { balloon } = this.form;
    const [payload, fill, descent] = balloonFields(balloon);
    this.#showEnvelopes();
    for (const [name, field] of Object.entries(this.#choices)) {
      const value = balloon[name as Choice];
      if (value !== undefined) field.input.value = value;
    }
    const bursts = this.#kindOf(balloon.envelope) === "latex";
    const { fillBy } = this.#choices;
    fillBy.input.options[FILLS.indexOf("burst")]!.disabled = !bursts && this.#parts !== null;
    this.#show(this.#slots.payload, payload!);
    this.#show(this.#slots.fill, fill!);
    this.#show(this.#slots.descent, descent!);
    this.#show(this.#slots.afloat, bursts && balloon.afloat === 0 ? null : "afloat");
    clearTimeout(this.#timer);
    this.#asked.abort();
    this.#timer = window.setTimeout(() => void this.#size(), ASK_AFTER_MS);
  }

  #kindOf(name: string): string | undefined {
    return this.#parts?.envelopes.find((envelope) => envelope.name === name)?.kind;
  }

  #showEnvelopes(): void {
    const { input } = this.envelope;
    const { envelope } = this.form.balloon;
    const isThere = [...input.options].some(({ value }) => value === envelope);
    if (!isThere || (this.#parts && !input.querySelector("optgroup"))) {
      const groups = this.#parts ? envelopeGroups(this.#parts.envelopes, this.form.units) : [];
      const isListed = this.#kindOf(envelope) !== undefined;
      input.replaceChildren(...(isListed ? [] : [h("option", { value: envelope }, envelope)]), ...groups);
    }
    input.value = envelope;
  }

  #show(place: HTMLElement, name: BalloonNumber | null): void {
    if (this.#shown.get(place) === name) return;
    this.#shown.set(place, name);
    place.hidden = name === null;
    place.replaceChildren(...(name ? [this.form.number(name)] : []));
  }

  /** What cannot be of another kind of envelope changes with it. */
  #takeEnvelope(): void {
    const { balloon } = this.form;
    const envelope = this.envelope.text;
    if (this.#kindOf(envelope) === "latex") this.form.change({ envelope, afloat: 0 });
    else
      this.form.change({
        envelope,
        afloat: balloon.afloat || AFLOAT_HOURS,
        ...(balloon.fillBy === "burst" && { fillBy: "asc" }),
      });
  }

  async #size(): Promise<void> {
    const { form } = this;
    const { balloon, units } = form;
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    // Of a form that has gone on to something else, too.
    const isOver = () => signal.aborted || !this.envelope.root.isConnected;
    if (isOver()) return;
    if (balloonFields(balloon).some((name) => outOfRange(name, balloon[name], units))) return this.#say("");
    try {
      const body = sizingBody(balloon, form.altitude);
      const specs = await send<Specs>("POST", "/api/v1/balloon-specs", body, {}, signal);
      if (isOver()) return;
      const problem = notFlown(specs, balloon, units);
      if (problem) form.refuse(problem.name, problem.reason);
      const air = balloon.air === "model" ? " In standard air; the flight climbs through the forecast's." : "";
      this.#say(sizingText(specs, balloon, units) + air);
    } catch (error) {
      if (isOver()) return;
      if (!(error instanceof ApiError || error instanceof UnreachableError)) throw error;
      this.#say("");
      if (error instanceof ApiError) this.#refuse(error);
    }
  }

  #say(text: string): void {
    this.envelope.fail(null);
    this.#outcome.textContent = text;
  }

  #refuse(error: ApiError): void {
    const reason = error.message.charAt(0).toUpperCase() + error.message.slice(1);
    const name = refusedField(error, this.form.balloon);
    if (name === "envelope") this.envelope.fail(reason);
    else this.form.refuse(name, reason);
  }
}

function slot(): HTMLElement {
  return h("div", { class: "slot" });
}
