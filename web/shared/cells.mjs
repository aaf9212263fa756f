// Draws one cell of a grid from the pictures that have arrived. Knows a 2D context and nothing else of the page.

import { cellArea, cellSource } from "./payload.mjs";

/**
 * Draw a cell into an area, from its full-size picture where that is there and needed; returns whether it was. A scene has {grid, picture, sharp, pixelRatio,
 * colors}: picture(file, want) gives a decoded picture or null, `sharp` is false while something moves, so that nothing is loaded only to be passed by.
 */
export function drawCell(ctx, { grid, picture, sharp, pixelRatio, colors }, { view, time }, area, mayBeFull) {
  const small = grid.overview.cell[0];
  const needed = mayBeFull && area.width * pixelRatio > small * 1.05 && grid.strips.cell[0] > small;
  if (needed && sharp) picture(grid.strips.files[view], true);
  const source = needed ? cellSource(grid, view, time, picture) : smallSource(grid, view, time, picture);
  if (!source) {
    ctx.fillStyle = colors.well;
    ctx.fillRect(area.x, area.y, area.width, area.height);
    return false;
  }
  ctx.drawImage(source.image, source.x, source.y, source.width, source.height, area.x, area.y, area.width, area.height);
  return source.full || !needed;
}

/** Where to draw a cell from in the picture of all cells, or null until that is there. */
export function smallSource(grid, view, time, picture) {
  const image = picture(grid.overview.file, false);
  return image && { image, full: false, ...cellArea(grid.overview, view * grid.times + time) };
}
