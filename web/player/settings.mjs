// How a player shows its grid; kept in the node's properties, so it is saved with the workflow and never makes anything run again. Pure.

export const LAYOUTS = { one: "one cell", views: "all views", cells: "all cells" };
export const PLAYS = { time: "time", view: "views", both: "both" };
export const SPEEDS = [0.25, 0.5, 1, 2];

const ALLOWED = { layout: Object.keys(LAYOUTS), play: Object.keys(PLAYS), speed: SPEEDS, pingPong: [true, false], strips: [true, false], hover: [true, false], swap: [true, false] };
const DEFAULTS = { layout: "one", play: "time", speed: 1, pingPong: true, strips: true, hover: false, swap: false };
const share = (value) => (Number.isFinite(value) ? Math.min(Math.max(value, 0), 1) : 0.5);

/** All settings; what is missing or not understood gets its default. */
export function parseSettings(saved) {
  const settings = {};
  for (const [name, allowed] of Object.entries(ALLOWED)) settings[name] = allowed.includes(saved?.[name]) ? saved[name] : DEFAULTS[name];
  return { ...settings, slit: { x: share(saved?.slit?.x), y: share(saved?.slit?.y) } };
}
