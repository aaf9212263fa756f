// A drawn path from the JSON text in the node's widget, checked, and back. The same rules and messages as fourreal_core/paths/drawn_text.py. Pure.

import { BETWEENS, EASES, LOOPS } from "./camera_path.mjs";

export const MAX = { text: 200_000, points: 200, frames: 10_000, side: 1024, fps: 240, speed: 20 };
export const LEAST_SPEED = 0.05;

const REMEDY = "correct it, or choose a preset in 4Real Path to start over.";
const PATH_NAMES = ["version", "views", "times", "frames", "fps", "loop", "between", "points"];
const POINT_NAMES = ["view", "time", "hold", "speed", "ease", "rounding"];
const DEFAULTS = { hold: 0, speed: 1, ease: "linear", rounding: 0 };
const DIGITS = 10_000; // places are written in whole multiples of 1 / DIGITS cell

/** The path in a text: {views, times, frames, fps, loop, between, points}. Throws an Error that says what is wrong. */
export function parsePath(text) {
  if (text.length > MAX.text) throw new Error(`expected the path as a JSON text of at most ${MAX.text} characters, got ${text.length}: ${REMEDY}`);
  const data = parseJson(text);
  expectObject(data, "the path", PATH_NAMES);
  check(data.version === 1, "path.version", "1", data, "version");
  const path = {
    views: whole(data, "views", "path", 1, MAX.side),
    times: whole(data, "times", "path", 1, MAX.side),
    frames: whole(data, "frames", "path", 1, MAX.frames),
    fps: number(data, "fps", "path", 1, MAX.fps),
    loop: oneOf(data, "loop", "path", LOOPS, "no"),
    between: oneOf(data, "between", "path", BETWEENS, "blend"),
  };
  const { points } = data;
  check(Array.isArray(points) && points.length >= 1 && points.length <= MAX.points, "path.points", `a list of 1 to ${MAX.points} points`, data, "points");
  const checked = { ...path, points: points.map((point, index) => parsePoint(point, index, path)) };
  checkHolds(checked);
  return checked;
}

/** The widget's text: equal paths are equal text, so that nothing runs again for nothing. */
export function pathText({ points, ...path }) {
  const plain = points.map((point) => {
    const rest = POINT_NAMES.slice(2).filter((name) => point[name] !== DEFAULTS[name]);
    const places = { view: rounded(point.view), time: rounded(point.time) };
    return { ...places, ...Object.fromEntries(rest.map((name) => [name, point[name]])) };
  });
  const whole = Object.fromEntries(PATH_NAMES.slice(1, -1).map((name) => [name, path[name]]));
  return JSON.stringify({ version: 1, ...whole, points: plain });
}

export const newPoint = (place, rest = {}) => ({ ...DEFAULTS, ...rest, view: place.view, time: place.time });

const rounded = (value) => Math.round(value * DIGITS) / DIGITS;

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`expected the path as JSON from the path editor, got text that is not valid JSON: ${REMEDY}`);
  }
}

function parsePoint(data, index, { views, times }) {
  const where = `path.points[${index}]`;
  expectObject(data, where, POINT_NAMES);
  return {
    view: number(data, "view", where, 0, views - 1),
    time: number(data, "time", where, 0, times - 1),
    hold: whole(data, "hold", where, 0, MAX.frames, 0),
    speed: number(data, "speed", where, LEAST_SPEED, MAX.speed, 1),
    ease: oneOf(data, "ease", where, Object.keys(EASES), "linear"),
    rounding: number(data, "rounding", where, 0, 1, 0),
  };
}

/** How many frames of the video are held; with loop "back" the points between the ends are held twice. */
export function heldFrames({ points, loop }) {
  const twice = loop === "back" ? points.slice(1, -1) : [];
  return [...points, ...twice].reduce((sum, { hold }) => sum + hold, 0);
}

function checkHolds(path) {
  const held = heldFrames(path);
  if (held && held > path.frames - 2) {
    const left = `expected the holds to leave at least 2 of the path's ${path.frames} frames, got ${held} held frames`;
    throw new Error(`${left}: make the video longer or the holds shorter.`);
  }
}

function expectObject(data, what, names) {
  if (typeof data !== "object" || data === null || Array.isArray(data)) throw new Error(`expected ${what} to be a JSON object, got ${shown(data)}: ${REMEDY}`);
  const unknown = Object.keys(data).find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`expected ${what} to contain only ${names.join(", ")}, got ${shown(unknown)}: ${REMEDY}`);
}

function whole(data, name, where, least, most, otherwise) {
  const value = name in data ? data[name] : otherwise;
  check(Number.isInteger(value) && value >= least && value <= most, `${where}.${name}`, `a whole number from ${least} to ${most}`, data, name);
  return value;
}

function number(data, name, where, least, most, otherwise) {
  const value = name in data ? data[name] : otherwise;
  check(typeof value === "number" && value >= least && value <= most, `${where}.${name}`, `a number from ${least} to ${most}`, data, name);
  return value;
}

function oneOf(data, name, where, allowed, otherwise) {
  const value = name in data ? data[name] : otherwise;
  check(allowed.includes(value), `${where}.${name}`, `one of ${allowed.join(", ")}`, data, name);
  return value;
}

function check(fits, what, wanted, data, name) {
  if (!fits) throw new Error(`expected ${what} to be ${wanted}, got ${name in data ? shown(data[name]) : "nothing"}: ${REMEDY}`);
}

const shown = (value) => JSON.stringify(value).slice(0, 40);
