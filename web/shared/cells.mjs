// Draws one cell of a grid from the pictures that have arrived. Knows a 2D context and nothing else of the page.

import { cellArea, cellSource } from "./payload.mjs";

const WHOLE = { x: 0, y: 0, width: 1, height: 1 };
const CRISP = 4; // pixels of the screen per pixel of a cell from which on these are shown as squares

/**
 * Draw a cell into an area, from its full-size picture where that is there and needed; returns whether it was. A scene has {grid, picture, sharp, pixelRatio,
 * colors}: picture(file, want) gives a decoded picture or null, `sharp` is false while something moves, so that nothing is loaded only to be passed by.
 * `part`: what of the cell to draw, {x, y, width, height} in shares of it; without it all.
 */
export function drawCell(ctx, { grid, picture, sharp, pixelRatio, colors, part = WHOLE }, { view, time }, area, mayBeFull) {
  const small = grid.overview.cell[0];
  const needed = mayBeFull && (area.width * pixelRatio) / part.width > small * 1.05 && grid.strips.cell[0] > small;
  if (needed && sharp) picture(grid.strips.files[view], true);
  const source = needed ? cellSource(grid, view, time, picture) : smallSource(grid, view, time, picture);
  if (!source) {
    ctx.fillStyle = colors.well;
    ctx.fillRect(area.x, area.y, area.width, area.height);
    return false;
  }
  const from = { x: source.x + part.x * source.width, y: source.y + part.y * source.height, width: part.width * source.width, height: part.height * source.height };
  ctx.imageSmoothingEnabled = part.width === 1 || (area.width * pixelRatio) / from.width < CRISP;
  ctx.drawImage(source.image, from.x, from.y, from.width, from.height, area.x, area.y, area.width, area.height);
  ctx.imageSmoothingEnabled = true;
  return source.full || !needed;
}

/** Where to draw a cell from in the picture of all cells, or null until that is there. */
export function smallSource(grid, view, time, picture) {
  const image = picture(grid.overview.file, false);
  return image && { image, full: false, ...cellArea(grid.overview, view * grid.times + time) };
}
