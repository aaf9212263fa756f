// The positions that a drawn path visits, one per frame: the same sums as in fourreal_core/paths/drawn.py, which is the one that counts.
// tests/camera_path_cases.json holds both to the same numbers. Pure. A place is {view, time} in cells; a shape is {views, times}.

const CURVE_STEPS = 12; // straight pieces of half a rounded corner
const STEPS_PER_CELL = 8; // how finely the cells on the way are looked for
const GRAIN = 1_000_000; // positions are whole multiples of 1 / GRAIN

export const EASES = {
  linear: (x) => x,
  in: (x) => x * x,
  out: (x) => x * (2 - x),
  "in-out": (x) => x * x * (3 - 2 * x),
};
export const LOOPS = ["no", "round", "back"];
export const BETWEENS = ["blend", "nearest", "once"];

/** The places of the video's frames on a grid of this shape. */
export function cameraPositions(path, shape) {
  return timeline(path, shape).positions;
}

/**
 * {positions, legs, stages}: `stages` are stays and ways in the order of the video, each {leg, frames, point, ...}; `point` is the index of the point that
 * it starts from. With "once" there are none: frames, holds, speeds and easing do not matter then.
 */
export function timeline(path, shape) {
  const legs = legsOf(path, shape);
  if (path.between === "once") return { positions: cellsOnTheWay(legs, path.loop), legs, stages: [] };
  const stages = stagesOf(path, legs);
  const places = placesOverTime(stages, path.frames).map((place) => snapped(place, shape));
  return { positions: path.between === "nearest" ? places.map(nearestCell) : places, legs, stages };
}

/** The path drawn on one plane, on another. */
export function stretchedPath(path, { views, times }) {
  const points = path.points.map((point) => ({ ...point, view: stretched(point.view, path.views, views), time: stretched(point.time, path.times, times) }));
  return { ...path, views, times, points };
}

function stretched(value, drawn, count) {
  return drawn === count ? value : (value * (count - 1)) / Math.max(drawn - 1, 1);
}

/** The way from each point to the next, with rounded corners, as {places, distances, length}; with loop "round" the last one leads to the first point. */
export function legsOf(path, shape) {
  const { points } = stretchedPath(path, shape);
  const places = points.map(({ view, time }) => ({ view, time }));
  const count = places.length;
  const closed = path.loop === "round" && count > 1;
  const corners = places.map((place, index) => {
    const inner = closed || (index > 0 && index < count - 1);
    return inner ? corner(places[(index + count - 1) % count], place, places[(index + 1) % count], points[index].rounding) : [[place], [place]];
  });
  if (count === 1) return [legThrough(corners[0][0])];
  return Array.from({ length: closed ? count : count - 1 }, (_, index) => legThrough([...corners[index][1], ...corners[(index + 1) % count][0]]));
}

/** [arriving, leaving]: the two halves of a quadratic Bezier curve that cuts the corner, both with its middle, where the point is reached. */
function corner(before, at, after, rounding) {
  const arriving = distance(before, at);
  const leaving = distance(at, after);
  const reach = (rounding * Math.min(arriving, leaving)) / 2;
  if (reach === 0) return [[at], [at]];
  const entry = partWay(at, before, reach / arriving);
  const exit = partWay(at, after, reach / leaving);
  const middle = partWay(partWay(entry, at, 0.5), partWay(at, exit, 0.5), 0.5);
  return [curve(entry, partWay(entry, at, 0.5), middle), curve(middle, partWay(at, exit, 0.5), exit)];
}

function curve(start, control, end) {
  return Array.from({ length: CURVE_STEPS + 1 }, (_, step) => {
    const share = step / CURVE_STEPS;
    return partWay(partWay(start, control, share), partWay(control, end, share), share);
  });
}

function legThrough(places) {
  const distances = [0];
  for (let index = 1; index < places.length; index += 1) distances.push(distances[index - 1] + distance(places[index - 1], places[index]));
  return { places, distances, length: distances.at(-1) };
}

export function distance(start, end) {
  const views = end.view - start.view;
  const times = end.time - start.time;
  return Math.sqrt(views * views + times * times);
}

export function partWay(start, end, share) {
  return { view: start.view + (end.view - start.view) * share, time: start.time + (end.time - start.time) * share };
}

/** The place this far along a leg; its end beyond. */
export function placeAt({ places, distances }, length) {
  for (let index = 1; index < places.length; index += 1) {
    if (length < distances[index]) {
      const start = distances[index - 1];
      return partWay(places[index - 1], places[index], (length - start) / (distances[index] - start));
    }
  }
  return places.at(-1);
}

function stagesOf(path, legs) {
  const { points, loop } = path;
  const order = []; // ways with their cost instead of frames
  const way = (index, backwards) => order.push({ leg: legs[index], frames: legs[index].length / points[index].speed, ease: points[index].ease, backwards, point: index });
  points.forEach((point, index) => {
    order.push(stay(legs, index, point.hold));
    if (index < legs.length && points.length > 1) way(index, false);
  });
  if (loop === "back") {
    for (let index = points.length - 2; index >= 0; index -= 1) {
      way(index, true);
      if (index > 0) order.push(stay(legs, index, points[index].hold));
    }
  }
  let holds = 0;
  let cost = 0;
  for (const stage of order) {
    if (isStay(stage)) holds += stage.frames;
    else cost += stage.frames;
  }
  const moving = Math.max((loop === "no" ? path.frames - 1 : path.frames) - holds, 1); // a video of one frame shows the start
  return order.map((stage) => (isStay(stage) ? stage : { ...stage, frames: cost > 0 ? (moving * stage.frames) / cost : 0 }));
}

function stay(legs, index, frames) {
  const place = index < legs.length ? legs[index].places[0] : legs.at(-1).places.at(-1);
  return { leg: { places: [place], distances: [0], length: 0 }, frames, ease: "linear", backwards: false, point: index };
}

const isStay = (stage) => stage.leg.places.length === 1;

function placesOverTime(stages, frames) {
  const places = [];
  let current = 0;
  let start = 0;
  for (let frame = 0; frame < frames; frame += 1) {
    while (current < stages.length - 1 && frame >= start + stages[current].frames) {
      start += stages[current].frames;
      current += 1;
    }
    const stage = stages[current];
    const share = stage.frames > 0 ? Math.min((frame - start) / stage.frames, 1) : 0;
    const eased = EASES[stage.ease](stage.backwards ? 1 - share : share);
    places.push(placeAt(stage.leg, eased * stage.leg.length));
  }
  return places;
}

/** Every cell that the path goes through, in order, none twice in succession; looped paths do not come back to their first cell. */
function cellsOnTheWay(legs, loop) {
  const cells = [];
  const same = (one, other) => one.view === other.view && one.time === other.time;
  for (const leg of legs) {
    const steps = Math.ceil(leg.length * STEPS_PER_CELL);
    for (let step = 0; step <= steps; step += 1) {
      const cell = nearestCell(placeAt(leg, (leg.length * step) / Math.max(steps, 1)));
      if (!cells.length || !same(cells.at(-1), cell)) cells.push(cell);
    }
  }
  if (loop === "back") cells.push(...cells.slice(1, -1).reverse());
  else if (loop === "round" && cells.length > 1 && same(cells.at(-1), cells[0])) cells.pop();
  return cells;
}

export const nearestCell = ({ view, time }) => ({ view: Math.floor(view + 0.5), time: Math.floor(time + 0.5) });

function snapped({ view, time }, { views, times }) {
  const snap = (value, count) => Math.min(Math.max(Math.floor(value * GRAIN + 0.5) / GRAIN, 0), count - 1);
  return { view: snap(view, views), time: snap(time, times) };
}
