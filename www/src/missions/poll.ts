// Looking again and again while somebody looks at the page.

import { ApiError, UnreachableError } from "../api";

export const BUSY_MS = 1000;
export const IDLE_MS = 10_000;
const AWAY_MS = 3000;

export interface Poll {
  /** Look now, and then as before. */
  now(): Promise<void>;
}

/** Calls `look` at once and then after the milliseconds that it returns, until `signal`; not while the page is hidden. */
export function poll(
  look: () => Promise<number | null>,
  onTrouble: (reason: string | null) => void,
  signal: AbortSignal,
): Poll {
  let timer = 0;
  let running: Promise<void> | null = null;
  const once = async () => {
    let wait: number | null = AWAY_MS;
    try {
      wait = await look();
      if (!signal.aborted) onTrouble(null);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof UnreachableError) onTrouble("The server cannot be reached; trying again");
      else if (error instanceof ApiError) {
        onTrouble(error.message);
        // A request that is wrong does not become right by asking again.
        if (error.status < 500 && error.status !== 429) return;
      } else throw error;
    }
    if (!signal.aborted && wait !== null && !document.hidden) timer = window.setTimeout(now, wait);
  };
  const now = () => {
    clearTimeout(timer);
    running ??= once().finally(() => {
      running = null;
    });
    return running;
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : void now()), { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  void now();
  return {
    now: async () => {
      // What was asked before a change does not show it.
      await running;
      await now();
    },
  };
}
