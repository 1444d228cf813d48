import { describe, expect, it } from "vitest";
import { flownAlike, outOfRange, problemsOf, type Surroundings } from "../src/checks";
import { DEFAULT_PLAN, launchTimes, MAX_LAUNCHES, type Plan } from "../src/plan";

const FROM = Date.UTC(2026, 10, 20, 18) / 1000;
const AROUND: Surroundings = { covers: { from: FROM, to: FROM + 5 * 86400 }, members: [0, 1, 2], ground: 33 };
const GOOD: Plan = { ...DEFAULT_PLAN, time: FROM + 3600, sweepFrom: FROM + 3600, sweepTo: FROM + 7200 };

const problems = (part: Partial<Plan>, around: Partial<Surroundings> = {}) =>
  problemsOf({ ...GOOD, ...part }, { ...AROUND, ...around }, "metric");

describe("a plan", () => {
  it.each(["single", "ensemble", "sweep"] as const)("that is right has no problems: %s", (mode) => {
    expect(problems({ mode })).toEqual({});
  });

  it("is refused with the value and both limits", () => {
    expect(problems({ asc: 25 })).toEqual({ asc: "Ascent rate is 25 m/s, it must be 0.1 to 20 m/s" });
    expect(problems({ burst: 60000 })).toEqual({ burst: "Burst altitude is 60,000 m, it must be 0 to 49,999 m" });
  });

  it("is refused in the units that are shown", () => {
    expect(outOfRange("burst", 60000, "imperial")).toBe("Burst altitude is 196,850 ft, it must be 0 to 164,039 ft");
  });

  it("may have wrong numbers in what its profile and mode do not use", () => {
    expect(problems({ floatHours: 99 })).toEqual({});
    expect(problems({ floatHours: 99, profile: "zpb" })).toHaveProperty("floatHours");
    expect(problems({ perturbations: 0 })).toEqual({});
    expect(problems({ perturbations: 0, mode: "ensemble" })).toHaveProperty("perturbations");
    expect(problems({ sweepMinutes: 0 })).toEqual({});
  });

  it("needs whole perturbations, 1 to 100", () => {
    for (const perturbations of [0, 101, 2.5]) {
      expect(problems({ perturbations, mode: "ensemble" })).toHaveProperty("perturbations");
    }
    for (const perturbations of [1, 100]) expect(problems({ perturbations, mode: "ensemble" })).toEqual({});
  });

  it("must rise: above the launch, and above the ground there", () => {
    expect(problems({ alt: 31000 }).burst).toBe("Burst altitude is 30,000 m, below the launch at 31,000 m");
    expect(problems({ burst: 1000 }, { ground: 1500 }).burst).toContain("below the launch at 1,500 m");
    expect(problems({ profile: "zpb", float: 20 }).float).toContain("below the launch at 33 m");
    expect(problems({ burst: 33 })).toEqual({});
  });

  it("of a gas balloon is checked by what fills it and brings it down", () => {
    const gas = { profile: "physical" as const, burst: 20, asc: 99, chute: 0, desc: 99, payload: -1 };
    expect(Object.keys(problems(gas)).toSorted()).toEqual(["asc", "desc", "payload"]);
    const filled = { ...gas, fillBy: "burst" as const, descendBy: "chute" as const, payload: 1 };
    expect(Object.keys(problems(filled)).toSorted()).toEqual(["burst", "chute"]);
    expect(problems(filled).burst).toContain("below the launch at 33 m");
    expect(problems({ ...filled, fillBy: "volume", chute: 1 })).toEqual({});
  });

  it("is flown like another only with the same balloon", () => {
    const gas: Plan = { ...GOOD, profile: "physical" };
    for (const change of [{ envelope: "pawan-100" }, { gas: "hydrogen" }, { air: "model" }, { payload: 2 }, { asc: 4 }])
      expect(flownAlike(gas, { ...gas, ...change } as Plan)).toBe(false);
    expect(flownAlike(gas, { ...gas, volume: 9, lift: 9, burst: 9, float: 9, chute: 9 })).toBe(true);
    expect(flownAlike(GOOD, { ...GOOD, envelope: "pawan-100", payload: 2 })).toBe(true);
  });

  it("launches within the winds", () => {
    const { time } = problems({ time: FROM - 60 });
    expect(time).toBe(
      "Launch is at 2026-11-20 17:59 UTC; the winds cover 2026-11-20 18:00 UTC to 2026-11-25 18:00 UTC",
    );
    expect(problems({ time: FROM + 5 * 86400 + 1 })).toHaveProperty("time");
    expect(problems({ time: FROM })).toEqual({});
    expect(problems({ time: Number.NaN }, { covers: null })).toHaveProperty("time");
    expect(problems({ time: 0 }, { covers: null })).toEqual({});
  });

  it("flies a member that there is", () => {
    expect(problems({ model: 7 }).model).toBe("Member 7 is not in this cycle");
    expect(problems({ model: 7, mode: "ensemble" })).toEqual({});
  });
});

describe("launch times", () => {
  it("are from the first to the last, both of them", () => {
    expect(launchTimes({ ...GOOD, sweepFrom: 0, sweepTo: 3600, sweepMinutes: 20 })).toEqual([0, 1200, 2400, 3600]);
    expect(launchTimes({ ...GOOD, sweepFrom: 0, sweepTo: 3599, sweepMinutes: 20 })).toEqual([0, 1200, 2400]);
  });

  it("are refused backwards, outside the winds, and when there are too many", () => {
    expect(problems({ mode: "sweep", sweepTo: GOOD.sweepFrom - 60 })).toHaveProperty("sweepTo");
    expect(problems({ mode: "sweep", sweepFrom: FROM - 60 })).toHaveProperty("sweepFrom");
    const many = { mode: "sweep" as const, sweepMinutes: 1, sweepTo: GOOD.sweepFrom + MAX_LAUNCHES * 60 };
    expect(problems(many).sweepMinutes).toBe(
      `That is ${MAX_LAUNCHES + 1} launches, at most ${MAX_LAUNCHES} fly at once`,
    );
    expect(problems({ ...many, sweepTo: many.sweepTo - 60 })).toEqual({});
  });
});
