// The plane's ground: the pictures of all cells, drawn once into a picture of their own, dimmed where the video does not go.

import { cellAreas, inset } from "../shared/areas.mjs";
import { smallSource } from "../shared/cells.mjs";

const NIGHT = "#080a10";
const DIMMED = 0.62;
const GAP = 1; // pixels between cells

export class Thumbnails {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.drawn = ""; // what is on it
  }

  /** Draw the ground of the plane: cells by how much of them is shown, a map by "view,time", 0..1. */
  draw(ctx, { shape, grid, picture, areas, colors, pixelRatio, shown }) {
    const { plane } = areas;
    const place = cellAreas(plane, shape, false);
    const there = grid && picture(grid.overview.file, false);
    if (there) this.prepare(plane, { grid, picture, pixelRatio });
    ctx.fillStyle = there ? NIGHT : colors.cell;
    ctx.fillRect(plane.x, plane.y, plane.width, plane.height);
    for (let view = 0; view < shape.views; view += 1) {
      for (let time = 0; time < shape.times; time += 1) {
        const area = inset(place({ view, time }), GAP / 2);
        const part = shown.get(`${view},${time}`) ?? 0;
        if (there) this.drawCell(ctx, plane, area, part, pixelRatio);
        else drawEmpty(ctx, area, part, colors);
      }
    }
  }

  drawCell(ctx, plane, area, part, pixelRatio) {
    const [x, y, width, height] = [area.x - plane.x, area.y - plane.y, area.width, area.height].map((value) => value * pixelRatio);
    ctx.drawImage(this.canvas, x, y, width, height, area.x, area.y, area.width, area.height);
    ctx.globalAlpha = DIMMED * (1 - part);
    ctx.fillStyle = NIGHT;
    ctx.fillRect(area.x, area.y, area.width, area.height);
    ctx.globalAlpha = 1;
  }

  /** Bring the picture of all cells up to date. */
  prepare(plane, { grid, picture, pixelRatio }) {
    const [width, height] = [Math.ceil(plane.width * pixelRatio), Math.ceil(plane.height * pixelRatio)];
    const wanted = `${grid.id} ${width} ${height}`;
    if (wanted === this.drawn) return;
    Object.assign(this.canvas, { width, height });
    const ctx = this.canvas.getContext("2d");
    ctx.imageSmoothingQuality = "high";
    const place = cellAreas({ x: 0, y: 0, width: plane.width * pixelRatio, height: plane.height * pixelRatio }, grid, false);
    for (let view = 0; view < grid.views; view += 1) {
      for (let time = 0; time < grid.times; time += 1) {
        const area = place({ view, time });
        const { image, x, y, width: w, height: h } = covering(smallSource(grid, view, time, picture), area.width / area.height);
        ctx.drawImage(image, x, y, w, h, area.x, area.y, area.width, area.height);
      }
    }
    this.drawn = wanted;
  }

  close() {
    this.canvas.width = this.canvas.height = 0;
    this.drawn = "";
  }
}

function drawEmpty(ctx, area, part, colors) {
  ctx.fillStyle = colors.well;
  ctx.fillRect(area.x, area.y, area.width, area.height);
  if (!part) return;
  ctx.globalAlpha = 0.35 * part;
  ctx.fillStyle = colors.accent;
  ctx.fillRect(area.x, area.y, area.width, area.height);
  ctx.globalAlpha = 1;
}

/** The middle part of a source that has this aspect. */
function covering(source, aspect) {
  const width = Math.min(source.width, source.height * aspect);
  const height = Math.min(source.height, source.width / aspect);
  return { ...source, x: source.x + (source.width - width) / 2, y: source.y + (source.height - height) / 2, width, height };
}
