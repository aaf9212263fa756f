// How the position in a grid moves: by dragging, gliding on after a drag, steps and playing. Pure; time in milliseconds.
// A position is {view, time}, fractional while it moves; the cell shown is the nearest one.

import { axes } from "../shared/areas.mjs";
import { axesOf, parseRanges, playedRanges } from "./range.mjs";

export const GLIDE_MS = 200; // a flick goes on for about this long
const SAMPLE_MS = 100; // the speed at release is that of the last tenth of a second
const REST_MS = 60; // a pointer held still this long before release does not flick
const SETTLED = 0.02; // cells
const PIXELS_PER_CELL = 64; // at most: few cells do not need the whole picture's width for one step
const LOCK_PIXELS = 8; // a drag has a direction after this
const MOST_ROUND = 2000; // cells
const UNLOCK = 0.6; // and leaves it when it goes this much sideways

const clamp = (value, count) => Math.min(Math.max(value, 0), count - 1);

/** The position within the grid. */
export function inside({ view, time }, { views, times }) {
  return { view: clamp(view, views), time: clamp(time, times) };
}

/** The nearest cell. */
export function cellAt(position, shape) {
  const { view, time } = inside(position, shape);
  return { view: Math.round(view), time: Math.round(time) };
}

/** A movement in pixels, held to its main direction unless it clearly leaves it. */
export function heldToDirection({ x, y }) {
  const [main, side] = [Math.max(Math.abs(x), Math.abs(y)), Math.min(Math.abs(x), Math.abs(y))];
  if (main < LOCK_PIXELS || side > main * UNLOCK) return { x, y };
  return Math.abs(x) > Math.abs(y) ? { x, y: 0 } : { x: 0, y };
}

/** Cells per pixel along one axis: the whole side of the picture runs through all cells. */
export function cellsPerPixel(count, side) {
  return Math.max((count - 1) / Math.max(side, 1), count > 1 ? 1 / PIXELS_PER_CELL : 0);
}

/** Position after the pointer moved by {x, y} pixels over a picture of {width, height}. */
export function dragged(start, moved, size, shape, swap) {
  const { x, y } = heldToDirection(moved);
  const across = swap ? "view" : "time";
  const down = swap ? "time" : "view";
  const to = { [across]: start[across] + x * cellsPerPixel(shape[across + "s"], size.width), [down]: start[down] + y * cellsPerPixel(shape[down + "s"], size.height) };
  return inside(to, shape);
}

/** Speed {view, time} in cells per millisecond at release, from [{at, view, time}, ...], oldest first. */
export function releaseSpeed(samples, now) {
  const last = samples.at(-1);
  const first = samples.find((sample) => sample.at >= now - SAMPLE_MS);
  if (!first || last.at === first.at || now - last.at > REST_MS) return { view: 0, time: 0 };
  const elapsed = last.at - first.at;
  return { view: (last.view - first.view) / elapsed, time: (last.time - first.time) / elapsed };
}

/** A glide from a position at a speed, always to the middle of a cell. */
export function glide(from, speed, shape) {
  const to = cellAt({ view: from.view + speed.view * GLIDE_MS, time: from.time + speed.time * GLIDE_MS }, shape);
  return { from, to };
}

/** Where a glide is after some time, and whether it is over. */
export function glided({ from, to }, elapsed) {
  const left = Math.exp(-elapsed / GLIDE_MS);
  const at = { view: to.view + (from.view - to.view) * left, time: to.time + (from.time - to.time) * left };
  const done = Math.max(Math.abs(at.view - to.view), Math.abs(at.time - to.time)) < SETTLED;
  return { position: done ? to : at, done };
}

/** An index that starts again behind the end, or turns round at both ends. */
export function played(start, steps, count, pingPong) {
  if (count === 1) return 0;
  const period = pingPong ? 2 * (count - 1) : count;
  const index = (((start + steps) % period) + period) % period;
  return index < count ? index : period - index;
}

/** The cell that many steps after another in the order of playing, backwards where there are less than 0. `ranges`: playedRanges() of range.mjs. */
export function cellAfter(start, steps, along, pingPong, ranges) {
  const cell = { ...start };
  for (const axis of axesOf(along)) {
    const [first, last] = ranges[axis];
    const outside = start[axis] < first || start[axis] > last;
    const from = outside ? (steps < 0 || Object.is(steps, -0) ? last : first) : start[axis];
    cell[axis] = first + played(from - first, steps, last - first + 1, pingPong);
  }
  return cell;
}

/** The cell after playing for some milliseconds, backwards where fps is negative. along: "time", "view" or "both". */
export function playedCell(start, elapsed, along, pingPong, fps, ranges) {
  return cellAfter(start, Math.sign(fps) * Math.floor((elapsed / 1000) * Math.abs(fps) + 1e-6), along, pingPong, ranges);
}

/** The next cell in the order of playing through the whole grid, forwards (1) or backwards (-1). */
export function nextCell(cell, step, along, pingPong, shape) {
  return cellAfter(cell, step, along, pingPong, playedRanges(parseRanges(), shape));
}

/**
 * All cells of one round of playing, until it begins again; where two axes meet again only after more than MOST_ROUND cells, one round of the longer.
 * It starts at the in point, backwards (direction -1) at the out point; an axis that does not play stays at `cell`.
 */
export function roundOfCells(cell, direction, along, pingPong, ranges) {
  const start = { ...cell };
  const periods = axesOf(along).map((axis) => {
    const [first, last] = ranges[axis];
    start[axis] = direction < 0 ? last : first;
    return pingPong ? Math.max(2 * (last - first), 1) : last - first + 1;
  });
  const together = periods.reduce((product, period) => (product * period) / divisor(product, period));
  const count = together <= MOST_ROUND ? together : Math.max(...periods);
  return Array.from({ length: count }, (_, step) => cellAfter(start, direction * step, along, pingPong, ranges));
}

function divisor(a, b) {
  return b ? divisor(b, a % b) : a;
}

/** The cell that a key leads to, or null. Arrows follow the picture's axes. */
export function keyCell(key, cell, shape, swap) {
  const { across, down } = axes(swap);
  const to = {
    ArrowLeft: [across, cell[across] - 1],
    ArrowRight: [across, cell[across] + 1],
    ArrowUp: [down, cell[down] - 1],
    ArrowDown: [down, cell[down] + 1],
    Home: [across, 0],
    End: [across, Infinity],
    PageUp: [down, 0],
    PageDown: [down, Infinity],
  }[key];
  return to ? inside({ ...cell, [to[0]]: to[1] }, shape) : null;
}
