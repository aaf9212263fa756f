// Cameras of the splat player: where they go when they are turned, pulled and zoomed.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as camera from "../../../web/splat_player/camera.mjs";

const LENS = { fx: 100, fy: 100, skew: 0, cx: 64, cy: 36 };
const LEVEL = { rotation: [1, 0, 0, 0, 1, 0, 0, 0, 1], shift: [0, 0, 4], lens: LENS }; // 4 before the origin, looking at it
const ORIGIN = [0, 0, 0];
const UP = [0, -1, 0];

const near = (found, expected, by = 1e-9) => found.forEach((value, index) => assert.ok(Math.abs(value - expected[index]) < by, `${found} instead of ${expected}`));

test("a level camera: where it is, what it sees, what is up", () => {
  near(camera.centreOf(LEVEL), [0, 0, -4]);
  near(camera.upOf([LEVEL, LEVEL]), UP);
  near(Object.values(camera.projected(LEVEL, [1, -1, 0])), [64 + 25, 36 - 25]);
  assert.equal(camera.projected(LEVEL, [0, 0, -5]), null);
  near(camera.ahead(LEVEL, 4), ORIGIN);
});

test("cameras that look down on an arc tell what is up", () => {
  const high = [-20, -10, 0, 10, 20].map((degrees) => camera.orbited(camera.orbited(LEVEL, ORIGIN, UP, 0, 0.6), ORIGIN, UP, (degrees * Math.PI) / 180, 0));
  near(camera.upOf(high), UP, 0.03);
  near(camera.upOf([high[2]]), high[2].rotation.slice(3, 6).map((value) => -value), 1e-6); // one camera alone: up in its picture
});

test("turning to the right by a quarter brings the camera to the right, still looking at the pivot", () => {
  const turned = camera.orbited(LEVEL, ORIGIN, UP, Math.PI / 2, 0);
  near(camera.centreOf(turned), [4, 0, 0]);
  near(camera.forward(turned), [-1, 0, 0]);
  near(Object.values(camera.projected(turned, ORIGIN)), [64, 36]);
});

test("turning higher lifts the camera, and never over the top", () => {
  const higher = camera.orbited(LEVEL, ORIGIN, UP, 0, Math.PI / 6);
  near(camera.centreOf(higher), [0, -2, -2 * Math.sqrt(3)]);
  const steep = camera.orbited(LEVEL, ORIGIN, UP, 0, 10);
  near([Math.asin(-camera.centreOf(steep)[1] / 4)], [1.5]);
  near(camera.centreOf(camera.orbited(steep, ORIGIN, UP, 0, 1)), camera.centreOf(steep));
});

test("pulling moves the pivot by as many pixels, and the camera with it", () => {
  const pulled = camera.panned(LEVEL, ORIGIN, { x: 10, y: -5 });
  near(Object.values(camera.projected(pulled.camera, ORIGIN)), [74, 31]);
  near(Object.values(camera.projected(pulled.camera, pulled.pivot)), [64, 36]);
});

test("zooming goes towards the pivot, between two distances", () => {
  near(camera.centreOf(camera.nearer(LEVEL, ORIGIN, 2, 0.1, 100)), [0, 0, -2]);
  near(camera.centreOf(camera.nearer(LEVEL, ORIGIN, 1e6, 0.1, 100)), [0, 0, -0.1]);
  near(camera.centreOf(camera.nearer(LEVEL, ORIGIN, 1e-6, 0.1, 100)), [0, 0, -100]);
});

test("between two cameras: places, directions and lenses in the middle; the ends are the cameras themselves", () => {
  const turned = { ...camera.orbited(LEVEL, ORIGIN, UP, 0.8, 0), lens: { ...LENS, fx: 200 } };
  const middle = camera.between(LEVEL, turned, 0.5);
  near(camera.forward(middle), camera.forward(camera.orbited(LEVEL, ORIGIN, UP, 0.4, 0)));
  near(camera.centreOf(middle), camera.centreOf(turned).map((value, axis) => (value + camera.centreOf(LEVEL)[axis]) / 2));
  assert.equal(middle.lens.fx, 150);
  assert.equal(camera.cameraAlong([LEVEL, turned], 1), turned);
  assert.equal(camera.cameraAlong([LEVEL, turned], 0), LEVEL);
  const behind = camera.orbited(LEVEL, ORIGIN, UP, Math.PI, 0);
  near(camera.forward(camera.between(LEVEL, behind, 1 - 1e-12)), camera.forward(behind), 1e-6);
});

test("the nearest view is the one that stands and looks alike", () => {
  const views = [-0.5, 0, 0.5].map((angle) => camera.orbited(LEVEL, ORIGIN, UP, angle, 0));
  assert.equal(camera.nearestView(views, camera.orbited(LEVEL, ORIGIN, UP, 0.3, 0.2), 4), 2);
  assert.equal(camera.nearestView(views, camera.nearer(views[0], ORIGIN, 0.7, 0.1, 100), 4), 0);
});

test("the middle of the scene is at the median depth of what is solid in the inner picture", () => {
  const splats = { positions: [0, 0, 1, 0, 0, 2, 0, 0, 3, 2.4, 0, 0, 0, 0, -3], opacities: [0.9, 0.9, 0.9, 0.9, 0.1], width: 128, height: 72 };
  assert.equal(camera.middleDepth(splats, LEVEL), 6);
});
