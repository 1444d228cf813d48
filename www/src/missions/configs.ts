// Plans as the configs of simulations, and back.

import { launchValues, type Values } from "../api";
import { wrap } from "../geo";
import {
  AIRS,
  type Balloon,
  balloonFields,
  DEFAULT_BALLOON,
  DEFAULT_PLAN,
  DESCENTS,
  FIELDS,
  FILLS,
  GASES,
  type Plan,
  PROFILES,
} from "../plan";
import { encodePlan } from "../share";

export interface Submission {
  type: "forward" | "ensemble";
  config: Values;
}

/** What of a simulation is needed to show it on the map. */
interface Kept {
  type: "forward" | "ensemble" | "reverse";
  config: Record<string, unknown>;
  provenance: Record<string, unknown> | null;
}

/** A plan of one launch, as it is submitted; null for one of many launches. */
export function submissionOf(plan: Plan): Submission | null {
  if (plan.mode === "sweep") return null;
  const config = launchValues(plan, plan.time);
  if (plan.mode === "single") return { type: "forward", config: { ...config, model: plan.model } };
  const seed: Values = plan.seed === null ? {} : { seed: plan.seed };
  return { type: "ensemble", config: { ...config, num_perturbations: plan.perturbations, ...seed } };
}

/** The balloon of a launch or a search that is kept; null for one that no form has. */
export function balloonFrom(config: Record<string, unknown>): Balloon | null {
  const profile = PROFILES.find((name) => name === (config.profile ?? "zpb"));
  if (!profile) return null;
  const isGiven = (name: keyof typeof FIELDS) => typeof config[FIELDS[name].parameter!] === "number";
  const balloon: Balloon = {
    ...DEFAULT_BALLOON,
    profile,
    gas: GASES.find((name) => name === config.lift_gas_type) ?? "helium",
    fillBy: FILLS.find(isGiven) ?? "asc",
    descendBy: DESCENTS.find(isGiven) ?? "desc",
    ...(typeof config.envelope === "string" && { envelope: config.envelope }),
  };
  const names = [...balloonFields(balloon), "coeff" as const].filter(isGiven);
  return { ...balloon, ...Object.fromEntries(names.map((name) => [name, config[FIELDS[name].parameter!]])) };
}

/** The plan of a launch that is kept; null for what the map cannot plan. */
export function planOf({ type, config }: Kept): Plan | null {
  const balloon = balloonFrom(config);
  if (type === "reverse" || !balloon) return null;
  const number = (name: string, otherwise: number) => {
    const value = config[name];
    return typeof value === "number" ? value : otherwise;
  };
  return {
    ...DEFAULT_PLAN,
    ...balloon,
    lat: number("lat", DEFAULT_PLAN.lat),
    lon: wrap(number("lon", DEFAULT_PLAN.lon)),
    alt: number("alt", 0) || null,
    time: number("timestamp", 0),
    air: AIRS.find((name) => name === config.atmosphere) ?? "standard",
    mode: type === "forward" ? "single" : "ensemble",
    model: number("model", 0),
    perturbations: number("num_perturbations", DEFAULT_PLAN.perturbations),
    seed: type === "ensemble" && typeof config.seed === "number" ? config.seed : null,
  };
}

/** What can be said of any launch that is kept, where it began above all: the rest may be as usual. */
export function launchOf(kept: Kept): Plan {
  const { lat, lon, timestamp, model, num_perturbations } = kept.config as Record<string, number | undefined>;
  return (
    planOf(kept) ?? {
      ...DEFAULT_PLAN,
      lat: lat ?? DEFAULT_PLAN.lat,
      lon: wrap(lon ?? DEFAULT_PLAN.lon),
      time: timestamp ?? 0,
      model: model ?? 0,
      perturbations: num_perturbations ?? DEFAULT_PLAN.perturbations,
    }
  );
}

/** A link that flies the same launch on the map; null for what the map cannot plan. */
export function mapLink(kept: Kept): string | null {
  const plan = planOf(kept);
  if (!plan) return null;
  const cycle = kept.provenance?.cycle;
  return `/#${encodePlan(plan, typeof cycle === "string" ? cycle : null)}`;
}

/** What a launch has that a link to the map cannot hold. */
export function lostOnMap({ config }: Kept): string[] {
  const perturb = config.perturb as Record<string, number> | undefined;
  return [
    ...(typeof config.step === "number" ? ["its step"] : []),
    ...(perturb && Object.keys(perturb).length ? ["its own half-widths of perturbations"] : []),
  ];
}
