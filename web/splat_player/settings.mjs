// How a splat player shows its splats; kept in the node's properties, so it is saved with the workflow and never makes anything run again. Pure.

export const PLAYS = { time: "time", view: "views", both: "both" };
export const SPEEDS = [0.1, 0.25, 0.5, 1, 2];
export const LOOPS = { loop: "loop", pingPong: "ping-pong", once: "once" };
export const COMPARES = { a: "A", wipe: "A | B", b: "B" };

const ALLOWED = { play: Object.keys(PLAYS), speed: SPEEDS, loop: Object.keys(LOOPS), compare: Object.keys(COMPARES), cameras: [true, false] };
const DEFAULTS = { play: "time", speed: 1, loop: "pingPong", compare: "a", cameras: true };

/** All settings; what is missing or not understood gets its default. `wipe` is a share of the picture's width. */
export function parseSettings(saved) {
  const settings = {};
  for (const [name, allowed] of Object.entries(ALLOWED)) settings[name] = allowed.includes(saved?.[name]) ? saved[name] : DEFAULTS[name];
  return { ...settings, wipe: Number.isFinite(saved?.wipe) ? Math.min(Math.max(saved.wipe, 0), 1) : 0.5 };
}
