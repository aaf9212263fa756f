// Draws what is beside the picture: the two slit-scan strips with the in and out points, and the map. A scene is that of draw.mjs.

import { axes, cellAreas, inset, part } from "../shared/areas.mjs";
import { smallSource } from "../shared/cells.mjs";
import { cellSource } from "../shared/payload.mjs";
import { isMarked } from "./marks.mjs";
import { isLimited, playedRanges } from "./range.mjs";

const POINT = 6; // pixels: how far the bracket of an in or out point reaches

/** Both strips and the map, where there is room for them. */
export function drawAround(ctx, scene) {
  const { areas, colors } = scene;
  ctx.fillStyle = colors.well;
  for (const area of [areas.acrossStrip, areas.downStrip, areas.map]) fill(ctx, area);
  drawStrip(ctx, scene, true);
  drawStrip(ctx, scene, false);
  drawMap(ctx, scene);
}

const fill = (ctx, { x, y, width, height }) => ctx.fillRect(x, y, width, height);

/** A line inside the edge of an area. */
export function frame(ctx, area, color, width) {
  ctx.strokeStyle = color;
  ctx.lineWidth = width;
  const { x, y, width: w, height: h } = inset(area, width / 2);
  ctx.strokeRect(x, y, w, h);
}

/**
 * The slit-scan along one axis: the same thin slit of every cell of this view (or time), side by side. What stands still makes straight
 * lines, flicker makes bars, a jump breaks the lines.
 */
function drawStrip(ctx, scene, acrossPicture) {
  const { grid, settings, picture, cell, areas, colors } = scene;
  const axis = axes(settings.swap)[acrossPicture ? "across" : "down"];
  const strip = acrossPicture ? areas.acrossStrip : areas.downStrip;
  const count = grid[axis + "s"];
  ctx.imageSmoothingEnabled = false; // or the neighbours of the slit would show through
  for (let index = 0; index < count; index += 1) {
    const at = { ...cell, [axis]: index };
    const area = onPixels(part(strip, index, count, acrossPicture), scene.pixelRatio);
    const source = (axis === "time" && cellSource(grid, at.view, at.time, picture)) || smallSource(grid, at.view, at.time, picture);
    if (source) {
      const slit = acrossPicture ? slitOf(source, settings.slit.x, "x", "width") : slitOf(source, settings.slit.y, "y", "height");
      ctx.drawImage(source.image, slit.x, slit.y, slit.width, slit.height, area.x, area.y, area.width, area.height);
    }
    const tick = acrossPicture ? { ...area, height: 3 } : { ...area, width: 3 };
    ctx.fillStyle = isMarked(scene.marks, at) ? colors.marked : colors.known;
    if (isMarked(scene.marks, at) || grid.known[at.view][at.time]) ctx.fillRect(tick.x, tick.y, Math.max(tick.width - 1, 1), Math.max(tick.height - 1, 1));
  }
  ctx.imageSmoothingEnabled = true;
  frame(ctx, part(strip, cell[axis], count, acrossPicture), colors.accent, 2);
  drawPoints(ctx, scene, axis, strip, acrossPicture);
}

/** In and out points along a strip: brackets around what plays, and a veil over the rest. */
function drawPoints(ctx, { grid, settings, colors }, axis, strip, acrossPicture) {
  const count = grid[axis + "s"];
  if (!isLimited(settings.ranges[axis], count)) return;
  const [first, last] = playedRanges(settings.ranges, grid)[axis];
  const [start, end] = acrossPicture ? ["x", "width"] : ["y", "height"];
  const from = strip[start] + (strip[end] * first) / count;
  const to = strip[start] + (strip[end] * (last + 1)) / count;
  ctx.fillStyle = colors.veil;
  fill(ctx, { ...strip, [end]: from - strip[start] });
  fill(ctx, { ...strip, [start]: to, [end]: strip[start] + strip[end] - to });
  ctx.strokeStyle = colors.point;
  ctx.lineWidth = 2;
  ctx.beginPath();
  for (const [at, inwards] of [[from + 1, POINT], [to - 1, -POINT]]) {
    const [low, high] = acrossPicture ? [strip.y + 1, strip.y + strip.height - 1] : [strip.x + 1, strip.x + strip.width - 1];
    const line = (along, side) => (acrossPicture ? [along, side] : [side, along]);
    ctx.moveTo(...line(at + inwards, low));
    ctx.lineTo(...line(at, low));
    ctx.lineTo(...line(at, high));
    ctx.lineTo(...line(at + inwards, high));
  }
  ctx.stroke();
}

/** An area with edges on whole pixels of the screen, so that no seam shows between neighbours. */
function onPixels({ x, y, width, height }, pixelRatio) {
  const snap = (value) => Math.round(value * pixelRatio) / pixelRatio;
  return { x: snap(x), y: snap(y), width: snap(x + width) - snap(x), height: snap(y + height) - snap(y) };
}

function slitOf(source, share, start, length) {
  return { ...source, [start]: source[start] + Math.floor((source[length] - 1) * share), [length]: 1 };
}

function drawMap(ctx, { grid, settings, cell, marks, areas, colors }) {
  const place = cellAreas(areas.map, grid, settings.swap);
  for (let view = 0; view < grid.views; view += 1) {
    for (let time = 0; time < grid.times; time += 1) {
      const area = place({ view, time });
      ctx.fillStyle = isMarked(marks, { view, time }) ? colors.marked : grid.known[view][time] ? colors.known : colors.cell;
      const gap = Math.min(1, area.width / 4, area.height / 4);
      ctx.fillRect(area.x, area.y, area.width - gap, area.height - gap);
    }
  }
  frame(ctx, place(cell), colors.accent, 2);
}
