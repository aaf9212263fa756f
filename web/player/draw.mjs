// Draws a player's canvas: the picture here, what is laid over it in layers.mjs, what is beside it in strips.mjs. Knows a 2D context and nothing else of the page.
//
// A scene is {grid, picture, compare, confidence, part, cell, settings, marks, areas, colors, movingSlit, pixelRatio, sharp, allFit}; picture(file, want)
// gives a decoded picture or null. compare and confidence are {grid, picture} or null. `part` is what of each cell is shown (zoom.mjs). `sharp` is false
// while something moves, so that nothing is loaded only to be passed by; `allFit` says whether the full-size pictures of all views can be kept at once.

import { cellAreas, fitted, inset } from "../shared/areas.mjs";
import { drawLayers } from "./layers.mjs";
import { isMarked } from "./marks.mjs";
import { viewAreas } from "./stage.mjs";
import { drawAround, frame } from "./strips.mjs";
import { isWhole, toArea } from "./zoom.mjs";

const LARGE = 120; // pixels; a mark must not hide what it is about

/** Draw everything; returns whether the shown cell came from its full-size picture. */
export function drawScene(ctx, scene) {
  const { areas, colors, pixelRatio } = scene;
  ctx.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
  ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
  ctx.imageSmoothingQuality = "high";
  const full = { one: drawOne, views: drawViews, cells: drawCells }[scene.settings.layout](ctx, scene);
  if (areas.map) drawAround(ctx, scene);
  return full;
}

const aspect = (grid) => grid.width / grid.height;

function drawOne(ctx, scene) {
  const area = fitted(scene.areas.picture, aspect(scene.grid));
  const full = drawLayers(ctx, scene, scene.cell, area, true);
  drawBadges(ctx, scene, scene.cell, area, 3);
  if (scene.areas.map) drawSlit(ctx, scene, area);
  return full;
}

function drawViews(ctx, scene) {
  let full = true;
  for (const [view, area] of viewAreas(scene.areas.picture, scene.grid).entries()) {
    const cell = { view, time: scene.cell.time };
    full = drawLayers(ctx, scene, cell, area, scene.allFit || view === scene.cell.view) && full;
    drawBadges(ctx, scene, cell, area, 2);
    if (view === scene.cell.view) frame(ctx, area, scene.colors.accent, 2);
  }
  return full;
}

function drawCells(ctx, scene) {
  const { grid, cell } = scene;
  const place = cellAreas(scene.areas.picture, grid, scene.settings.swap, aspect(grid));
  const mayBeFull = scene.allFit && !isWhole(scene.part);
  for (let view = 0; view < grid.views; view += 1) {
    for (let time = 0; time < grid.times; time += 1) {
      const area = inset(place({ view, time }), 0.5);
      drawLayers(ctx, scene, { view, time }, area, mayBeFull);
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
  const y = area.y + (large ? 48 : area.height / 2); // below the letter of a wipe
  ctx.beginPath();
  for (const side of [1, -1]) {
    ctx.moveTo(x - arm, y - arm * side);
    ctx.lineTo(x + arm, y + arm * side);
  }
  ctx.stroke();
}

/** Where in the picture the strips look: marks at its edges, and whole lines while they are moved. */
function drawSlit(ctx, { settings, colors, movingSlit, part }, { x, y, width, height }) {
  const at = toArea(part, settings.slit);
  const [across, down] = [x + width * at.x, y + height * at.y];
  ctx.strokeStyle = colors.slit;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  const line = (fromX, fromY, toX, toY) => (ctx.moveTo(fromX, fromY), ctx.lineTo(toX, toY));
  const arm = movingSlit ? Math.max(width, height) : 8;
  if (at.x >= 0 && at.x <= 1) line(across, y + height, across, Math.max(y + height - arm, y));
  if (at.y >= 0 && at.y <= 1) line(x + width, down, Math.max(x + width - arm, x), down);
  ctx.stroke();
}
