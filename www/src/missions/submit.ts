// Sending a simulation to the queue.

import type { Simulation } from "./app";
import type { Submission } from "./configs";
import type { Session } from "./session";

export interface NewSimulation extends Submission {
  name: string;
  description: string;
  shared: boolean;
}

export function submit(session: Session, simulation: NewSimulation): Promise<Simulation> {
  return session.ask<Simulation>("POST", "simulations/submit", simulation);
}
