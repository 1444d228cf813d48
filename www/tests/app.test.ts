import { expect, test } from "vitest";
import { between, moment, tookText } from "../src/missions/app";

test("a moment is in the minute in which it was", () => {
  expect(moment("2026-11-21T19:33:42.9Z")).toBe("2026-11-21 19:33 UTC");
  expect(moment("2026-11-21T19:33:00Z")).toBe("2026-11-21 19:33 UTC");
  expect(moment(null)).toBe("–");
});

test("what took less than a second has not taken none", () => {
  expect(tookText(0.044)).toBe("under 1 s");
  expect(tookText(12.7)).toBe("13 s");
});

test("how long somebody waited, or nothing while it is not over", () => {
  expect(between("2026-11-21T19:33:00Z", "2026-11-21T19:33:50.2Z")).toBe("50 s");
  expect(between("2026-11-21T19:33:00Z", null)).toBeNull();
  expect(between(null, "2026-11-21T19:33:00Z")).toBeNull();
});
