// An envelope that the service does not list: its material, mass and size.

import type { Values } from "./api";
import { h } from "./dom";
import { ChoiceField, type Field, MeasureField } from "./fields";
import type { NumberField } from "./plan";
import { store, stored } from "./stored";
import type { Units } from "./units";

/** The choice of it, which is the name of no envelope. */
export const OWN = "=own";

const MATERIALS: [string, string][] = [
  ["latex", "Latex"],
  ["zero-pressure", "Zero-pressure film"],
  ["super-pressure", "Super-pressure film"],
];
/** Limits of the service, which a test compares. */
export const LIMITS = {
  mass: { label: "Mass of the envelope", quantity: "mass", min: 0.001, max: 20_000 },
  diameter: { label: "Burst diameter, m", quantity: "plain", min: 0.01, max: 100 },
  volume: { label: "Full volume", quantity: "volume", min: 0.001, max: 2_000_000 },
  pressure: { label: "Pressure it stands above the air, Pa", quantity: "plain", min: 1, max: 100_000 },
} satisfies Record<string, NumberField>;

interface Kept {
  material: string;
  mass: number;
  diameter: number;
  volume: number;
  pressure: number;
}
const USUAL: Kept = { material: "latex", mass: 1, diameter: 8, volume: 1000, pressure: 2000 };

export class OwnEnvelope {
  readonly root = h("div", { class: "fields wide", role: "group", "aria-label": "An envelope of your own" });
  readonly #material = new ChoiceField("own-material", "Material", MATERIALS, { wide: true });
  readonly #size = h("div", { class: "fields wide" });
  readonly #numbers: Record<keyof typeof LIMITS, MeasureField>;

  constructor(units: Units) {
    const isKept = (value: unknown) => typeof value === "object" && value !== null;
    const kept: Kept = { ...USUAL, ...stored<Partial<Kept>>("envelope", isKept, {}) };
    const measure = (name: keyof typeof LIMITS) => new MeasureField(`own-${name}`, LIMITS[name], kept[name], units);
    this.#numbers = {
      mass: measure("mass"),
      diameter: measure("diameter"),
      volume: measure("volume"),
      pressure: measure("pressure"),
    };
    this.#material.text = MATERIALS.some(([value]) => value === kept.material) ? kept.material : "latex";
    this.#material.input.addEventListener("input", () => this.#showSize());
    this.root.append(this.#material.root, this.#numbers.mass.root, this.#size);
    this.#showSize();
  }

  /** Besides the mass, by the names of the service. */
  get #sizes(): Record<string, MeasureField> {
    const { diameter, volume, pressure } = this.#numbers;
    if (this.#material.text === "latex") return { burst_diameter: diameter };
    if (this.#material.text === "zero-pressure") return { envelope_volume: volume };
    return { envelope_volume: volume, pressure_limit: pressure };
  }

  #showSize(): void {
    this.#size.replaceChildren(...Object.values(this.#sizes).map(({ root }) => root));
  }

  /** Fields by the names of the service. */
  get fields(): Record<string, Field> {
    return { envelope_mass: this.#numbers.mass, ...this.#sizes };
  }

  /** By the names of the service; kept in this browser. */
  get values(): Values {
    const material = this.#material.text;
    const numbers = Object.entries(this.#numbers).map(([name, { value }]) => [name, value]);
    store("envelope", { material, ...Object.fromEntries(numbers) });
    const sizes = Object.entries(this.#sizes).map(([name, { value }]) => [name, value!]);
    return { material, envelope_mass: this.#numbers.mass.value!, ...Object.fromEntries(sizes) };
  }
}
