// In and out points, what plays between them, and the cells of one round.

import assert from "node:assert/strict";
import { test } from "node:test";

import { cellAfter, roundOfCells } from "../../../web/player/motion.mjs";
import * as range from "../../../web/player/range.mjs";
import { parseSettings } from "../../../web/player/settings.mjs";

const SHAPE = { views: 4, times: 11 };
const NONE = range.parseRanges();
const CELL = { view: 2, time: 6 };
const times = (cells) => cells.map(({ time }) => time);

test("points are set where the player is, along what plays, and cleared there", () => {
  const both = range.withPoint(NONE, "in", CELL, "both");
  assert.deepEqual(both, { view: { in: 2, out: null }, time: { in: 6, out: null } });
  assert.deepEqual(range.withoutPoints(both, "time"), { view: { in: 2, out: null }, time: { in: null, out: null } });
  assert.deepEqual(range.withPoint(NONE, "out", CELL, "view").time, { in: null, out: null });
});

test("a point on the wrong side of the other removes it, as in editors", () => {
  const later = range.withPoint(range.withPoint(NONE, "out", { view: 0, time: 3 }, "time"), "in", CELL, "time");
  assert.deepEqual(later.time, { in: 6, out: null });
  assert.deepEqual(range.withPoint(later, "out", { view: 0, time: 6 }, "time").time, { in: 6, out: 6 });
});

test("what plays lies between the points; points outside of a smaller grid do not count", () => {
  const ranges = { view: { in: null, out: null }, time: { in: 2, out: 9 } };
  assert.deepEqual(range.playedRanges(ranges, SHAPE), { view: [0, 3], time: [2, 9] });
  assert.deepEqual(range.playedRanges(ranges, { views: 4, times: 5 }).time, [2, 4]);
  assert.deepEqual(range.playedRanges(ranges, { views: 4, times: 2 }).time, [0, 1]);
  assert.deepEqual([11, 3, 2].map((count) => range.isLimited(ranges.time, count)), [true, true, false]);
});

test("saved points that are no whole numbers are none", () => {
  assert.deepEqual(parseSettings({ ranges: { time: { in: 1.5, out: -1 }, view: "x" } }).ranges, NONE);
  assert.deepEqual(parseSettings({ ranges: { time: { in: 1, out: 4 } } }).ranges.time, { in: 1, out: 4 });
});

test("playing loops or turns round between the points, and enters them from outside", () => {
  const ranges = range.playedRanges({ ...NONE, time: { in: 2, out: 4 } }, SHAPE);
  const run = (start, sign, pingPong) => times([0, 1, 2, 3, 4].map((step) => cellAfter({ view: 0, time: start }, sign * step, "time", pingPong, ranges)));
  assert.deepEqual(run(3, 1, false), [3, 4, 2, 3, 4]);
  assert.deepEqual(run(3, 1, true), [3, 4, 3, 2, 3]);
  assert.deepEqual(run(9, 1, false), [2, 3, 4, 2, 3]);
  assert.deepEqual(run(9, -1, false), [4, 3, 2, 4, 3]);
});

test("one round has each cell of the loop once, from the in point, or backwards from the out point", () => {
  const ranges = range.playedRanges({ ...NONE, time: { in: 2, out: 4 } }, SHAPE);
  const round = (direction, pingPong) => roundOfCells(CELL, direction, "time", pingPong, ranges);
  assert.deepEqual(round(1, false), [2, 3, 4].map((time) => ({ view: 2, time })));
  assert.deepEqual(times(round(-1, false)), [4, 3, 2]);
  assert.deepEqual(times(round(1, true)), [2, 3, 4, 3]);
  assert.deepEqual(times(roundOfCells(CELL, 1, "time", true, { view: [0, 3], time: [5, 5] })), [5]);
});

test("along both axes a round ends where both begin again, or after one of the longer", () => {
  const all = range.playedRanges(NONE, SHAPE);
  const round = roundOfCells(CELL, 1, "both", false, all);
  assert.equal(round.length, 44);
  assert.deepEqual(round[0], { view: 0, time: 0 });
  assert.deepEqual(round.at(-1), { view: 3, time: 10 });
  assert.equal(roundOfCells(CELL, 1, "both", true, { view: [0, 63], time: [0, 1022] }).length, 2044);
});
