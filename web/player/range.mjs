// In and out points: which cells play. Pure.
// Ranges are {view: {in, out}, time: {in, out}}, each an index from 0 or null where there is no such point.

const AXES = ["view", "time"];
const NONE = { in: null, out: null };
const index = (value) => (Number.isInteger(value) && value >= 0 ? value : null);

/** Ranges as they were saved; what is not understood is no point. */
export function parseRanges(saved) {
  return Object.fromEntries(AXES.map((axis) => [axis, { in: index(saved?.[axis]?.in), out: index(saved?.[axis]?.out) }]));
}

/** The axes that playing runs along. */
export function axesOf(play) {
  return play === "both" ? AXES : [play];
}

/** Ranges with the point "in" or "out" at a cell, along what plays. A point that would lie on the wrong side of the other removes it. */
export function withPoint(ranges, point, cell, play) {
  const changed = { ...ranges };
  for (const axis of axesOf(play)) {
    const range = { ...ranges[axis], [point]: cell[axis] };
    if (range.in !== null && range.out !== null && range.in > range.out) range[point === "in" ? "out" : "in"] = null;
    changed[axis] = range;
  }
  return changed;
}

/** Ranges without the points along what plays. */
export function withoutPoints(ranges, play) {
  return { ...ranges, ...Object.fromEntries(axesOf(play).map((axis) => [axis, NONE])) };
}

/** {view: [first, last], time: [first, last]} of the cells that play; points that lie outside of a grid of this shape do not count. */
export function playedRanges(ranges, shape) {
  const played = ({ in: first, out: last }, count) => {
    const start = first !== null && first < count ? first : 0;
    return [start, last !== null && last < count && last >= start ? last : count - 1];
  };
  return Object.fromEntries(AXES.map((axis) => [axis, played(ranges[axis], shape[axis + "s"])]));
}

/** Whether there are points along an axis of this many cells. */
export function isLimited({ in: first, out: last }, count) {
  return (first !== null && first < count) || (last !== null && last < count);
}
