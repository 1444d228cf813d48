// Plans as the configs of simulations, and back.

import { launchParameters } from "../api";
import { wrap } from "../geo";
import { DEFAULT_PLAN, type Plan, type Profile } from "../plan";
import { encodePlan } from "../share";

export type LaunchConfig = Record<string, number | string>;

export interface Submission {
  type: "forward" | "ensemble";
  config: LaunchConfig;
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
  const { profile, ...numbers } = launchParameters(plan, plan.time);
  const config: LaunchConfig = { profile: profile! };
  for (const [name, text] of Object.entries(numbers)) config[name] = Number(text);
  if (plan.mode === "single") return { type: "forward", config: { ...config, model: plan.model } };
  const seed: LaunchConfig = plan.seed === null ? {} : { seed: plan.seed };
  return { type: "ensemble", config: { ...config, num_perturbations: plan.perturbations, ...seed } };
}

const PROFILES: readonly string[] = ["standard", "zpb", "float"] satisfies Profile[];

/** The plan of a launch that is kept; null for what the map cannot plan. */
export function planOf({ type, config }: Kept): Plan | null {
  const profile = config.profile ?? "zpb";
  if (type === "reverse" || typeof profile !== "string" || !PROFILES.includes(profile)) return null;
  const number = (name: string, otherwise: number) => {
    const value = config[name];
    return typeof value === "number" ? value : otherwise;
  };
  const top = number("equil", DEFAULT_PLAN.burst);
  return {
    ...DEFAULT_PLAN,
    lat: number("lat", DEFAULT_PLAN.lat),
    lon: wrap(number("lon", DEFAULT_PLAN.lon)),
    alt: number("alt", 0) || null,
    time: number("timestamp", 0),
    profile: profile as Profile,
    asc: number("asc", DEFAULT_PLAN.asc),
    desc: number("desc", DEFAULT_PLAN.desc),
    ...(profile === "standard" ? { burst: top } : { float: top, floatHours: number("eqtime", 0) }),
    coeff: number("coeff", 1),
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
