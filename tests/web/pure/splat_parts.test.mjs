// The splat player's file, motion, order and playing, with known answers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { DepthOrder, nodeDepths } from "../../../web/splat_player/depth_order.mjs";
import { nodesAt, pathBasis, PER_NODE } from "../../../web/splat_player/node_motion.mjs";
import { Pace } from "../../../web/splat_player/pace.mjs";
import { along, playedTo } from "../../../web/splat_player/playing.mjs";
import { parseSettings } from "../../../web/splat_player/settings.mjs";
import { parseSplats } from "../../../web/splat_player/splat_file.mjs";

const near = (found, expected, by = 1e-6) => [...found].forEach((value, index) => assert.ok(Math.abs(value - expected[index]) < by, `${[...found]} instead of ${expected}`));

/** Bytes of a file with 2 Gaussians, one of which follows one of 1 node, and 1 view; `change(header, arrays)` may damage it. */
function fileOf(change = () => {}) {
  const shapes = { positions: [2, 3], scales: [2, 3], rotations: [2, 4], colours: [2, 3], opacities: [2], shades: [2, 0, 3], nodes: [1, 3], paths: [1, 2, 6], shares: [1, 1], world_to_camera: [1, 4, 4], intrinsics: [1, 3, 3], near: [1, 1] };
  const said = { rest: 1, times: 3, fps: 8, width: 16, height: 8, background: [0, 0, 0], facts: {} };
  const header = { __metadata__: { splats: JSON.stringify(said) } };
  const arrays = [];
  let offset = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const count = shape.reduce((product, size) => product * size, 1);
    const made = name === "near" ? new Int16Array(count) : Float32Array.from({ length: count }, (_, index) => index + 1);
    header[name] = { dtype: name === "near" ? "I16" : "F32", shape, data_offsets: [offset, (offset += made.byteLength)] };
    arrays.push(made);
  }
  change(header, arrays);
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  let at = 8 + text.length;
  for (const made of arrays) bytes.set(new Uint8Array(made.buffer), at), (at += made.byteLength);
  return bytes.buffer;
}

test("a file is read wherever its arrays lie", () => {
  for (const spaces of ["", " ", "  ", "   "]) {
    const splats = parseSplats(fileOf((header) => (header.__metadata__.spaces = spaces)));
    assert.deepEqual(splats.sizes, { N: 2, C: 0, M: 1, D: 2, P: 1, K: 1, V: 1 });
    assert.deepEqual([...splats.positions], [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(splats.cameras[0], { rotation: [1, 2, 3, 5, 6, 7, 9, 10, 11], shift: [4, 8, 12], lens: { fx: 1, fy: 5, skew: 2, cx: 3, cy: 6 } });
    assert.deepEqual([splats.rest, splats.times, splats.fps], [1, 3, 8]);
  }
});

for (const [what, change] of Object.entries({
  "an array that ends behind the file": (header) => (header.intrinsics.data_offsets = header.intrinsics.data_offsets.map((at) => at + 1000)),
  "an array before the file": (header) => (header.positions.data_offsets = [-24, 0]),
  "an array of another length": (header) => (header.scales.shape = [3, 3]),
  "a shape that is no number": (header) => (header.scales.shape = ["2", 3]),
  "another kind of number": (header) => (header.scales.dtype = "F64"),
  "a missing array": (header) => delete header.scales,
  "a node that is not there": (_, arrays) => (arrays.at(-1)[0] = 1),
  "a node below zero": (_, arrays) => (arrays.at(-1)[0] = -1),
  "no times": (header) => (header.__metadata__.splats = header.__metadata__.splats.replace('"times":3', '"times":0')),
  "a description that is no JSON": (header) => (header.__metadata__.splats = "{"),
})) test(`a file with ${what} is refused`, () => assert.throws(() => parseSplats(fileOf(change)), /damaged or incomplete/));

test("a file that is cut short, and one that is none, are refused", () => {
  for (const buffer of [fileOf().slice(0, -4), fileOf().slice(0, 40), new ArrayBuffer(4), new Uint8Array(64).fill(255).buffer]) assert.throws(() => parseSplats(buffer), /damaged or incomplete/);
});

test("Legendre polynomials less their values at rest", () => {
  near(pathBasis(4, 5, 0, 3), [2, 0, 2]); // P(1) - P(-1)
  near(pathBasis(3, 5, 2, 2), [0.5, (3 * 0.25 - 1) / 2 + 0.5]);
  near(pathBasis(9, 5, 4, 2), [0, 0]); // later than the last is the last
  near(pathBasis(0, 1, 0, 2), [0, 0]);
});

test("a node turns about its place at rest, and moves", () => {
  const paths = [0, 0, 5, 0, 0, Math.PI / 2]; // along z, and a quarter about z
  const out = nodesAt({ sizes: { M: 1, D: 1 }, nodes: [1, 0, 0], paths }, [1], new Float32Array(PER_NODE));
  const moved = [0, 1, 2].map((row) => out[4 * row] * 2 + out[4 * row + 1] * 0 + out[4 * row + 2] * 0 + out[4 * row + 3]); // of the point (2, 0, 0)
  near(moved, [1, 1, 5]);
  near(out.slice(12), [0, 0, Math.PI / 2, 0]);
});

test("an order goes from far to near and leaves out what is behind or too near", () => {
  const positions = new Float32Array([0, 0, 2, 0, 0, 9, 0, 0, -1, 0, 0, 5, 0, 0, 0.01, 0, 0, 0]);
  const followed = new Int16Array([0, 1]); // by the last, whose nodes are 3 and 7 further
  const order = new Uint32Array(6);
  const nodes = nodeDepths([0, 0, 1, 0], Float32Array.from([...[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0], ...[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 7, 0, 0, 0, 0]]), PER_NODE, new Float32Array(8));
  const { drawn, nearest } = new DepthOrder({ positions, near: followed, shares: new Float32Array([0.25, 0.75]) }, 6, 1).sort([0, 0, 1, 0], nodes, order);
  assert.deepEqual([...order.subarray(0, drawn)], [1, 5, 3, 0]); // depths 9, 6, 5, 2
  near([nearest], [0.02 * 5], 1e-4); // the median of 0.01, 2, 5, 6, 9
});

test("a random order is as exact as its keys, over any range of depths", () => {
  for (const range of [1.001, 4, 1e6]) {
    const count = 5000;
    const positions = Float32Array.from({ length: 3 * count }, (_, index) => (index % 3 === 2 ? range ** (((index * 7919) % 9973) / 9973) : 0));
    const order = new Uint32Array(count);
    const { drawn } = new DepthOrder({ positions, near: [], shares: [] }, count, 0).sort([0, 0, 1, 0], [], order);
    assert.equal(new Set(order.subarray(0, drawn)).size, drawn);
    for (let at = 1; at < drawn; at += 1) assert.ok(positions[3 * order[at] + 2] <= positions[3 * order[at - 1] + 2] * (1 + Math.max(Math.log2(range), 1) / 32768));
  }
});

test("playing: over the end it starts again, turns round or stops", () => {
  assert.deepEqual(along(1, 2.5, 3, "loop"), { place: 0.5, over: false });
  assert.deepEqual(along(1, 2.5, 3, "pingPong"), { place: 2.5, over: false });
  assert.deepEqual(along(1, 2.5, 3, "once"), { place: 3, over: true });
  assert.deepEqual(along(1, -2.5, 3, "pingPong"), { place: 1.5, over: false });
  assert.deepEqual(along(0, 3, 3, "loop"), { place: 3, over: false });
  const shape = { times: 4, views: 1 };
  assert.deepEqual(playedTo({ time: 0, view: 0 }, 500, 2, { play: "both", loop: "once" }, shape), { time: 1, view: 0, over: false });
  assert.deepEqual(playedTo({ time: 0, view: null }, 500, 2, { play: "view", loop: "loop" }, shape), { time: 0, view: null, over: true });
});

test("a slow card draws coarser, a fast one in full, and a rest is no slow frame", () => {
  const pace = new Pace();
  let now = 0;
  for (let frame = 0; frame < 60; frame += 1) pace.frame((now += 100));
  assert.equal(pace.scale, 0.25);
  for (let frame = 0; frame < 200; frame += 1) pace.frame((now += 16));
  assert.equal(pace.scale, 1);
  for (let frame = 0; frame < 20; frame += 1) {
    pace.rest();
    pace.frame((now += 5000));
  }
  assert.equal(pace.scale, 1);
});

test("settings that are not understood get their defaults", () => {
  assert.deepEqual(parseSettings({ play: "x", speed: 0.25, wipe: 7, cameras: "yes" }), { play: "time", speed: 0.25, loop: "pingPong", compare: "a", cameras: true, wipe: 1, at: null });
  assert.deepEqual(parseSettings(undefined), parseSettings({}));
});

test("a place is kept whole or not at all", () => {
  const camera = { rotation: [1, 0, 0, 0, 1, 0, 0, 0, 1], shift: [0, 0, 2], lens: { fx: 9, fy: 9, skew: 0, cx: 4, cy: 3 } };
  const free = { time: 1.5, camera, pivot: [0, 0, 2], distance: 2 };
  for (const at of [free, { time: 0, view: 2.5 }]) assert.deepEqual(parseSettings({ at }).at, at);
  const damaged = [null, "x", 7, { view: 1 }, { time: NaN, view: 0 }, { ...free, pivot: [0, 0] }, { ...free, distance: 0 }, { ...free, camera: null }, { ...free, camera: { ...camera, rotation: "123456789" } }, { ...free, camera: { ...camera, lens: { fx: 9 } } }];
  for (const at of damaged) assert.equal(parseSettings({ at }).at, null, JSON.stringify(at));
});
