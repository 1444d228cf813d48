// What every view of the missions page works with.

import { ApiError, UnreachableError } from "../api";
import { h } from "../dom";
import type { components } from "../schema";
import { formatDuration, formatUtc, type Units } from "../units";
import type { Session } from "./session";

type Schemas = components["schemas"];
export type Simulation = Schemas["Simulation"];
export type Kind = Simulation["type"];
export type Status = Simulation["status"];

export interface App {
  session: Session;
  units: Units;
  /** Go to a route such as `/simulations`. */
  go(route: string): void;
}

/** Fills `root`; what goes on after the view is left ends with `signal`. `rest` is what stands behind the name of the route. */
export type View = (root: HTMLElement, app: App, signal: AbortSignal, rest: string) => void | Promise<void>;

/** What went wrong, for people; raises what is a fault of the page. */
export function reasonOf(error: unknown): string {
  if (error instanceof ApiError) {
    const text = sentence(error.message);
    return error.status === 429 && error.retryAfterSeconds && !/try again/.test(text)
      ? `${text}; try again in ${error.retryAfterSeconds} s`
      : text;
  }
  if (error instanceof UnreachableError) return `${error.message}; try again in a while`;
  throw error;
}

export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A simulation by its id. Raises what `Session.ask` raises. */
export function oneOf(app: App, id: string, signal: AbortSignal): Promise<Simulation> {
  return app.session.ask<Simulation>("GET", `simulations/${encodeURIComponent(id)}`, undefined, signal);
}

/** RFC 3339 as Unix seconds. */
export function secondsOf(moment: string): number {
  return Date.parse(moment) / 1000;
}

/** A moment, in the minute in which it was. */
export function moment(text: string | null): string {
  return text ? formatUtc(60 * Math.floor(secondsOf(text) / 60)) : "–";
}

/** How long something took from one moment to another; null where there is one of them only. */
export function between(from: string | null, to: string | null): string | null {
  return from && to ? tookText(secondsOf(to) - secondsOf(from)) : null;
}

/** What took less than a second has taken some time all the same. */
export function tookText(seconds: number): string {
  return seconds < 0.95 ? "under 1 s" : formatDuration(seconds);
}

/** A heading, with what stands beside it, and what can be done there. */
export function heading(
  title: string | [string, ...(HTMLElement | null)[]],
  ...actions: (HTMLElement | null)[]
): HTMLElement {
  const [text, ...beside] = typeof title === "string" ? [title] : title;
  return h("div", { class: "heading" }, h("h2", {}, text), ...beside, h("span", { class: "spring" }), ...actions);
}

/** Says that winds are made up; null for those of a forecast. */
export function demoTag(isDemo: boolean): HTMLElement | null {
  return isDemo ? h("span", { class: "tag demo", title: "Made up, not a forecast" }, "demo winds") : null;
}

/** Whether a simulation has been flown on winds that are made up. */
export function isOnDemo({ provenance }: Simulation): boolean {
  return provenance?.demo === true;
}

/** A place for what went wrong; it is read out when it is filled. */
export function problemLine(id: string): HTMLElement {
  return h("p", { id, class: "bad problem", role: "alert" });
}

/** Runs `action` with `button` disabled; writes why it failed into `problem`. Returns whether it was done. */
export async function attempt(
  button: HTMLButtonElement,
  problem: HTMLElement,
  action: () => Promise<void>,
): Promise<boolean> {
  problem.textContent = "";
  button.disabled = true;
  try {
    await action();
    return true;
  } catch (error) {
    problem.textContent = reasonOf(error);
    return false;
  } finally {
    button.disabled = false;
  }
}
