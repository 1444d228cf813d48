import { h } from "../dom";
import { heading, type View } from "./app";
export const reverseView: View = (root) => {
  root.append(heading("Plan backwards"), h("p", {}, "…"));
};
