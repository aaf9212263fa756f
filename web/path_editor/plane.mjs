// Where everything is on the path editor's canvas, in CSS pixels, and what lies under a point. Pure. An area is {x, y, width, height}.

import { contains, fitted } from "../shared/areas.mjs";
import { partWay } from "./camera_path.mjs";
import { distanceToPiece } from "./edit.mjs";

const GAP = 10;
const SCALE = 16; // space for the numbers beside the plane
const GRAPH = { share: 0.2, least: 48, most: 150 }; // it takes what the others leave
const PLANE_SHARE = 0.52; // of the width, beside the preview
const PLANE_ASPECT = [0.6, 2.6]; // however many views and times there are
const HIGHER = 1.3; // cells may be this much higher than their pictures, which are cut off at their sides then
export const REACH = { mouse: 10, pen: 12, touch: 22 }; // pixels

/** {plane, preview, graph}: the plane with the preview beside it, or below it where the canvas is high; the graph over time below both. */
export function editorAreas({ width, height }, shape, aspect) {
  const least = Math.max(height * GRAPH.share, GRAPH.least);
  const room = height - least - GAP;
  const planeAspect = Math.min(Math.max((aspect * shape.times) / shape.views, PLANE_ASPECT[0]), PLANE_ASPECT[1]);
  const beside = width > room * 1.2;
  const plane = filled({ x: SCALE, y: SCALE, width: beside ? width * PLANE_SHARE - SCALE : width - SCALE, height: (beside ? room : room * 0.55) - SCALE }, planeAspect);
  const x = beside ? plane.x + plane.width + GAP : SCALE;
  const y = beside ? SCALE : plane.y + plane.height + GAP;
  const preview = topLeft({ x, y, width: width - x, height: beside ? plane.height : room - y }, aspect);
  const top = Math.max(plane.y + plane.height, preview.y + preview.height) + GAP;
  return { plane, preview, graph: { x: SCALE, y: top, width: width - SCALE, height: Math.min(height - top, GRAPH.most) } };
}

/** The upper left part of an area of about this aspect: of its whole width, if need be higher. */
function filled(area, aspect) {
  const { x, y, width, height } = topLeft(area, aspect);
  return { x, y, width, height: Math.min(area.height, height * HIGHER) };
}

function topLeft({ x, y, width, height }, aspect) {
  const { width: w, height: h } = fitted({ x, y, width, height }, aspect);
  return { x, y, width: w, height: h };
}

/** The middle of a cell on the plane is its whole position: the plane reaches half a cell further on every side. */
export function toPoint(area, shape, { view, time }) {
  return { x: area.x + (area.width * (time + 0.5)) / shape.times, y: area.y + (area.height * (view + 0.5)) / shape.views };
}

export function toPlace(area, shape, { x, y }) {
  return { view: ((y - area.y) / area.height) * shape.views - 0.5, time: ((x - area.x) / area.width) * shape.times - 0.5 };
}

/** What a press at a point means: {kind: "graph" | "preview" | "point" | "line" | "plane", index, place}, or null. `reach` in pixels. */
export function under(point, { areas, path, legs, reach }) {
  if (contains(areas.graph, point)) return { kind: "graph" };
  if (contains(areas.preview, point)) return { kind: "preview" };
  const { plane } = areas;
  const wider = { x: plane.x - reach, y: plane.y - reach, width: plane.width + 2 * reach, height: plane.height + 2 * reach };
  if (!contains(wider, point)) return null;
  const places = path ? pointPlaces(path, legs) : [];
  const near = nearest(places.map((place) => gap(toPoint(plane, path, place), point)));
  if (near && near.distance <= reach) return { kind: "point", index: near.index };
  const line = path && nearestOnLegs(point, plane, path, legs);
  if (line && line.distance <= reach * 0.8) return { kind: "line", index: line.index, place: line.place };
  return { kind: "plane" };
}

/** Where the handles of the points are: at the points themselves, also where the way is rounded and passes them by. */
export function pointPlaces(path) {
  return path.points.map(({ view, time }) => ({ view, time }));
}

const gap = (one, other) => Math.hypot(one.x - other.x, one.y - other.y);

/** The later one of equals: it is drawn over the others. */
function nearest(distances) {
  let best = null;
  distances.forEach((distance, index) => {
    if (!best || distance <= best.distance) best = { index, distance };
  });
  return best;
}

function nearestOnLegs(point, area, shape, legs) {
  let best = null;
  legs.forEach(({ places }, index) => {
    for (let at = 1; at < places.length; at += 1) {
      const { distance, share } = distanceToPiece(point, toPoint(area, shape, places[at - 1]), toPoint(area, shape, places[at]));
      if (!best || distance < best.distance) best = { index, distance, place: partWay(places[at - 1], places[at], share) };
    }
  });
  return best;
}

/** The frame at a point of the graph. */
export function frameUnder(area, { x }, count) {
  return Math.min(Math.max(Math.round(((x - area.x - GRAPH_INSET) / Math.max(area.width - 2 * GRAPH_INSET, 1)) * (count - 1)), 0), count - 1);
}

/** Where a frame is across the graph. */
export function frameX(area, frame, count) {
  return area.x + GRAPH_INSET + ((area.width - 2 * GRAPH_INSET) * frame) / Math.max(count - 1, 1);
}

const GRAPH_INSET = 8; // pixels: the first and the last frame are not on the graph's edge
