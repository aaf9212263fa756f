// Changes to a drawn path: each gives a new path. Pure. A path is what path_text.mjs reads; a place is {view, time}.

import { stretchedPath } from "./camera_path.mjs";
import { heldFrames, LEAST_SPEED, MAX, newPoint } from "./path_text.mjs";

const SNAP = 0.15; // cells: this near to a whole view or time a dragged point takes it
const SPLIT_EASES = { linear: ["linear", "linear"], in: ["in", "linear"], out: ["linear", "out"], "in-out": ["in", "out"] };
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

/** The place within the plane. */
export function inPlane({ view, time }, { views, times }) {
  return { view: clamp(view, 0, views - 1), time: clamp(time, 0, times - 1) };
}

/** The place, on whole views and times where it is near to them. */
export function snappedPlace(place, snap = SNAP) {
  const near = (value) => (Math.abs(value - Math.round(value)) <= snap ? Math.round(value) : value);
  return { view: near(place.view), time: near(place.time) };
}

/** A place moved from another along one axis only: the one on which it moved further. */
export function onOneAxis(from, to) {
  return Math.abs(to.view - from.view) > Math.abs(to.time - from.time) ? { view: to.view, time: from.time } : { view: from.view, time: to.time };
}

export function withPoint(path, index, changes) {
  return { ...path, points: path.points.map((point, at) => (at === index ? { ...point, ...changes } : point)) };
}

export function movedPoint(path, index, place) {
  return withPoint(path, index, inPlane(place, path));
}

/** A point more on the way that starts from point `leg`, as round as that one. Its part of the easing goes with it. */
export function insertedPoint(path, leg, place) {
  if (path.points.length >= MAX.points) return path;
  const start = path.points[leg];
  const [before, after] = SPLIT_EASES[start.ease];
  const points = [...path.points];
  points[leg] = { ...start, ease: before };
  points.splice(leg + 1, 0, newPoint(inPlane(place, path), { speed: start.speed, ease: after, rounding: start.rounding }));
  return { ...path, points };
}

/** A point more behind the last one, or before the first one if `atStart`. */
export function extendedPath(path, place, atStart) {
  if (path.points.length >= MAX.points) return path;
  const { speed, rounding } = path.points.at(atStart ? 0 : -1);
  const point = newPoint(inPlane(place, path), { speed, rounding });
  return { ...path, points: atStart ? [point, ...path.points] : [...path.points, point] };
}

/** The path without a point; the last one stays. */
export function removedPoint(path, index) {
  return path.points.length === 1 ? path : { ...path, points: path.points.filter((_, at) => at !== index) };
}

/** Numbers as someone typed them, brought into their range; null for what is no number. `name` is of a point or of the path. */
export function allowedNumber(name, typed, path, index) {
  const value = Number(typed);
  if (typed === "" || !Number.isFinite(value)) return null;
  const ranges = {
    view: [0, path.views - 1], time: [0, path.times - 1], speed: [LEAST_SPEED, MAX.speed], rounding: [0, 1], fps: [1, MAX.fps],
    hold: [0, mostHold(path, index)], frames: [Math.max(heldFrames(path) && heldFrames(path) + 2, 1), MAX.frames], views: [1, MAX.side], times: [1, MAX.side],
  };
  const allowed = clamp(value, ...ranges[name]);
  return ["hold", "frames", "views", "times"].includes(name) ? Math.round(allowed) : allowed;
}

/** How long a point can be held in a video of this length. */
function mostHold(path, index) {
  const others = withPoint(path, index, { hold: 0 });
  const counted = heldFrames(withPoint(others, index, { hold: 1 })) - heldFrames(others);
  return Math.max(Math.floor((path.frames - 2 - heldFrames(others)) / counted), 0);
}

/** The path with another way to loop, its holds no longer than that leaves room for. */
export function loopedPath(path, loop) {
  const looped = { ...path, loop };
  if (heldFrames(looped) <= looped.frames - 2) return looped;
  return { ...looped, points: path.points.map((point) => ({ ...point, hold: 0 })) };
}

/** The path drawn anew through places, as round as can be; one that is too short for that is left as it was. */
export function freehandPath(path, places) {
  if (places.length < 2) return path;
  return { ...path, loop: "no", points: places.slice(0, MAX.points).map((place) => newPoint(inPlane(place, path), { rounding: 1 })) };
}

/** The places of a freehand line that matter: all others lie nearer than `tolerance` to the line through these (Ramer, Douglas and Peucker). Points are {x, y}. */
export function simplified(points, tolerance) {
  if (points.length < 3) return points;
  let [farthest, most] = [0, 0];
  for (let index = 1; index < points.length - 1; index += 1) {
    const away = distanceToPiece(points[index], points[0], points.at(-1)).distance;
    if (away > most) [farthest, most] = [index, away];
  }
  if (most <= tolerance) return [points[0], points.at(-1)];
  return [...simplified(points.slice(0, farthest + 1), tolerance).slice(0, -1), ...simplified(points.slice(farthest), tolerance)];
}

/** {distance, share} from a point to the straight piece between two others; `share` of the piece lies before the nearest place. */
export function distanceToPiece(point, start, end) {
  const [x, y] = [end.x - start.x, end.y - start.y];
  const squared = x * x + y * y;
  const share = squared ? clamp(((point.x - start.x) * x + (point.y - start.y) * y) / squared, 0, 1) : 0;
  return { distance: Math.hypot(point.x - start.x - x * share, point.y - start.y - y * share), share };
}

/** The path on a plane of another shape. */
export const onPlane = (path, shape) => stretchedPath(path, shape);
