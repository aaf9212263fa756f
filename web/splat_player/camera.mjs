// Cameras, and how they are moved: around a pivot, sideways, nearer, from view to view. Pure.
//
// A camera is {rotation, shift, lens}: a point p of the world is at rotation p + shift before it (x right, y down, z forward; the rotation's nine numbers
// row by row), and lens {fx, fy, skew, cx, cy} is in pixels of a cell. A pivot is the point of the world that it turns about.

import { rotationOf } from "./node_motion.mjs";

const STEEPEST = 1.5; // radians that a camera may look up or down: beyond, left would become right
const MEAN_UP = 3e-4; // how much the mean of what is up in the pictures counts, beside what is to the right
const UP_STEPS = 10_000;
const TURN_TO_COUNT = 2; // a turn by one radian counts as much as this many pivot distances, when the nearest view is looked for

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const plus = (a, b, times = 1) => [a[0] + times * b[0], a[1] + times * b[1], a[2] + times * b[2]];
const minus = (a, b) => plus(a, b, -1);
const row = (m, index) => [m[3 * index], m[3 * index + 1], m[3 * index + 2]];
const column = (m, index) => [m[index], m[3 + index], m[6 + index]];
const apply = (m, v) => [dot(row(m, 0), v), dot(row(m, 1), v), dot(row(m, 2), v)];
const transposed = (m) => [...column(m, 0), ...column(m, 1), ...column(m, 2)];
const product = (a, b) => [0, 1, 2].flatMap((line) => [0, 1, 2].map((at) => dot(row(a, line), column(b, at))));
const length = (v) => Math.hypot(...v);

export const forward = ({ rotation }) => row(rotation, 2);

/** Where a camera is in the world. */
export function centreOf({ rotation, shift }) {
  return apply(transposed(rotation), shift).map((value) => -value);
}

/** How far before the camera a point is. */
export function depthOf({ rotation, shift }, point) {
  return dot(row(rotation, 2), point) + shift[2];
}

/** {x, y} of a point on the picture, in pixels of a cell, or null behind the camera. */
export function projected({ rotation, shift, lens }, point) {
  const [x, y, z] = plus(apply(rotation, point), shift);
  if (!(z > 1e-6)) return null;
  return { x: (lens.fx * x + lens.skew * y) / z + lens.cx, y: (lens.fy * y) / z + lens.cy };
}

/** The point that a camera sees in the middle of its picture at a distance along its axis. */
export function ahead(camera, distance) {
  return plus(centreOf(camera), forward(camera), distance);
}

/**
 * What is up in the world, if the cameras were held without roll, however far they look up or down: what is to their right lies in the ground's plane then. Where it hardly tells, as on
 * a short arc, the mean of what is up in their pictures decides. As up_of() in fourreal_core/splats/views.py; the smallest axis of the same matrix, by steps downhill.
 */
export function upOf(cameras) {
  const unit = (v) => v.map((value) => value / length(v));
  const sum = cameras.reduce((total, { rotation }) => minus(total, row(rotation, 1)), [0, 0, 0]);
  const mean = unit(length(sum) > 0.1 * cameras.length ? sum : row(cameras[0].rotation, 1).map((value) => -value));
  const rights = cameras.map(({ rotation }) => row(rotation, 0));
  const entry = (i, j) => rights.reduce((total, right) => total + (right[i] * right[j]) / rights.length, 0) + MEAN_UP * ((i === j) - mean[i] * mean[j]);
  const matrix = [0, 1, 2].flatMap((i) => [0, 1, 2].map((j) => entry(i, j)));
  let up = mean;
  for (let step = 0; step < UP_STEPS; step += 1) up = unit(minus(up, apply(matrix, up)));
  return up;
}

function placed(camera, rotation, centre) {
  return { ...camera, rotation, shift: apply(rotation, centre).map((value) => -value) };
}

/** Turned about a pivot by angles in radians: `right` about what is up, so that the camera goes to its right, then `higher`, never over the top. */
export function orbited(camera, pivot, up, right, higher) {
  const turnedBy = (from, axis, angle) => {
    const turn = rotationOf(axis[0] * angle, axis[1] * angle, axis[2] * angle);
    return placed(from, product(from.rotation, transposed(turn)), plus(pivot, apply(turn, minus(centreOf(from), pivot))));
  };
  const round = turnedBy(camera, up, right);
  const height = Math.asin(Math.min(Math.max(-dot(forward(round), up), -1), 1));
  const to = Math.min(Math.max(height + higher, -STEEPEST), STEEPEST);
  return turnedBy(round, row(round.rotation, 0), height - to);
}

/** {camera, pivot} pulled sideways, so that the pivot moves by {x, y} pixels of a cell. */
export function panned(camera, pivot, { x, y }) {
  const depth = Math.max(depthOf(camera, pivot), 1e-6);
  const by = plus(row(camera.rotation, 0).map((value) => (-value * x * depth) / camera.lens.fx), row(camera.rotation, 1), (-y * depth) / camera.lens.fy);
  return { camera: placed(camera, camera.rotation, plus(centreOf(camera), by)), pivot: plus(pivot, by) };
}

/** Nearer to the pivot by a factor, at distances between `least` and `most`. */
export function nearer(camera, pivot, times, least, most) {
  const from = minus(centreOf(camera), pivot);
  const distance = Math.max(length(from), 1e-9);
  const to = Math.min(Math.max(distance / times, least), most);
  return placed(camera, camera.rotation, plus(pivot, from, to / distance));
}

/** A share 0..1 of the way from one camera to another. */
export function between(first, last, share) {
  if (share <= 0) return first;
  if (share >= 1) return last;
  const turn = product(last.rotation, transposed(first.rotation));
  const axis = vectorOf(turn).map((value) => value * share);
  const lens = Object.fromEntries(Object.keys(first.lens).map((name) => [name, first.lens[name] + share * (last.lens[name] - first.lens[name])]));
  const [from, to] = [centreOf(first), centreOf(last)];
  return placed({ lens }, product(rotationOf(...axis), first.rotation), plus(from, minus(to, from), share));
}

/** The camera at a place along the views, 0 .. V - 1, which may be between two. */
export function cameraAlong(cameras, view) {
  const first = Math.min(Math.max(Math.floor(view), 0), cameras.length - 1);
  return between(cameras[first], cameras[Math.min(first + 1, cameras.length - 1)], view - first);
}

/** The rotation vector of a matrix; at half a turn one of the two. */
function vectorOf(m) {
  const axis = [m[7] - m[5], m[2] - m[6], m[3] - m[1]];
  const sine = length(axis) / 2;
  const angle = Math.atan2(sine, (m[0] + m[4] + m[8] - 1) / 2);
  if (sine > 1e-6) return axis.map((value) => (value * angle) / (2 * sine));
  if (angle < 1) return axis.map((value) => value / 2);
  const along = [0, 1, 2].map((index) => Math.sqrt(Math.max((m[4 * index] + 1) / 2, 0))); // half a turn: 2 a a^T - I
  const main = along.indexOf(Math.max(...along));
  return along.map((value, index) => Math.PI * value * (m[3 * main + index] + m[3 * index + main] < 0 && index !== main ? -1 : 1));
}

/** The number of the view that is nearest by place and direction; `distance` to the pivot says what far is. */
export function nearestView(cameras, camera, distance) {
  const apart = cameras.map((each) => length(minus(centreOf(each), centreOf(camera))) / distance + TURN_TO_COUNT * Math.acos(Math.min(Math.max(dot(forward(each), forward(camera)), -1), 1)));
  return apart.indexOf(Math.min(...apart));
}

/** How far before a camera the middle of what it sees is: the median depth of the solid Gaussians in the inner half of its picture, else of all before it. */
export function middleDepth({ positions, opacities, width, height }, camera) {
  const [inner, all] = [[], []];
  const count = opacities.length;
  const step = Math.ceil(count / 20000);
  for (let index = 0; index < count; index += step) {
    const point = [positions[3 * index], positions[3 * index + 1], positions[3 * index + 2]];
    const at = opacities[index] > 0.3 ? projected(camera, point) : null;
    if (!at) continue;
    const depth = depthOf(camera, point);
    all.push(depth);
    if (Math.abs(at.x / width - 0.5) < 0.25 && Math.abs(at.y / height - 0.5) < 0.25) inner.push(depth);
  }
  const used = (inner.length ? inner : all).sort((a, b) => a - b);
  return used.length ? used[used.length >> 1] : 1;
}
