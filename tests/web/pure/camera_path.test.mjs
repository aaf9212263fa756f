// Drawn paths: the same table of positions and sentences as in tests/core/test_drawn_path.py, whose Python is the one that counts.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { cameraPositions } from "../../../web/path_editor/camera_path.mjs";
import { parsePath, pathText } from "../../../web/path_editor/path_text.mjs";

const TABLE = JSON.parse(readFileSync(new URL("../../camera_path_cases.json", import.meta.url)));

for (const { name, path, grid, positions } of TABLE.positions) {
  test(`positions are those of the table: ${name}`, () => {
    const found = cameraPositions(parsePath(JSON.stringify(path)), { views: grid[0], times: grid[1] });
    assert.deepEqual(found.map(({ view, time }) => [view, time]), positions);
  });
}

for (const { text, sentence } of TABLE.refused) {
  test(`a bad text gets the sentence of the table: ${text.slice(-60)}`, () => assert.throws(() => parsePath(text), { message: sentence }));
}

test("text and path go into each other, and defaults are left out", () => {
  for (const { path } of TABLE.positions) {
    const parsed = parsePath(JSON.stringify(path));
    assert.deepEqual(parsePath(pathText(parsed)), parsed);
  }
  const short = pathText(parsePath(JSON.stringify(TABLE.positions[0].path)));
  assert.ok(short.endsWith('"points":[{"view":0,"time":0},{"view":0,"time":2},{"view":2,"time":2},{"view":2,"time":4}]}'), short);
});
