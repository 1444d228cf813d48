import { describe, expect, test } from "vitest";
import { launchOf, lostOnMap, mapLink, planOf, submissionOf } from "../src/missions/configs";
import { DEFAULT_PLAN, type Plan } from "../src/plan";
import { decodePlan } from "../src/share";

const PLAN: Plan = { ...DEFAULT_PLAN, lat: 47.5, lon: 8.25, time: 1_795_262_400, asc: 4.5, burst: 31_000, desc: 6 };
/** Numbers of other profiles are as usual: what is not flown is not kept. */
const GAS = {
  profile: "physical",
  envelope: "hwoyee-800",
  gas: "hydrogen",
  payload: 0.8,
  asc: DEFAULT_PLAN.asc,
  burst: DEFAULT_PLAN.burst,
  desc: DEFAULT_PLAN.desc,
} as const;

describe("a plan as a simulation", () => {
  test("of one flight has the member, as a number", () => {
    expect(submissionOf({ ...PLAN, model: 3 })).toEqual({
      type: "forward",
      config: {
        timestamp: 1_795_262_400,
        lat: 47.5,
        lon: 8.25,
        alt: 0,
        equil: 31_000,
        eqtime: 0,
        asc: 4.5,
        desc: 6,
        coeff: 1,
        profile: "standard",
        model: 3,
      },
    });
  });

  test("of an ensemble has its perturbations, and a seed only where one is chosen", () => {
    const { type, config } = submissionOf({ ...PLAN, mode: "ensemble", perturbations: 7 })!;
    expect(type).toBe("ensemble");
    expect(config).toMatchObject({ num_perturbations: 7 });
    expect(config).not.toHaveProperty("seed");
    expect(config).not.toHaveProperty("model");
    expect(submissionOf({ ...PLAN, mode: "ensemble", seed: 5 })!.config).toMatchObject({ seed: 5 });
  });

  test("of many launch times is none", () => {
    expect(submissionOf({ ...PLAN, mode: "sweep" })).toBeNull();
  });
});

describe("a simulation on the map", () => {
  test.each<[string, Partial<Plan>]>([
    ["one flight", { model: 4 }],
    ["an ensemble", { mode: "ensemble", perturbations: 12, seed: 99 }],
    ["a zero-pressure balloon", { profile: "zpb", float: 24_000, floatHours: 1.5, burst: DEFAULT_PLAN.burst }],
    ["a gas balloon that is filled for its ascent", { ...GAS, fillBy: "asc", descendBy: "chute", chute: 1.5 }],
    ["a gas balloon that is filled to burst, in the air of the forecast", { ...GAS, fillBy: "burst", air: "model" }],
    [
      "a gas balloon that floats",
      { ...GAS, mode: "ensemble", envelope: "jaxa-b80", fillBy: "lift", lift: 90, afloat: 3 },
    ],
    ["from above the ground", { alt: 1200, coeff: 0.9 }],
  ])("is the plan that was submitted: %s", (_, change) => {
    const plan = { ...PLAN, ...change };
    const kept = { ...submissionOf(plan)!, provenance: { cycle: "2026112118" } };
    expect(planOf(kept)).toEqual(plan);
    const { plan: linked, cycle, problems } = decodePlan(mapLink(kept)!.slice(2));
    expect(problems).toEqual([]);
    expect(cycle).toBe("2026112118");
    expect({ ...DEFAULT_PLAN, ...linked }).toEqual(plan);
  });

  test("is none for a search and for a profile that no form has", () => {
    expect(mapLink({ type: "reverse", config: {}, provenance: null })).toBeNull();
    const config = { ...submissionOf(PLAN)!.config, profile: "rocket" };
    expect(mapLink({ type: "forward", config, provenance: null })).toBeNull();
  });

  test("says what a link cannot hold", () => {
    const kept = { type: "ensemble" as const, config: { step: 30, perturb: { asc: 0.2 } }, provenance: null };
    expect(lostOnMap(kept)).toHaveLength(2);
    expect(lostOnMap({ ...kept, config: { perturb: {} } })).toEqual([]);
  });
});

test("where a launch began is known also of what the map cannot plan", () => {
  const config = { profile: "from elsewhere", lat: -33, lon: 200, timestamp: 1_795_262_400, num_perturbations: 3 };
  const kept = { type: "ensemble" as const, config, provenance: null };
  expect(planOf(kept)).toBeNull();
  expect(launchOf(kept)).toMatchObject({ lat: -33, lon: -160, time: 1_795_262_400, perturbations: 3 });
});
