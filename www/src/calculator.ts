// What a balloon does: from its envelope, gas and payload to its ascent rate and where it bursts or floats.

import "./calculator.css";
import { ApiError, send, UnreachableError } from "./api";
import { definitions, h, segments } from "./dom";
import { balloonParts, envelopeGroups, type Parts } from "./envelopes";
import { ChoiceField, type Field, MeasureField } from "./fields";
import { OWN, OwnEnvelope } from "./ownenvelope";
import { type Balloon, FIELDS, FILLS, GASES, type NumberField, topField } from "./plan";
import { type Specs, WISHES, type Wish } from "./sizing";
import { store, stored } from "./stored";
import { formatAltitude, formatAmount, formatDuration, formatSpeed, toShown, type Units, unitName } from "./units";

/** What flights need to know of a balloon: m/s, m, and whether it bursts there. */
export interface Sized {
  ascentRate: number;
  top: number;
  bursts: boolean;
  descentRate: number | null;
  /** As a gas balloon of a plan; null for an envelope that the service does not list. */
  balloon: Partial<Balloon> | null;
}

const FILL_OF = Object.fromEntries(FILLS.map((fill) => [WISHES[fill], fill])) as Record<Wish, (typeof FILLS)[number]>;
const WISH_NAMES: Record<Wish, string> = {
  ascent_rate: "Ascent rate",
  burst_altitude: "Burst",
  volume: "Volume",
  free_lift: "Free lift",
};
const ALTITUDE: NumberField = { label: "Launch altitude", quantity: "altitude", min: -500, max: 49_999 };
const CHUTE: NumberField = { ...FIELDS.chute, help: "Canopy laid flat; says how fast it comes down" };
const GRAVITY = 9.80665;
const ASK_AFTER_MS = 250;
/** Of a balloon that does not burst. */
const AFLOAT_HOURS = 2;

/** Kept in this browser: the same balloon is flown more than once. */
interface Kept {
  envelope: string;
  gas: string;
  payload: number;
  wish: Wish;
  values: Record<Wish, number>;
}
const USUAL: Kept = {
  envelope: "kaymont-1200",
  gas: "helium",
  payload: 1,
  wish: "ascent_rate",
  values: { ascent_rate: 5, burst_altitude: 30_000, volume: 3, free_lift: 8 },
};

export class Calculator {
  readonly root = h("div", { class: "calculator" });
  /** Called with each new result, and with null while there is none. */
  onSized: (found: Sized | null) => void = () => {};
  readonly #kept = {
    ...USUAL,
    ...stored<Partial<Kept>>("balloon", (value) => typeof value === "object" && value !== null, {}),
  };
  // Below a dialog of it there may be the fields of a plan.
  readonly #envelope = new ChoiceField("size-envelope", "Envelope", [], { wide: true });
  readonly #own: OwnEnvelope;
  readonly #gas = new ChoiceField("size-gas", "Gas", []);
  readonly #cylinder = new ChoiceField("size-cylinder", "Gas cylinder", []);
  readonly #payload: MeasureField;
  readonly #altitude: MeasureField;
  readonly #chute: MeasureField;
  readonly #wishes = h("div", { class: "wide" });
  readonly #problem = h("p", { class: "bad problem", role: "alert" });
  readonly #result = h("div", { class: "sized", "aria-live": "polite" });
  #amount: MeasureField | null = null;
  #timer = 0;
  #asked = new AbortController();

  constructor(readonly units: Units) {
    this.#own = new OwnEnvelope(units);
    this.#payload = new MeasureField("size-payload", FIELDS.payload, this.#kept.payload, units);
    this.#altitude = new MeasureField("launch-altitude", ALTITUDE, null, units, "sea level");
    this.#chute = new MeasureField("size-chute", CHUTE, null, units, "none");
    void this.#load();
  }

  async #load(): Promise<void> {
    try {
      this.#fill(await balloonParts());
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof UnreachableError)) throw error;
      const again = h("button", { type: "button", onclick: () => void this.#load() }, "Try again");
      this.root.replaceChildren(h("p", { class: "bad", role: "alert" }, error.message), again);
    }
  }

  #fill({ envelopes, gases, cylinders }: Parts): void {
    this.#envelope.input.replaceChildren(
      h("option", { value: OWN }, "An envelope of your own"),
      ...envelopeGroups(envelopes, this.units),
    );
    this.#gas.options = gases.map(({ name }) => [name, name]);
    this.#cylinder.options = cylinders.map(({ name, contents }) => [name, `${name}, ${contents} m³`]);
    const choose = (field: ChoiceField, value: string, names: string[]) => {
      if (names.includes(value)) field.text = value;
    };
    choose(this.#envelope, this.#kept.envelope, [OWN, ...envelopes.map(({ name }) => name)]);
    choose(
      this.#gas,
      this.#kept.gas,
      gases.map(({ name }) => name),
    );
    choose(
      this.#cylinder,
      "50l",
      cylinders.map(({ name }) => name),
    );
    const wish = segments("wish", "Fill it by", WISH_NAMES, this.#kept.wish, (chosen) => {
      this.#kept.wish = chosen;
      this.#showAmount();
      this.#later();
    });
    this.root.replaceChildren(
      h(
        "div",
        { class: "fields inputs" },
        this.#envelope.root,
        this.#own.root,
        this.#gas.root,
        this.#payload.root,
        h("p", { class: "wide label" }, "Filled for"),
        h("div", { class: "wide" }, wish),
        this.#wishes,
        h(
          "details",
          { class: "wide" },
          h("summary", {}, "More"),
          h("div", { class: "fields" }, this.#altitude.root, this.#chute.root, this.#cylinder.root),
        ),
      ),
      h("div", { class: "outcome" }, this.#problem, this.#result),
    );
    this.#showAmount();
    this.root.addEventListener("input", () => this.#later());
    void this.#size();
  }

  #showAmount(): void {
    const { wish, values } = this.#kept;
    this.#amount = new MeasureField("amount", FIELDS[FILL_OF[wish]], values[wish], this.units);
    this.#wishes.replaceChildren(this.#amount.root);
  }

  #later(): void {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#size(), ASK_AFTER_MS);
  }

  async #size(): Promise<void> {
    const amount = this.#amount!;
    const isOwn = this.#envelope.text === OWN;
    this.#own.root.hidden = !isOwn;
    const fields: Record<string, Field> = {
      ...(isOwn && this.#own.fields),
      payload_mass: this.#payload,
      [this.#kept.wish]: amount,
      launch_altitude: this.#altitude,
      chute_diameter: this.#chute,
      ...(!isOwn && { envelope: this.#envelope }),
    };
    this.#asked.abort();
    this.#asked = new AbortController();
    const { signal } = this.#asked;
    let isWrong = false;
    for (const field of Object.values(fields)) {
      const reason = field.problem();
      field.fail(reason);
      isWrong ||= reason !== null;
    }
    if (isWrong) return this.#show(null, "");
    this.#remember(amount.value!);
    const [altitude, chute] = [this.#altitude.value, this.#chute.value];
    const body = {
      ...(isOwn ? this.#own.values : { envelope: this.#envelope.text }),
      lift_gas_type: this.#gas.text,
      payload_mass: this.#payload.value,
      [this.#kept.wish]: amount.value,
      cylinder: this.#cylinder.text,
      ...(altitude !== null && { launch_altitude: altitude }),
      ...(chute !== null && { chute_diameter: chute }),
    };
    try {
      const specs = await send<Specs>("POST", "/api/v1/balloon-specs", body, {}, signal);
      if (!signal.aborted) this.#show(specs, "");
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError || error instanceof UnreachableError)) throw error;
      const parameters = error instanceof ApiError ? error.parameters : {};
      for (const [name, reason] of Object.entries(parameters)) fields[name]?.fail(reason);
      const text = error.message;
      this.#show(null, text.charAt(0).toUpperCase() + text.slice(1));
    }
  }

  #remember(amount: number): void {
    const { wish, values } = this.#kept;
    Object.assign(this.#kept, {
      envelope: this.#envelope.text,
      gas: this.#gas.text,
      payload: this.#payload.value,
      values: { ...values, [wish]: amount },
    });
    store("balloon", this.#kept);
  }

  #show(specs: Specs | null, problem: string): void {
    this.#problem.textContent = problem;
    this.#result.replaceChildren(...(specs ? [summary(specs, this.units)] : []));
    this.onSized(specs && sizedOf(specs, this.#envelope.text === OWN ? null : this.#balloon(specs)));
  }

  #balloon({ payload_mass, burst_altitude }: Specs): Partial<Balloon> {
    const fillBy = FILL_OF[this.#kept.wish];
    const chute = this.#chute.value;
    return {
      profile: "physical",
      envelope: this.#envelope.text,
      gas: GASES.find((gas) => gas === this.#gas.text)!,
      payload: payload_mass,
      fillBy,
      [fillBy]: this.#amount!.value,
      ...(chute !== null && { descendBy: "chute", chute }),
      afloat: burst_altitude === null ? AFLOAT_HOURS : 0,
    };
  }
}

/** The numbers of a balloon that climbs at one rate. */
export function ratesOf({ ascentRate, top, descentRate }: Sized, balloon: Balloon): Partial<Balloon> {
  return {
    asc: ascentRate,
    [topField(balloon)!]: top,
    ...(descentRate !== null && { desc: descentRate }),
  };
}

/** What flights take of it. A flight climbs at one rate: the mean is what reaches the top in the right time. */
function sizedOf(specs: Specs, balloon: Sized["balloon"]): Sized {
  return {
    balloon,
    ascentRate: Number(specs.mean_ascent_rate.toFixed(2)),
    top: Math.round(specs.burst_altitude ?? specs.float_altitude!),
    bursts: specs.burst_altitude !== null,
    descentRate: specs.descent_rate === null ? null : Number(specs.descent_rate.toFixed(2)),
  };
}

function summary(specs: Specs, units: Units): HTMLElement {
  const bursts = specs.burst_altitude !== null;
  const lift = (newtons: number) =>
    `${Number(newtons.toPrecision(3))} N (${formatAmount(newtons / GRAVITY, "mass", units)})`;
  const { cylinders } = specs;
  const diameter = toShown(specs.launch_diameter, "altitude", units);
  return h(
    "div",
    {},
    h(
      "div",
      { class: "figures" },
      figure(bursts ? "Bursts at" : "Floats at", formatAltitude(specs.burst_altitude ?? specs.float_altitude!, units)),
      figure("Mean ascent", formatSpeed(specs.mean_ascent_rate, units, "verticalSpeed")),
      figure(bursts ? "Bursts after" : "Floats after", formatDuration(specs.ascent_seconds)),
      figure("Gas", formatAmount(specs.volume, "volume", units)),
    ),
    definitions([
      ["Ascent at the launch", formatSpeed(specs.ascent_rate, units, "verticalSpeed")],
      ["Gross lift", lift(specs.gross_lift)],
      ["Neck lift", lift(specs.neck_lift)],
      ["Free lift", lift(specs.free_lift)],
      ["Diameter at the launch", `${diameter.toFixed(units === "metric" ? 2 : 1)} ${unitName("altitude", units)}`],
      ["Mass of the gas", formatAmount(specs.gas_mass, "mass", units)],
      ["Cylinders", `${cylinders.count} of ${cylinders.name}`],
      [
        "Descent at sea level",
        specs.descent_rate === null ? null : formatSpeed(specs.descent_rate, units, "verticalSpeed"),
      ],
    ]),
    h("p", { class: "note" }, `Envelope: ${specs.envelope.name === "own" ? "your own" : specs.envelope.source}`),
  );
}

function figure(label: string, value: string): HTMLElement {
  return h("div", { class: "figure" }, h("span", { class: "note" }, label), h("strong", {}, value));
}
