// Paths to start from, for a plane of any shape. Pure.

import { newPoint } from "./path_text.mjs";

/** name -> (views - 1, times - 1) -> {points, loop}; a point is [view, time, {hold, speed, ease, rounding}]. */
const PRESETS = {
  "bullet time": (view, time) => ({ points: [[0, 0], [0, middle(time)], [view, middle(time)], [view, time]] }),
  "soft bullet time": (view, time) => ({
    points: [
      [0, 0, { ease: "out" }],
      [0, middle(time), { ease: "in-out", speed: 0.5, rounding: 0.35 }],
      [view, middle(time), { ease: "in", rounding: 0.35 }],
      [view, time],
    ],
  }),
  "fixed view": (view, time) => ({ points: [[0, 0], [0, time]] }),
  "freeze time": (view, time) => ({ points: [[0, middle(time)], [view, middle(time)]] }),
  diagonal: (view, time) => ({ points: [[0, 0], [view, time]] }),
  "ping-pong": (view, time) => ({ points: [[0, 0, { ease: "in-out" }], [view, time]], loop: "back" }),
  ring: (view, time) => ({ points: [[0, 0, { rounding: 1 }], [0, time, { rounding: 1 }], [view, time, { rounding: 1 }], [view, 0, { rounding: 1 }]], loop: "round" }),
  wave: (view, time) => ({ points: [0, 1, 2, 3, 4].map((step) => [step % 2 ? view : 0, (time * step) / 4, { rounding: 1 }]) }),
};

const middle = (last) => Math.floor((last + 1) / 2);

export const PRESET_NAMES = Object.keys(PRESETS);

/** The path with the points and the loop of a preset; its length and frame rate stay. */
export function presetPath(name, path) {
  const { points, loop = "no" } = PRESETS[name](path.views - 1, path.times - 1);
  return { ...path, loop, points: points.map(([view, time, rest]) => newPoint({ view, time }, rest)) };
}

/** What a new node starts with, and what starts anew where the widget's text cannot be read. */
export const FIRST = { views: 8, times: 8, frames: 49, fps: 24, loop: "no", between: "blend" };
