// Sizing a balloon, open to all.

import { Calculator } from "../calculator";
import { h } from "../dom";
import { DEFAULT_PLAN } from "../plan";
import { encodePlan } from "../share";
import { remembered } from "../state";
import { heading, type View } from "./app";

const HOUR = 3600;

export const balloonView: View = (root, app) => {
  const calculator = new Calculator(app.units);
  const fly = h("a", { class: "button primary", id: "fly-this", role: "link", "aria-disabled": "true" }, "Fly this");
  calculator.onSized = (found) => {
    fly.setAttribute("aria-disabled", String(found === null));
    fly.removeAttribute("href");
    if (!found) return;
    const plan = {
      ...DEFAULT_PLAN,
      ...remembered(),
      time: Math.ceil(Date.now() / 1000 / HOUR) * HOUR,
      asc: found.ascentRate,
      ...(found.descentRate !== null && { desc: found.descentRate }),
      ...(found.bursts
        ? { profile: "standard" as const, burst: found.top }
        : { profile: "zpb" as const, float: found.top }),
    };
    fly.setAttribute("href", `/#${encodePlan(plan, null)}`);
  };
  root.append(
    heading("Size a balloon", fly),
    h("p", { class: "quiet" }, "How much gas, how fast, how high. Flown with its mean ascent rate."),
    h("section", { class: "card" }, calculator.root),
  );
};
