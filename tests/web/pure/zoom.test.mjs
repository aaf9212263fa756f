// The part of a picture that is shown: what is under the pointer stays there, and nothing leaves the picture.

import assert from "node:assert/strict";
import { test } from "node:test";

import { wheelTimes } from "../../../web/shared/wheel.mjs";
import * as zoom from "../../../web/player/zoom.mjs";

const near = (found, expected) => Object.keys(expected).forEach((key) => assert.ok(Math.abs(found[key] - expected[key]) < 1e-9, `${key}: ${found[key]}, expected ${expected[key]}`));

test("what is under the pointer stays under it", () => {
  const at = { x: 0.75, y: 0.25 };
  const part = zoom.zoomed(zoom.WHOLE, 4, at);
  near(part, { x: 0.75 * 0.75, y: 0.25 * 0.75, width: 0.25, height: 0.25 });
  near(zoom.toPicture(part, at), at);
  const more = zoom.zoomed(part, 2, at);
  near(zoom.toPicture(more, at), at);
  near(zoom.toArea(more, at), at);
});

test("zooming out ends with the whole picture, zooming in with a 64th", () => {
  assert.equal(zoom.zoomed(zoom.zoomed(zoom.WHOLE, 3), 0.01), zoom.WHOLE);
  assert.equal(zoom.zoomed(zoom.WHOLE, 1e9).width, 1 / 64);
});

test("pulling moves the picture with the pointer and stops at its edges", () => {
  const part = zoom.zoomed(zoom.WHOLE, 2);
  near(zoom.panned(part, { x: 0.25, y: -0.1 }), { x: 0.125, y: 0.3, width: 0.5, height: 0.5 });
  near(zoom.panned(part, { x: 9, y: -9 }), { x: 0, y: 0.5 });
  assert.equal(zoom.panned(zoom.WHOLE, { x: 0.3, y: 0.3 }), zoom.WHOLE);
});

test("full size is a pixel of the picture per pixel of the screen", () => {
  near(zoom.atFullSize(zoom.WHOLE, 1024, 512), { x: 0.25, y: 0.25, width: 0.5 });
  assert.equal(zoom.atFullSize(zoom.WHOLE, 256, 512), zoom.WHOLE);
});

test("the wheel enlarges upwards, lines count as pixels, and one jump is not too far", () => {
  assert.ok(wheelTimes({ deltaY: -100, deltaMode: 0 }) > 1.1 && wheelTimes({ deltaY: 100, deltaMode: 0 }) < 0.9);
  assert.equal(wheelTimes({ deltaY: 3, deltaMode: 1 }), wheelTimes({ deltaY: 48, deltaMode: 0 }));
  assert.ok(wheelTimes({ deltaY: -1e6, deltaMode: 0 }) < 2);
});
