// What arrives from Python, marks, settings and pictures.

import assert from "node:assert/strict";
import { test } from "node:test";

import { isMarked, marksInside, marksText, parseMarks, withMark, withWorst } from "../../../web/player/marks.mjs";
import { Overlays } from "../../../web/player/overlays.mjs";
import { parseSettings } from "../../../web/player/settings.mjs";
import { cellArea, cellSource, fileRoute, parseGrid, stripBytes } from "../../../web/shared/payload.mjs";
import { Pictures } from "../../../web/shared/pictures.mjs";

const SENT = {
  id: "a", views: 2, times: 3, width: 36, height: 20, fps: 6, known: ["111", "100"], subfolder: "fourreal_player/a b", type: "temp",
  overview: { file: "overview.jpg", across: 3, cell: [18, 10], pitch: [24, 16] },
  strips: { files: ["view_0000.jpg", "view_0001.jpg"], across: 2, cell: [36, 20], pitch: [40, 24] },
};

test("a grid is read, with known cells by view and time", () => {
  assert.deepEqual(parseGrid(SENT).known, [[true, true, true], [true, false, false]]);
  assert.equal(parseGrid({ ...SENT, fps: 0 }).fps, 24);
});

test("a grid that cannot be shown says so", () => {
  for (const wrong of [null, {}, { ...SENT, views: 0 }, { ...SENT, times: 1.5 }]) assert.throws(() => parseGrid(wrong), /no size/);
  for (const wrong of [{ ...SENT, known: ["111"] }, { ...SENT, strips: { files: [] } }]) assert.throws(() => parseGrid(wrong), /incomplete/);
});

test("cells lie in lines, one pitch apart", () => {
  assert.deepEqual(cellArea(SENT.strips, 2), { x: 0, y: 24, width: 36, height: 20 });
  assert.deepEqual(cellArea(SENT.overview, 4), { x: 24, y: 16, width: 18, height: 10 });
});

test("the full-size picture is taken where it is there, else the small one, else none", () => {
  const grid = parseGrid(SENT);
  const having = (...files) => cellSource(grid, 1, 2, (file) => (files.includes(file) ? file : null));
  assert.deepEqual(having("overview.jpg", "view_0001.jpg"), { image: "view_0001.jpg", full: true, x: 0, y: 24, width: 36, height: 20 });
  assert.deepEqual(having("overview.jpg", "view_0000.jpg"), { image: "overview.jpg", full: false, x: 48, y: 16, width: 18, height: 10 });
  assert.equal(having(), null);
});

test("a view's picture is two cells wide and two high here", () => {
  assert.equal(stripBytes(parseGrid(SENT)), 80 * 48 * 4);
});

test("files are asked for by name, folder and kind", () => {
  assert.equal(fileRoute(SENT, "overview.jpg"), "/view?filename=overview.jpg&subfolder=fourreal_player%2Fa+b&type=temp");
});

test("marks go into the widget in order and come back", () => {
  let marks = new Set();
  for (const cell of [[2, 10], [2, 9], [0, 1], [2, 9]]) marks = withMark(marks, { view: cell[0], time: cell[1] }, true);
  assert.equal(marksText(marks), "[[0,1],[2,9],[2,10]]");
  assert.deepEqual(parseMarks(marksText(marks)), marks);
  const fewer = withMark(marks, { view: 2, time: 9 }, false);
  assert.ok(!isMarked(fewer, { view: 2, time: 9 }) && isMarked(marks, { view: 2, time: 9 }), "the old set was changed");
  assert.equal(marksText(marksInside(marks, { views: 3, times: 10 })), "[[0,1],[2,9]]");
});

test("the worst eighth is marked, and again the next one", () => {
  const cells = Array.from({ length: 20 }, (_, at) => [1 + Math.floor(at / 5), at % 5]);
  const once = withWorst(new Set(["1,1"]), cells);
  assert.equal(marksText(once), "[[1,0],[1,1],[1,2],[1,3]]", "three of twenty, beside the one that was marked");
  assert.equal(marksText(withWorst(once, cells)), "[[1,0],[1,1],[1,2],[1,3],[1,4],[2,0],[2,1]]");
  assert.equal(withWorst(new Set(), []).size, 0);
});

test("text that is no list of cells marks nothing", () => {
  for (const text of ["", undefined, "{", "{}", "3", "null", '[[1], ["1", 2], [1, -1], [1, 2.5]]']) assert.equal(parseMarks(text).size, 0, text);
});

test("settings are complete and allowed, whatever was saved", () => {
  const settings = parseSettings(undefined);
  assert.equal(settings.layout, "one");
  assert.deepEqual(parseSettings({ ...settings, layout: "cells", speed: 2, slit: { x: 0.25, y: 7 } }), { ...settings, layout: "cells", speed: 2, slit: { x: 0.25, y: 1 } });
  assert.deepEqual(parseSettings({ layout: "all", speed: "2", strips: 1, slit: { x: "a" } }), settings);
});

/** Pictures whose loading ends when the test says so. */
function slowPictures(options) {
  const asked = [];
  const closed = [];
  const problems = [];
  const load = (file) => new Promise((done, failed) => asked.push({ file, failed, done: () => done({ width: 10, height: 10, close: () => closed.push(file) }) }));
  const pictures = new Pictures({ load, onChange() {}, onProblem: (problem) => problems.push(problem), ...options });
  return { pictures, asked, closed, problems, files: () => asked.map(({ file }) => file) };
}
const soon = () => new Promise((done) => setImmediate(done));

test("two pictures load at once, and then the one wanted last", async () => {
  const { pictures, asked, files } = slowPictures();
  for (const file of ["a", "b", "c", "d"]) assert.equal(pictures.get(file), null);
  assert.deepEqual(files(), ["a", "b"]);
  asked[0].done();
  await soon();
  assert.deepEqual(files(), ["a", "b", "d"]);
  assert.ok(pictures.get("a"));
  pictures.forgetWanted();
  asked[1].done();
  asked[2].done();
  await soon();
  assert.deepEqual(files(), ["a", "b", "d"], "c was forgotten");
});

test("beyond the budget the picture used longest ago goes, but no pinned one", async () => {
  const { pictures, asked, closed } = slowPictures({ budget: 1000, pinned: ["a"] });
  for (const file of ["a", "b", "c"]) {
    pictures.get(file);
    asked.at(-1).done();
    await soon();
    if (file === "b") pictures.get("a");
  }
  assert.deepEqual(closed, ["b"]);
  assert.ok(pictures.get("a") && pictures.get("c"));
});

test("closing frees every picture, also one that arrives later", async () => {
  const { pictures, asked, closed } = slowPictures();
  pictures.get("a");
  pictures.get("b");
  asked[0].done();
  await soon();
  pictures.close();
  asked[1].done();
  await soon();
  assert.deepEqual(closed, ["a", "b"]);
  assert.equal(pictures.get("c"), null);
  assert.equal(asked.length, 2);
});

test("a picture that cannot be had is told once and not asked for again", async () => {
  const { pictures, asked, problems } = slowPictures();
  pictures.get("a");
  asked[0].failed(new Error("404"));
  await soon();
  pictures.get("a");
  assert.deepEqual([asked.length, problems.length], [1, 1]);
});

test("an overlay that cannot be shown is told and left out; the other one stays, and counts where all pictures have to fit", async () => {
  const told = [];
  const none = async () => { throw new Error("404"); };
  const picturesOf = (grid, change, onProblem) => new Pictures({ load: none, onChange() {}, onProblem, budget: stripBytes(grid) * grid.views - 1 });
  const overlays = new Overlays(picturesOf, (text) => told.push(text));
  overlays.take({ ...SENT, compare: { ...SENT, views: 0 }, confidence: { ...SENT, id: "b" } });
  assert.deepEqual(told, ["Cannot show the grid to compare with: the grid has no size: run the workflow again."]);
  assert.equal(overlays.compare, null);
  assert.equal(overlays.confidence.grid.id, "b");
  assert.equal(overlays.allFit, false);
  overlays.confidence.picture("view_0000.jpg", true);
  await new Promise((done) => setTimeout(done));
  assert.equal(told[1], "Cannot show the confidence: its pictures cannot be read; run the workflow again.");
  overlays.take(SENT);
  assert.equal(overlays.confidence, null);
  assert.equal(overlays.allFit, true);
});
