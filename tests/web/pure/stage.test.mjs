// Where things are on the canvas, and what is under a point.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as stage from "../../../web/player/stage.mjs";
import { cellAreas } from "../../../web/shared/areas.mjs";

const SHAPE = { views: 3, times: 5 };
const AREA = { x: 10, y: 20, width: 500, height: 300 };
const end = ({ x, y, width, height }) => [x + width, y + height];

test("picture, strips and map touch no other and stay on the canvas", () => {
  for (const aspect of [null, 16 / 9, 0.5, 5]) {
    const { picture, acrossStrip, downStrip, map } = stage.stageAreas({ width: 540, height: 420 }, true, aspect);
    assert.ok(end(picture)[0] < downStrip.x && end(picture)[1] < acrossStrip.y);
    assert.deepEqual([acrossStrip.x, acrossStrip.width, downStrip.y, downStrip.height], [picture.x, picture.width, picture.y, picture.height]);
    assert.deepEqual([map.x, map.y], [downStrip.x, acrossStrip.y]);
    assert.ok(picture.x >= 0 && picture.y >= 0 && end(map)[0] <= 540.001 && end(map)[1] <= 420.001);
    if (aspect) assert.ok(Math.abs(picture.width / picture.height - aspect) < 1e-9);
  }
});

test("without strips, or in too little space, there is only the picture", () => {
  assert.deepEqual(stage.stageAreas({ width: 500, height: 400 }, false), { picture: { x: 0, y: 0, width: 500, height: 400 } });
  assert.equal(stage.stageAreas({ width: 150, height: 400 }, true).map, undefined);
});

test("tiles keep their aspect, do not overlap and are as large as they can be", () => {
  const tiles = stage.tiles({ x: 0, y: 0, width: 403, height: 203 }, 8, 1, 1);
  assert.equal(tiles.length, 8);
  assert.equal(tiles[0].width, 100);
  assert.deepEqual([tiles[1].x - tiles[0].x, tiles[4].y - tiles[0].y], [101, 101]);
  const [one] = stage.tiles({ x: 5, y: 5, width: 400, height: 100 }, 1, 2);
  assert.deepEqual(one, { x: 105, y: 5, width: 200, height: 100 });
});

for (const swap of [false, true]) {
  for (const aspect of [null, 16 / 9]) {
    test(`every cell is found where it is drawn (swap ${swap}, aspect ${aspect})`, () => {
      const place = cellAreas(AREA, SHAPE, swap, aspect);
      for (let view = 0; view < SHAPE.views; view += 1) {
        for (let time = 0; time < SHAPE.times; time += 1) {
          const { x, y, width, height } = place({ view, time });
          const middle = { x: x + width / 2, y: y + height / 2 };
          assert.deepEqual(stage.cellUnder(AREA, middle, SHAPE, swap, aspect), swap ? { view, time } : { time, view });
          if (aspect) assert.ok(Math.abs(width / height - aspect) < 1e-9);
        }
      }
    });
  }
}

test("points outside count to the nearest part", () => {
  assert.equal(stage.partUnder(AREA, { x: -50, y: 0 }, 5, true), 0);
  assert.equal(stage.partUnder(AREA, { x: 9999, y: 0 }, 5, true), 4);
  assert.equal(stage.partUnder(AREA, { x: 0, y: 20 + 299 }, 3, false), 2);
});
