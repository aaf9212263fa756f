// How a splat player shows its splats; kept in the node's properties, so it is saved with the workflow and never makes anything run again. Pure.

export const PLAYS = { time: "time", view: "views", both: "both" };
export const SPEEDS = [0.1, 0.25, 0.5, 1, 2];
export const LOOPS = { loop: "loop", pingPong: "ping-pong", once: "once" };
export const COMPARES = { a: "A", wipe: "A | B", b: "B" };

const ALLOWED = { play: Object.keys(PLAYS), speed: SPEEDS, loop: Object.keys(LOOPS), compare: Object.keys(COMPARES), cameras: [true, false] };
const LENS = ["fx", "fy", "skew", "cx", "cy"];
const DEFAULTS = { play: "time", speed: 1, loop: "pingPong", compare: "a", cameras: true };

/** All settings; what is missing or not understood gets its default. `wipe` is a share of the picture's width; `at` is where camera and time are, see parsePlace(). */
export function parseSettings(saved) {
  const settings = {};
  for (const [name, allowed] of Object.entries(ALLOWED)) settings[name] = allowed.includes(saved?.[name]) ? saved[name] : DEFAULTS[name];
  return { ...settings, wipe: Number.isFinite(saved?.wipe) ? Math.min(Math.max(saved.wipe, 0), 1) : 0.5, at: parsePlace(saved?.at) };
}

const numbers = (values, count) => Array.isArray(values) && values.length === count && values.every(Number.isFinite);

/** {time, view} on the path of the views, {time, camera, pivot, distance} off it (flight.mjs), or null: at the first view and time, or not understood. */
export function parsePlace(saved) {
  const { time, view, camera, pivot, distance } = saved ?? {};
  if (!Number.isFinite(time)) return null;
  if (Number.isFinite(view)) return { time, view };
  const whole = numbers(camera?.rotation, 9) && numbers(camera.shift, 3) && numbers(LENS.map((name) => camera.lens?.[name]), LENS.length);
  return whole && numbers(pivot, 3) && distance > 0 ? { time, camera, pivot, distance } : null;
}
