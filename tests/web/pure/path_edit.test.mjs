// Changes to a drawn path, where things are on its canvas, and what a frame between cells is made of.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { blendedCells, shownCells } from "../../../web/path_editor/blend.mjs";
import { cameraPositions, timeline } from "../../../web/path_editor/camera_path.mjs";
import * as edit from "../../../web/path_editor/edit.mjs";
import { newPoint, parsePath, pathText } from "../../../web/path_editor/path_text.mjs";
import * as plane from "../../../web/path_editor/plane.mjs";
import { FIRST, PRESET_NAMES, presetPath } from "../../../web/path_editor/presets.mjs";

const SHAPE = { views: 3, times: 5 };
const drawn = (points, rest = {}) => ({ ...FIRST, ...SHAPE, frames: 9, ...rest, points: points.map(([view, time, more]) => newPoint({ view, time }, more)) });
const LINE = drawn([[0, 0], [0, 4], [2, 4]]);
const places = (path) => path.points.map(({ view, time }) => [view, time]);
const AREA = { x: 10, y: 20, width: 500, height: 300 };

test("a new node starts with the bullet time preset", () => {
  const { first } = JSON.parse(readFileSync(new URL("../../camera_path_cases.json", import.meta.url)));
  assert.equal(pathText(presetPath("bullet time", FIRST)), first);
});

for (const name of PRESET_NAMES) {
  test(`the preset ${name} fits planes of every shape, keeps the length and begins in the first view`, () => {
    for (const shape of [SHAPE, { views: 1, times: 1 }, { views: 1, times: 7 }, { views: 9, times: 2 }]) {
      const path = presetPath(name, { ...FIRST, ...shape, frames: 20, fps: 12, between: "nearest" });
      assert.deepEqual(parsePath(pathText(path)).frames, 20);
      assert.deepEqual([path.fps, path.between, path.points[0].view], [12, "nearest", 0]);
      assert.equal(cameraPositions(path, shape).length, 20);
    }
  });
}

test("points are moved within the plane, and the path before stays as it was", () => {
  assert.deepEqual(places(edit.movedPoint(LINE, 1, { view: -3, time: 2.25 })), [[0, 0], [0, 2.25], [2, 4]]);
  assert.deepEqual(places(LINE), [[0, 0], [0, 4], [2, 4]]);
});

test("points near whole views and times take them, others stay", () => {
  assert.deepEqual(edit.snappedPlace({ view: 1.1, time: 2.4 }), { view: 1, time: 2.4 });
  assert.deepEqual(edit.onOneAxis({ view: 1, time: 1 }, { view: 1.5, time: 3 }), { view: 1, time: 3 });
});

test("an inserted point takes over speed, roundness and its part of the easing, but no hold", () => {
  const path = drawn([[0, 0, { ease: "in-out", speed: 2, rounding: 0.5, hold: 3 }], [0, 4], [2, 4]]);
  const more = edit.insertedPoint(path, 0, { view: 0, time: 1 });
  assert.deepEqual(places(more), [[0, 0], [0, 1], [0, 4], [2, 4]]);
  assert.deepEqual(more.points.map(({ ease }) => ease), ["in", "out", "linear", "linear"]);
  assert.deepEqual([more.points[1].speed, more.points[1].rounding, more.points[1].hold], [2, 0.5, 0]);
});

test("a path goes on from its end or from its start", () => {
  assert.deepEqual(places(edit.extendedPath(LINE, { view: 1, time: 1 }, false)).at(-1), [1, 1]);
  assert.deepEqual(places(edit.extendedPath(LINE, { view: 1, time: 9 }, true))[0], [1, 4]);
});

test("points are removed, but not the last one; and there are at most 200", () => {
  assert.deepEqual(places(edit.removedPoint(LINE, 1)), [[0, 0], [2, 4]]);
  const one = drawn([[1, 1]]);
  assert.equal(edit.removedPoint(one, 0), one);
  let many = LINE;
  for (let count = 0; count < 300; count += 1) many = edit.insertedPoint(many, 0, { view: 1, time: 1 });
  assert.equal(many.points.length, 200);
});

test("typed numbers are brought into their range, and what is none changes nothing", () => {
  const typed = (name, text, path = LINE, index = 1) => edit.allowedNumber(name, text, path, index);
  assert.deepEqual([typed("view", "7"), typed("time", "2.5"), typed("speed", "0"), typed("frames", "30.4"), typed("fps", "999")], [2, 2.5, 0.05, 30, 240]);
  assert.deepEqual([typed("view", ""), typed("view", "a")], [null, null]);
  assert.equal(typed("hold", "100"), 7); // of 9 frames, 2 are left to move
  const held = edit.withPoint(LINE, 1, { hold: 7 });
  assert.equal(typed("frames", "3", held), 9);
  assert.equal(typed("hold", "100", { ...LINE, loop: "back" }), 3); // held on the way there and on the way back
});

test("what a typed number allows can be read back", () => {
  for (const loop of ["no", "round", "back"]) {
    const path = { ...LINE, loop };
    for (const index of [0, 1, 2]) parsePath(pathText(edit.withPoint(path, index, { hold: edit.allowedNumber("hold", "999", path, index) })));
    parsePath(pathText(edit.loopedPath(edit.withPoint(LINE, 1, { hold: 7 }), loop)));
  }
});

test("a freehand line keeps the points that matter", () => {
  const wave = Array.from({ length: 101 }, (_, x) => ({ x, y: x < 50 ? x : 100 - x }));
  assert.deepEqual(edit.simplified(wave, 2), [wave[0], wave[50], wave[100]]);
  const path = edit.freehandPath(LINE, [{ view: 0, time: 0 }, { view: 2, time: 2 }, { view: 0, time: 9 }]);
  assert.deepEqual(places(path), [[0, 0], [2, 2], [0, 4]]);
  assert.ok(path.points.every(({ rounding }) => rounding === 1));
  assert.equal(edit.freehandPath(LINE, [{ view: 0, time: 0 }]), LINE);
});

test("a path on another plane is stretched", () => {
  const path = edit.onPlane(LINE, { views: 5, times: 9 });
  assert.deepEqual([places(path), path.views, path.times], [[[0, 0], [0, 8], [4, 8]], 5, 9]);
});

for (const [width, height] of [[880, 480], [420, 700], [400, 330], [1600, 500]]) {
  test(`plane, preview and graph lie beside each other on ${width} x ${height}`, () => {
    for (const shape of [SHAPE, { views: 1, times: 33 }, { views: 32, times: 32 }]) {
      const { plane: drawing, preview, graph } = plane.editorAreas({ width, height }, shape, 16 / 9);
      const end = ({ x, y, width: w, height: h }) => [x + w, y + h];
      assert.ok(end(drawing)[0] <= preview.x || end(drawing)[1] <= preview.y, "plane and preview overlap");
      assert.ok(Math.max(end(drawing)[1], end(preview)[1]) <= graph.y, "the graph is overlapped");
      for (const area of [drawing, preview, graph]) {
        assert.ok(area.x >= 0 && area.y >= 0 && end(area)[0] <= width + 0.01 && end(area)[1] <= height + 0.01 && area.width > 40 && area.height > 20, JSON.stringify(area));
      }
      assert.ok(Math.abs(preview.width / preview.height - 16 / 9) < 1e-6);
    }
  });
}

test("the middle of a cell is its whole position, there and back", () => {
  assert.deepEqual(plane.toPoint(AREA, SHAPE, { view: 0, time: 0 }), { x: 60, y: 70 });
  assert.deepEqual(plane.toPlace(AREA, SHAPE, { x: 460, y: 270 }), { view: 2, time: 4 });
});

test("a press finds points before lines before the plane", () => {
  const areas = { plane: AREA, preview: { x: 600, y: 20, width: 100, height: 50 }, graph: { x: 10, y: 400, width: 500, height: 60 } };
  const find = (x, y, reach = 10) => plane.under({ x, y }, { areas, path: LINE, legs: timeline(LINE, SHAPE).legs, reach });
  assert.deepEqual(find(64, 72), { kind: "point", index: 0 });
  const line = find(260, 75);
  assert.deepEqual([line.kind, line.index, line.place.view], ["line", 0, 0]);
  assert.ok(Math.abs(line.place.time - 2) < 1e-9);
  assert.equal(find(260, 200).kind, "plane");
  assert.equal(find(80, 75).kind, "line");
  assert.equal(find(80, 75, 22).kind, "point"); // fingers are thicker
  assert.deepEqual([find(650, 40).kind, find(100, 420).kind, find(560, 390)?.kind], ["preview", "graph", undefined]);
});

test("every frame is found where the graph draws it", () => {
  for (const count of [1, 2, 49]) for (let frame = 0; frame < count; frame += 1) assert.equal(plane.frameUnder(AREA, { x: plane.frameX(AREA, frame, count) }, count), frame);
});

test("a place is blended of the cells around, with weights that make up 1", () => {
  assert.deepEqual(blendedCells({ view: 2, time: 4 }), [{ view: 2, time: 4, weight: 1 }]);
  assert.deepEqual(blendedCells({ view: 1.25, time: 3 }), [{ view: 1, time: 3, weight: 0.75 }, { view: 2, time: 3, weight: 0.25 }]);
  const four = blendedCells({ view: 0.5, time: 0.25 });
  assert.deepEqual(four.map(({ weight }) => weight), [0.375, 0.375, 0.125, 0.125]);
  assert.deepEqual([...shownCells([{ view: 0, time: 0.25 }, { view: 0, time: 1 }])], [["0,0", 0.75], ["0,1", 1]]);
});
