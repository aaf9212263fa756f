// How a player shows its grid; kept in the node's properties, so it is saved with the workflow and never makes anything run again. Pure.

import { parseRanges } from "./range.mjs";

export const LAYOUTS = { one: "one cell", views: "all views", cells: "all cells" };
export const PLAYS = { time: "time", view: "views", both: "both" };
export const SPEEDS = [0.25, 0.5, 1, 2];
export const COMPARES = { a: "A", wipe: "A | B", b: "B" };

const SWITCH = [true, false];
const ALLOWED = {
  layout: Object.keys(LAYOUTS), play: Object.keys(PLAYS), speed: SPEEDS, compare: Object.keys(COMPARES), pingPong: SWITCH, strips: SWITCH, hover: SWITCH,
  swap: SWITCH, confidence: SWITCH,
};
const DEFAULTS = { layout: "one", play: "time", speed: 1, compare: "wipe", pingPong: true, strips: true, hover: false, swap: false, confidence: true };
const share = (value) => (Number.isFinite(value) ? Math.min(Math.max(value, 0), 1) : 0.5);

/** All settings; what is missing or not understood gets its default. `slit` and `wipe` are shares of a picture's width and height, `ranges` see range.mjs. */
export function parseSettings(saved) {
  const settings = {};
  for (const [name, allowed] of Object.entries(ALLOWED)) settings[name] = allowed.includes(saved?.[name]) ? saved[name] : DEFAULTS[name];
  return { ...settings, slit: { x: share(saved?.slit?.x), y: share(saved?.slit?.y) }, wipe: share(saved?.wipe), ranges: parseRanges(saved?.ranges) };
}
