// Where everything is on the player's canvas, in CSS pixels, and what lies under a point. Pure.
// An area is {x, y, width, height}.

import { axes, cellAreas, contains, fitted } from "../shared/areas.mjs";

const GAP = 6;
const SIDE = { least: 56, most: 128, share: 0.2 }; // of the canvas's width, for the strip on the right; the one below goes by height

/**
 * The canvas divided into the picture and, if wanted, a strip on the right, one below, and the map in the corner, all in the middle.
 * The picture has the aspect (width / height) if one is given, and the strips lie along it.
 */
export function stageAreas({ width, height }, strips, aspect = null) {
  const whole = { x: 0, y: 0, width, height };
  if (!strips || width < 160 || height < 120) return { picture: aspect ? fitted(whole, aspect) : whole };
  const side = (length) => Math.round(Math.min(Math.max(length * SIDE.share, SIDE.least), SIDE.most));
  const room = { x: 0, y: 0, width: width - side(width) - GAP, height: height - side(height) - GAP };
  const { width: w, height: h } = aspect ? fitted(room, aspect) : room;
  const right = Math.min(width - w - GAP, SIDE.most); // what the picture leaves free goes to the strips
  const below = Math.min(height - h - GAP, SIDE.most);
  const [x, y] = [(width - w - GAP - right) / 2, (height - h - GAP - below) / 2];
  return {
    picture: { x, y, width: w, height: h },
    downStrip: { x: x + w + GAP, y, width: right, height: h },
    acrossStrip: { x, y: y + h + GAP, width: w, height: below },
    map: { x: x + w + GAP, y: y + h + GAP, width: right, height: below },
  };
}

/** The aspect of what a layout shows, or null if it takes any. */
export function pictureAspect(grid, { layout, swap }) {
  if (layout === "views") return null;
  const { across, down } = axes(swap);
  return (grid.width / grid.height) * (layout === "cells" ? grid[across + "s"] / grid[down + "s"] : 1);
}

/** `count` tiles of one aspect in lines, as large as fits. */
export function tiles(area, count, aspect, gap = 3) {
  let best = null;
  for (let across = 1; across <= count; across += 1) {
    const down = Math.ceil(count / across);
    const width = Math.min((area.width - gap * (across - 1)) / across, ((area.height - gap * (down - 1)) / down) * aspect);
    if (!best || width > best.width) best = { across, down, width, height: width / aspect };
  }
  const left = area.x + (area.width - best.across * best.width - (best.across - 1) * gap) / 2;
  const top = area.y + (area.height - best.down * best.height - (best.down - 1) * gap) / 2;
  return Array.from({ length: count }, (_, index) => ({
    x: left + (index % best.across) * (best.width + gap),
    y: top + Math.floor(index / best.across) * (best.height + gap),
    width: best.width,
    height: best.height,
  }));
}

/** Which of `count` parts of an area a point is in; points outside count to the nearest. */
export function partUnder(area, point, count, across) {
  const share = across ? (point.x - area.x) / area.width : (point.y - area.y) / area.height;
  return Math.min(Math.max(Math.floor(share * count), 0), count - 1);
}

/** The cell of `cellAreas` nearest to a point. */
export function cellUnder(area, point, shape, swap, aspect = null) {
  const { across, down } = axes(swap);
  const [wide, high] = [shape[across + "s"], shape[down + "s"]];
  const whole = aspect ? fitted(area, (aspect * wide) / high) : area;
  return { [across]: partUnder(whole, point, wide, true), [down]: partUnder(whole, point, high, false) };
}

/** Where each view is while all are shown at one time, in order. */
export function viewAreas(area, grid) {
  return tiles(area, grid.views, grid.width / grid.height);
}

/** {cell, area} of the picture of one cell under a point, or null; `cell` is the one that the player is at. */
export function tileAt(area, point, grid, { layout, swap }, cell) {
  const aspect = grid.width / grid.height;
  if (!contains(area, point)) return null;
  if (layout === "one") return { cell, area: fitted(area, aspect) };
  if (layout === "cells") {
    const under = cellUnder(area, point, grid, swap, aspect);
    return { cell: under, area: cellAreas(area, grid, swap, aspect)(under) };
  }
  const areas = viewAreas(area, grid);
  const view = areas.findIndex((each) => contains(each, point));
  return view < 0 ? null : { cell: { view, time: cell.time }, area: areas[view] };
}
