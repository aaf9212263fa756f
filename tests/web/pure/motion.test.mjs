// How the position moves: known answers in cells, pixels and milliseconds.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as motion from "../../../web/player/motion.mjs";
import { axes } from "../../../web/shared/areas.mjs";

const SHAPE = { views: 4, times: 11 };
const ALL = { view: [0, 3], time: [0, 10] };
const SIZE = { width: 1000, height: 300 };
const START = { view: 1, time: 5 };

test("dragging across the whole picture runs through all times, down it through all views", () => {
  assert.deepEqual(motion.dragged({ view: 0, time: 0 }, { x: 1000, y: 0 }, SIZE, SHAPE, false), { view: 0, time: 10 });
  assert.equal(motion.dragged(START, { x: -200, y: 0 }, SIZE, SHAPE, false).time, 5 - 200 / 64); // at most 64 pixels a cell
  assert.equal(motion.dragged({ view: 0, time: 0 }, { x: 0, y: 128 }, SIZE, SHAPE, false).view, 2);
  assert.equal(motion.cellsPerPixel(33, 320), 0.1);
});

test("playing backwards runs the same cells the other way, round or to and fro", () => {
  const at = (ms, pingPong, fps) => motion.playedCell({ view: 1, time: 2 }, ms, "time", pingPong, fps, ALL).time;
  assert.deepEqual([0, 999, 1000, 2000, 3000].map((ms) => at(ms, false, -1)), [2, 2, 1, 0, 10]);
  assert.deepEqual([1000, 2000, 3000].map((ms) => at(ms, true, -1)), [1, 0, 1]);
});

test("one step in the order of playing", () => {
  assert.deepEqual(motion.nextCell({ view: 1, time: 10 }, 1, "time", false, SHAPE), { view: 1, time: 0 });
  assert.deepEqual(motion.nextCell({ view: 1, time: 10 }, -1, "both", false, SHAPE), { view: 0, time: 9 });
});

test("swapped, views run across and times down", () => {
  const moved = motion.dragged({ view: 0, time: 0 }, { x: 64, y: 0 }, SIZE, SHAPE, true);
  assert.deepEqual(moved, { view: 1, time: 0 });
  assert.deepEqual(axes(true), { across: "view", down: "time" });
});

test("a drag keeps its direction until it clearly leaves it", () => {
  assert.deepEqual(motion.heldToDirection({ x: 100, y: 30 }), { x: 100, y: 0 });
  assert.deepEqual(motion.heldToDirection({ x: -20, y: 100 }), { x: 0, y: 100 });
  assert.deepEqual(motion.heldToDirection({ x: 100, y: 80 }), { x: 100, y: 80 });
  assert.deepEqual(motion.heldToDirection({ x: 3, y: 2 }), { x: 3, y: 2 });
});

test("nothing leaves the grid", () => {
  assert.deepEqual(motion.dragged(START, { x: 9999, y: -9999 }, SIZE, SHAPE, false), { view: 0, time: 10 });
  assert.deepEqual(motion.dragged({ view: 0, time: 0 }, { x: 50, y: 0 }, SIZE, { views: 1, times: 1 }, false), { view: 0, time: 0 });
});

test("the speed at release is that of the last tenth of a second, and 0 after a rest", () => {
  const samples = [0, 50, 100, 150].map((at) => ({ at, view: 1, time: at < 100 ? 0 : (at - 100) / 50 }));
  assert.equal(motion.releaseSpeed(samples, 160).time, 1 / 50);
  assert.deepEqual(motion.releaseSpeed(samples, 250), { view: 0, time: 0 });
  assert.deepEqual(motion.releaseSpeed(samples.slice(0, 1), 0), { view: 0, time: 0 });
});

test("a glide starts where the drag ended, never turns back, and ends in the middle of a cell", () => {
  const throw_ = motion.glide({ view: 1.2, time: 3.3 }, { view: 0, time: 0.011 }, SHAPE);
  assert.deepEqual(throw_.to, { view: 1, time: 6 }); // 3.3 + 0.011 * 200 = 5.5
  let last = motion.glided(throw_, 0);
  assert.deepEqual(last.position, { view: 1.2, time: 3.3 });
  for (let elapsed = 16; !last.done; elapsed += 16) {
    const next = motion.glided(throw_, elapsed);
    assert.ok(next.position.time >= last.position.time && next.position.time <= 6);
    last = next;
    assert.ok(elapsed < 2000, "the glide does not end");
  }
  assert.deepEqual(last.position, { view: 1, time: 6 });
});

test("playing goes round or turns round, and shows both ends once", () => {
  const run = (pingPong) => Array.from({ length: 9 }, (_, step) => motion.played(0, step, 4, pingPong));
  assert.deepEqual(run(false), [0, 1, 2, 3, 0, 1, 2, 3, 0]);
  assert.deepEqual(run(true), [0, 1, 2, 3, 2, 1, 0, 1, 2]);
  assert.equal(motion.played(0, 7, 1, true), 0);
});

test("playing runs at the given speed along time, view or both", () => {
  const at = (along) => motion.playedCell(START, 250, along, false, 12, ALL); // 3 steps
  assert.deepEqual(at("time"), { view: 1, time: 8 });
  assert.deepEqual(at("view"), { view: 0, time: 5 });
  assert.deepEqual(at("both"), { view: 0, time: 8 });
});

test("arrows step, Home and End go to the ends, and stop there", () => {
  const to = (key, swap = false) => motion.keyCell(key, START, SHAPE, swap);
  assert.deepEqual([to("ArrowLeft").time, to("ArrowRight").time, to("ArrowUp").view, to("ArrowDown").view], [4, 6, 0, 2]);
  assert.deepEqual([to("Home").time, to("End").time, to("PageUp").view, to("PageDown").view], [0, 10, 0, 3]);
  assert.equal(to("ArrowRight", true).view, 2);
  assert.equal(to("q"), null);
  assert.equal(motion.keyCell("ArrowUp", { view: 0, time: 0 }, SHAPE, false).view, 0);
});
