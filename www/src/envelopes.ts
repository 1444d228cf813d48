// What balloons can be made of, as the service lists it.

import { ask } from "./api";
import { h } from "./dom";
import type { components } from "./schema";
import { formatAmount, type Units } from "./units";

export type Parts = components["schemas"]["BalloonParts"];
type Envelope = Parts["envelopes"][number];

let listed: Promise<Parts> | null = null;

/** Asks once; what failed is asked again. Raises ApiError or UnreachableError. */
export function balloonParts(): Promise<Parts> {
  listed ??= ask<Parts>("/api/v1/balloon-specs").then(({ body }) => body);
  listed.catch(() => {
    listed = null;
  });
  return listed;
}

/** Options for a choice of an envelope, by kind and maker. */
export function envelopeGroups(envelopes: readonly Envelope[], units: Units): HTMLElement[] {
  const groups = new Map<string, Envelope[]>();
  for (const envelope of envelopes) {
    const label = `${envelope.maker || "Other"}, ${envelope.kind.replace("-", " ")}`;
    groups.set(label, [...(groups.get(label) ?? []), envelope]);
  }
  const option = ({ name, mass, diameter, discontinued }: Envelope) => {
    const made = discontinued ? ", may be out of production" : "";
    return h(
      "option",
      { value: name },
      `${name}, ${formatAmount(mass, "mass", units)}, ${diameter.toFixed(1)} m${made}`,
    );
  };
  return [...groups].map(([label, group]) => h("optgroup", { label }, ...group.map(option)));
}
