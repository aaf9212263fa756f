// What is drawn over the splats: the grid's cell behind a wipe line, the cameras of the views, the map. Knows a 2D context and nothing else of the page.

import { drawCell } from "../shared/cells.mjs";
import { drawLetters, drawWipe } from "../shared/wipe.mjs";
import { drawCameras, drawMap } from "./camera_path.mjs";

/** Draw it; returns whether a cell that is shown came from its full-size picture. `cells`: a scene of shared/cells.mjs. */
export function drawOverlay(ctx, { picture: area, map, path, compared, wipe, view, cell, colors, cells }) {
  if (compared === "a") {
    ctx.save();
    ctx.beginPath();
    ctx.rect(area.x, area.y, area.width, area.height);
    ctx.clip();
    if (path.seen.length) drawCameras(ctx, path.seen, view, colors);
    ctx.restore();
    if (path.map) drawMap(ctx, path.map, map, view, colors);
    return true;
  }
  const line = compared === "b" ? 0 : area.width * wipe;
  ctx.save();
  ctx.beginPath();
  ctx.rect(area.x + line, area.y, area.width - line, area.height);
  ctx.clip();
  const full = drawCell(ctx, cells, cell, area, true);
  ctx.restore();
  if (compared === "wipe") drawWipe(ctx, area, area.x + line);
  drawLetters(ctx, area, compared);
  return full;
}
