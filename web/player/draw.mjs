// Draws a player's canvas: the picture, the two slit-scan strips and the map. Knows a 2D context and nothing else of the page.
//
// A scene is {grid, picture, cell, settings, marks, areas, colors, movingSlit, pixelRatio, sharp, allFit}; picture(file, want) gives a decoded
// picture or null. `sharp` is false while something moves, so that nothing is loaded only to be passed by; `allFit` says whether the
// full-size pictures of all views can be kept at once.

import { axes, cellAreas, fitted, inset, part } from "../shared/areas.mjs";
import { drawCell, smallSource } from "../shared/cells.mjs";
import { cellSource } from "../shared/payload.mjs";
import { isMarked } from "./marks.mjs";
import { tiles } from "./stage.mjs";

const LARGE = 120; // pixels; a mark must not hide what it is about

/** Draw everything; returns whether the shown cell came from its full-size picture. */
export function drawScene(ctx, scene) {
  const { areas, colors, pixelRatio } = scene;
  ctx.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
  ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
  ctx.imageSmoothingQuality = "high";
  const full = { one: drawOne, views: drawViews, cells: drawCells }[scene.settings.layout](ctx, scene);
  if (areas.map) {
    ctx.fillStyle = colors.well;
    for (const area of [areas.acrossStrip, areas.downStrip, areas.map]) ctx.fillRect(area.x, area.y, area.width, area.height);
    drawStrip(ctx, scene, true);
    drawStrip(ctx, scene, false);
    drawMap(ctx, scene);
  }
  return full;
}

const aspect = (grid) => grid.width / grid.height;

function drawOne(ctx, scene) {
  const area = fitted(scene.areas.picture, aspect(scene.grid));
  const full = drawCell(ctx, scene, scene.cell, area, true);
  drawBadges(ctx, scene, scene.cell, area, 3);
  if (scene.areas.map) drawSlit(ctx, scene, area);
  return full;
}

function drawViews(ctx, scene) {
  let full = true;
  for (const { view, area } of viewTiles(scene)) {
    const cell = { view, time: scene.cell.time };
    full = drawCell(ctx, scene, cell, area, scene.allFit || view === scene.cell.view) && full;
    drawBadges(ctx, scene, cell, area, 2);
    if (view === scene.cell.view) frame(ctx, area, scene.colors.accent, 2);
  }
  return full;
}

/** Where each view is while all are shown at one time. */
export function viewTiles({ grid, areas }) {
  return tiles(areas.picture, grid.views, aspect(grid)).map((area, view) => ({ view, area }));
}

function drawCells(ctx, scene) {
  const { grid, cell } = scene;
  const place = cellAreas(scene.areas.picture, grid, scene.settings.swap, aspect(grid));
  for (let view = 0; view < grid.views; view += 1) {
    for (let time = 0; time < grid.times; time += 1) {
      const area = inset(place({ view, time }), 0.5);
      drawCell(ctx, scene, { view, time }, area, false);
      drawBadges(ctx, scene, { view, time }, area, area.width > 40 ? 2 : area.width / 30);
    }
  }
  frame(ctx, place(cell), scene.colors.accent, 2);
  return false;
}

/** Known cells have a thin bright frame, cells to redo a red one with a cross: over small cells, in the corner of large ones. */
function drawBadges(ctx, { grid, marks, colors }, cell, area, width) {
  if (grid.known[cell.view][cell.time]) frame(ctx, area, colors.known, width);
  if (!isMarked(marks, cell)) return;
  const large = area.width > LARGE;
  if (!large) {
    ctx.fillStyle = colors.markedVeil;
    ctx.fillRect(area.x, area.y, area.width, area.height);
  }
  frame(ctx, area, colors.marked, width);
  const arm = large ? 10 : Math.min(area.width, area.height) * 0.22;
  const x = area.x + (large ? 22 : area.width / 2);
  const y = area.y + (large ? 22 : area.height / 2);
  ctx.beginPath();
  for (const side of [1, -1]) {
    ctx.moveTo(x - arm, y - arm * side);
    ctx.lineTo(x + arm, y + arm * side);
  }
  ctx.stroke();
}

function frame(ctx, area, color, width) {
  ctx.strokeStyle = color;
  ctx.lineWidth = width;
  const { x, y, width: w, height: h } = inset(area, width / 2);
  ctx.strokeRect(x, y, w, h);
}

/** Where in the picture the strips look: marks at its edges, and whole lines while they are moved. */
function drawSlit(ctx, { settings, colors, movingSlit }, { x, y, width, height }) {
  const [across, down] = [x + width * settings.slit.x, y + height * settings.slit.y];
  ctx.strokeStyle = colors.slit;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  const line = (fromX, fromY, toX, toY) => (ctx.moveTo(fromX, fromY), ctx.lineTo(toX, toY));
  const arm = movingSlit ? Math.max(width, height) : 8;
  line(across, y + height, across, Math.max(y + height - arm, y));
  line(x + width, down, Math.max(x + width - arm, x), down);
  ctx.stroke();
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
