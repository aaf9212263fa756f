// What nodes/player.py sends about a grid, checked, and where each cell lies in its pictures. Pure; nothing here touches the page.

/** @typedef {{across: number, cell: [number, number], pitch: [number, number]}} Layout cell n is at (n % across, n / across) * pitch */

/**
 * The description of a grid, with `known[view][time]` as booleans. Throws an Error that says what is wrong.
 */
export function parseGrid(sent) {
  const counts = [sent?.views, sent?.times, sent?.width, sent?.height];
  if (!counts.every((count) => Number.isInteger(count) && count > 0)) throw new Error("the grid has no size: run the workflow again");
  if (sent.known?.length !== sent.views || sent.strips?.files?.length !== sent.views) throw new Error("the grid is incomplete: run the workflow again");
  const known = sent.known.map((line) => Array.from({ length: sent.times }, (_, time) => line[time] === "1"));
  return Object.freeze({ ...sent, fps: sent.fps > 0 ? sent.fps : 24, known });
}

/** {x, y, width, height} of cell `index` in an atlas. */
export function cellArea(layout, index) {
  const [width, height] = layout.cell;
  return { x: (index % layout.across) * layout.pitch[0], y: Math.floor(index / layout.across) * layout.pitch[1], width, height };
}

/** Bytes of one view's full-size picture once it is decoded. */
export function stripBytes({ strips, times }) {
  return strips.across * strips.pitch[0] * Math.ceil(times / strips.across) * strips.pitch[1] * 4;
}

/** The server's address of one of the grid's files. The folder is named after the content, so an address never changes its meaning. */
export function fileRoute(grid, file) {
  return "/view?" + new URLSearchParams({ filename: file, subfolder: grid.subfolder, type: grid.type });
}

/** The picture and place to draw cell (view, time) from: full size if that picture is there, else small, else null. */
export function cellSource(grid, view, time, picture) {
  const full = picture(grid.strips.files[view], false);
  if (full) return { image: full, full: true, ...cellArea(grid.strips, time) };
  const small = picture(grid.overview.file, false);
  return small ? { image: small, full: false, ...cellArea(grid.overview, view * grid.times + time) } : null;
}
