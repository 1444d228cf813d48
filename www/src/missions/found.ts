import type { App, Simulation } from "./app";
export async function showFound(_root: HTMLElement, _app: App, _one: Simulation, _signal: AbortSignal): Promise<void> {}
