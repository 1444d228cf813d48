import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError, ask, type FlightAnswer, flightOf, insist, launchParameters, UnreachableError } from "../src/api";
import { DEFAULT_PLAN, type Plan } from "../src/plan";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const answering = (...responses: (Response | Error)[]) => {
  const fetch = vi.fn(async () => {
    const next = responses.shift()!;
    if (next instanceof Error) throw next;
    return next;
  });
  vi.stubGlobal("fetch", fetch);
  return fetch;
};
const json = (body: unknown, status = 200, headers = {}) => new Response(JSON.stringify(body), { status, headers });

describe("a question", () => {
  it("returns the body and what it was made from", async () => {
    answering(json({ a: 1 }, 200, { "X-HABSIM-Provenance": '{"cycle":"2026112018"}' }));
    expect(await ask("/sim/x", { lat: "1" })).toEqual({ body: { a: 1 }, provenance: { cycle: "2026112018" } });
  });

  it("that is refused says why, by parameter", async () => {
    answering(json({ error: "asc is 99", details: { parameters: { asc: "asc is 99" } } }, 400));
    const error = await ask("/sim/x").catch((reason) => reason);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ message: "asc is 99", status: 400, parameters: { asc: "asc is 99" } });
  });

  it("without an answer is told from one that is refused", async () => {
    answering(new TypeError("failed to fetch"), new Response("gateway", { status: 502 }));
    await expect(ask("/sim/x")).rejects.toBeInstanceOf(UnreachableError);
    await expect(ask("/sim/x")).rejects.toBeInstanceOf(UnreachableError);
  });

  it("answered with something else than JSON is no answer to use", async () => {
    answering(new Response("<html>"));
    await expect(ask("/sim/x")).rejects.toBeInstanceOf(ApiError);
  });
});

describe("insisting", () => {
  it("asks again while the server is away or busy, and waits as long as it was told", async () => {
    vi.useFakeTimers();
    const fetch = answering(
      new TypeError(),
      json({ error: "busy" }, 429, { "Retry-After": "7" }),
      json({ done: true }),
    );
    const troubles: string[] = [];
    const found = insist(
      () => ask("/sim/x"),
      new AbortController().signal,
      (what) => troubles.push(what),
    );
    await vi.advanceTimersByTimeAsync(500);
    expect(fetch).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(6900);
    expect(fetch).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(200);
    expect((await found).body).toEqual({ done: true });
    expect(troubles).toEqual(["unreachable", "busy"]);
  });

  it("does not repeat what is wrong", async () => {
    const fetch = answering(json({ error: "no" }, 400), json({}));
    await expect(
      insist(
        () => ask("/sim/x"),
        new AbortController().signal,
        () => {},
      ),
    ).rejects.toBeInstanceOf(ApiError);
    expect(fetch).toHaveBeenCalledTimes(1);
  });

  it("ends when it is cancelled while it waits", async () => {
    answering(new TypeError(), json({}));
    const control = new AbortController();
    const found = insist(
      () => ask("/sim/x"),
      control.signal,
      () => control.abort(new Error("cancelled")),
    );
    await expect(found).rejects.toThrow("cancelled");
  });
});

describe("a flight", () => {
  it("crosses the antimeridian without a jump, from the longitude that was asked for", () => {
    const answer: FlightAnswer = [
      [
        [0, 1, 179.5, 0, 5, 6, 0, 0],
        [60, 1, -179.5, 100, 5, 6, 0, 0],
      ],
      [],
      [[120, 1, -179, 0, 7, 8, 0, 0]],
    ];
    const flight = flightOf(answer, 3, -180.5);
    expect(flight.phases.map(({ name }) => name)).toEqual(["ascent", "descent"]);
    expect(flight.phases.flatMap(({ points }) => points.map(({ lon }) => lon))).toEqual([-180.5, -179.5, -179]);
    expect(flight.phases[1]!.points[0]).toEqual({ time: 120, lat: 1, lon: -179, alt: 0, u: 7, v: 8 });
  });
});

describe("the parameters of a launch", () => {
  it("are those of the profile", () => {
    const plan = { ...DEFAULT_PLAN, floatHours: 3 };
    expect(launchParameters(plan, 60)).toMatchObject({ profile: "standard", equil: "30000", eqtime: "0", alt: "0" });
    expect(launchParameters({ ...plan, profile: "zpb" }, 60)).toMatchObject({
      equil: "25000",
      eqtime: "3",
      timestamp: "60",
    });
  });

  it("of a gas balloon have one fill and one way down", () => {
    const plan: Plan = { ...DEFAULT_PLAN, profile: "physical", fillBy: "burst", descendBy: "chute", air: "model" };
    const { timestamp, lat, lon, alt, ...balloon } = launchParameters(plan, 60);
    expect(balloon).toEqual({
      profile: "physical",
      envelope: "kaymont-1200",
      lift_gas_type: "helium",
      payload_mass: "1",
      equil: "30000",
      chute_diameter: "1",
      eqtime: "0",
      coeff: "1",
      atmosphere: "model",
    });
  });

  it("are written without exponents", () => {
    expect(launchParameters({ ...DEFAULT_PLAN, lat: 1e-7 }, 60).lat).toBe("0.0000001");
    expect(launchParameters({ ...DEFAULT_PLAN, lat: 0, lon: 100 }, 60)).toMatchObject({ lat: "0", lon: "100" });
  });
});
