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
} satisfies Record<string, NumberField>;

interface Kept {
  material: string;
  mass: number;
  diameter: number;
  volume: number;
}
const USUAL: Kept = { material: "latex", mass: 1, diameter: 8, volume: 1000 };

export class OwnEnvelope {
  readonly root = h("div", { class: "fields wide", role: "group", "aria-label": "An envelope of your own" });
  readonly #material = new ChoiceField("own-material", "Material", MATERIALS, { wide: true });
  readonly #size = h("div", {});
  readonly #numbers: Record<keyof typeof LIMITS, MeasureField>;

  constructor(units: Units) {
    const isKept = (value: unknown) => typeof value === "object" && value !== null;
    const kept: Kept = { ...USUAL, ...stored<Partial<Kept>>("envelope", isKept, {}) };
    const measure = (name: keyof typeof LIMITS) => new MeasureField(`own-${name}`, LIMITS[name], kept[name], units);
    this.#numbers = { mass: measure("mass"), diameter: measure("diameter"), volume: measure("volume") };
    this.#material.text = MATERIALS.some(([value]) => value === kept.material) ? kept.material : "latex";
    this.#material.input.addEventListener("input", () => this.#showSize());
    this.root.append(this.#material.root, this.#numbers.mass.root, this.#size);
    this.#showSize();
  }

  #showSize(): void {
    const { diameter, volume } = this.#numbers;
    this.#size.replaceChildren((this.#material.text === "latex" ? diameter : volume).root);
  }

  /** Fields by the names of the service. */
  get fields(): Record<string, Field> {
    const { mass, diameter, volume } = this.#numbers;
    const size = this.#material.text === "latex" ? { burst_diameter: diameter } : { envelope_volume: volume };
    return { envelope_mass: mass, ...size };
  }

  /** By the names of the service; kept in this browser. */
  get values(): Values {
    const material = this.#material.text;
    const { mass, diameter, volume } = this.#numbers;
    store("envelope", { material, mass: mass.value, diameter: diameter.value, volume: volume.value });
    return material === "latex"
      ? { material, envelope_mass: mass.value!, burst_diameter: diameter.value! }
      : { material, envelope_mass: mass.value!, envelope_volume: volume.value! };
  }
}
