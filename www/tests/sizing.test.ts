import { describe, expect, test } from "vitest";
import { ApiError } from "../src/api";
import { DEFAULT_BALLOON, DEFAULT_PLAN, type Plan } from "../src/plan";
import { planText } from "../src/plantext";
import { notFlown, refusedField, type Specs, sizingBody, sizingText } from "../src/sizing";

const BALLOON = { ...DEFAULT_BALLOON, profile: "physical" as const };
// The answer of POST /api/v1/balloon-specs for it, in part.
const SPECS = {
  volume: 3.01734,
  neck_lift: 19.4707,
  ascent_rate: 5,
  mean_ascent_rate: 6.991,
  ascent_seconds: 4742.82,
  burst_altitude: 33157.1,
  float_altitude: null,
  cylinders: { name: "50l", contents: 9.1, count: 1 },
  descent_rate: null,
} as Specs;

describe("a gas balloon", () => {
  test("is asked for by one fill, and by its parachute only where it comes down under one", () => {
    const body = { envelope: "kaymont-1200", lift_gas_type: "helium", payload_mass: 1, launch_altitude: 250 };
    expect(sizingBody(BALLOON, 250)).toEqual({ ...body, ascent_rate: 5 });
    expect(sizingBody({ ...BALLOON, fillBy: "burst", descendBy: "chute" }, 250)).toEqual({
      ...body,
      burst_altitude: 30_000,
      chute_diameter: 1,
    });
    expect(sizingBody({ ...BALLOON, fillBy: "volume" }, 250)).toEqual({ ...body, volume: 3 });
    expect(sizingBody({ ...BALLOON, fillBy: "lift" }, 250)).toEqual({ ...body, free_lift: 10 });
  });

  test("is told in sentences", () => {
    expect(sizingText(SPECS, BALLOON, "metric")).toBe(
      "Climbs at 5.0 m/s at the launch and 7.0 m/s on average. Bursts at 33,157 m, after 1 h 19 min. " +
        "Takes 3.02 m³ of helium, 1 cylinder (50l): fill it until the neck lifts 1.99 kg.",
    );
    const floats = { ...SPECS, burst_altitude: null, float_altitude: 38_000, descent_rate: 4.45 };
    expect(sizingText(floats, BALLOON, "imperial")).toContain("Floats at 124,672 ft");
    expect(sizingText(floats, BALLOON, "metric")).toMatch(/Comes down at 4\.5 m\/s\.$/);
  });

  test("is not flown above all flights", () => {
    const notFlownWith = (change: Partial<Specs>) =>
      notFlown({ ...SPECS, ...change }, { ...BALLOON, fillBy: "lift", chute: 0.05 }, "metric");
    expect(notFlownWith({})).toBeNull();
    expect(notFlownWith({ descent_rate: 4, burst_altitude: 49_999 })).toBeNull();
    expect(notFlownWith({ burst_altitude: 51_000 })).toEqual({
      name: "lift",
      reason: "Bursts at 51,000 m, flights go up to 49,999 m",
    });
    expect(notFlownWith({ burst_altitude: null, float_altitude: 55_296 })?.name).toBe("payload");
  });

  test("is refused at the field that it is for, else at the fill", () => {
    const field = (parameters: Record<string, string>) =>
      refusedField(new ApiError("no", 400, parameters, null), { ...BALLOON, fillBy: "volume" });
    expect(field({})).toBe("volume");
    expect(field({ volume: "too much" })).toBe("volume");
    expect(field({ envelope: "there is none" })).toBe("envelope");
    expect(field({ payload_mass: "too heavy" })).toBe("payload");
  });

  test.each<[Partial<Plan>, string]>([
    [{}, "kaymont-1200 with a payload of 1.00 kg, helium to climb at 5.0 m/s at the launch, 5.0 m/s down"],
    [
      { fillBy: "lift", lift: 8.5, descendBy: "chute", chute: 1.2, air: "model" },
      "kaymont-1200 with a payload of 1.00 kg, helium to a free lift of 8.5 N, parachute of 1.2 m, through the air of the forecast",
    ],
    [
      { envelope: "jaxa-b80", gas: "hydrogen", fillBy: "volume", afloat: 3 },
      "jaxa-b80 with a payload of 1.00 kg, hydrogen with 3.00 m³, 3 h afloat, 5.0 m/s down",
    ],
    [{ fillBy: "burst" }, "kaymont-1200 with a payload of 1.00 kg, helium to burst at 30,000 m, 5.0 m/s down"],
  ])("is a plan in words: %j", (change, text) => {
    const plan: Plan = { ...DEFAULT_PLAN, ...BALLOON, ...change };
    expect(planText(plan, "metric")).toBe(`From 37.35530, -121.87630, ${text}`);
  });
});
