// What the tint of a confidence means.

import { tintOf } from "./layers.mjs";

/** An element with the colours from unsure to sure. */
export function makeLegend() {
  const legend = Object.assign(document.createElement("div"), { className: "fourreal-player-legend", hidden: true });
  const word = (textContent) => Object.assign(document.createElement("span"), { textContent });
  const colors = document.createElement("i");
  colors.style.backgroundImage = `linear-gradient(to right, ${tintOf(0)}, ${tintOf(1)})`;
  legend.append(word("unsure"), colors, word("sure"));
  return legend;
}
