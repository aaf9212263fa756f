// Draws the path editor's canvas: the plane with the path, the preview, the graph over time. Knows a 2D context and nothing else of the page.
//
// A scene is {shape, path, line, shown, frame, selected, hovered, pen, areas, colors, pixelRatio, thumbnails, grid, picture, sharp, allFit}: `line` is what
// timeline() of camera_path.mjs gives, `pen` the points of a freehand line, `grid` null before the first run, `connected` whether the node has one to run with; the rest as for the player.

import { drawCell } from "../shared/cells.mjs";
import { blendedCells } from "./blend.mjs";
import { frameX, pointPlaces, toPoint } from "./plane.mjs";

const GRADIENT = [[38, 208, 255], [139, 108, 255], [255, 79, 154]]; // from the path's start to its end
const DARK = "rgba(6, 8, 14, 0.75)";
const AXES = { dark: { time: "#4db8ff", view: "#ffab40" }, light: { time: "#0a66b5", view: "#a85400" } };
const axisColor = (name, { light }) => AXES[light ? "light" : "dark"][name];
const NOT_CONNECTED = "Connect a grid to preview the video here.";
const NOT_RUN = "Run the workflow to preview the video here.";
const FONT = "system-ui, sans-serif";
const LEAST_LABEL = 26; // pixels between the numbers of an axis
const LEAST_DOT = 3.2; // pixels between the dots of two frames

/** Draw everything; returns whether the preview came from full-size pictures. */
export function drawEditor(ctx, scene) {
  const { pixelRatio, areas } = scene;
  ctx.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
  ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
  ctx.imageSmoothingQuality = "high";
  scene.thumbnails.draw(ctx, scene);
  drawAxes(ctx, scene);
  if (scene.pen) drawPen(ctx, scene.pen);
  else if (scene.line) drawPath(ctx, scene);
  if (!scene.line) return false;
  drawGraph(ctx, { ...scene, area: areas.graph, count: scene.line.positions.length });
  return drawPreview(ctx, scene);
}

function drawAxes(ctx, { shape, areas, colors }) {
  const { plane } = areas;
  ctx.font = `10px ${FONT}`;
  ctx.textBaseline = "middle";
  for (const [name, count, side] of [["time", shape.times, plane.width], ["view", shape.views, plane.height]]) {
    const every = Math.ceil(LEAST_LABEL / (side / count));
    for (let index = 0; index < count; index += every) {
      const at = toPoint(plane, shape, name === "time" ? { view: 0, time: index } : { view: index, time: 0 });
      ctx.save();
      if (name === "time") ctx.translate(at.x, plane.y - 8);
      else ctx.translate(plane.x - 8, at.y);
      if (name === "view" && index === 0) ctx.rotate(-Math.PI / 2);
      ctx.textAlign = "center";
      ctx.fillStyle = index === 0 ? axisColor(name, colors) : colors.text;
      ctx.globalAlpha = index === 0 ? 1 : 0.55;
      ctx.fillText(index === 0 ? name : String(index + 1), 0, 0);
      ctx.restore();
    }
  }
}

function drawPath(ctx, scene) {
  const { path, line, areas, selected, hovered } = scene;
  const { plane } = areas;
  const pieces = wayPieces(line.legs, (place) => toPoint(plane, path, place));
  ctx.lineCap = ctx.lineJoin = "round";
  strokeWay(ctx, pieces, 7, () => DARK);
  drawGuides(ctx, scene);
  strokeWay(ctx, pieces, 3.5, gradientColor);
  drawFrames(ctx, scene);
  pieces.middles.forEach((middle) => drawArrow(ctx, middle));
  pointPlaces(path).forEach((place, index) => {
    const last = path.points.length - 1;
    const color = gradientColor(last ? index / last : 0);
    drawPoint(ctx, toPoint(plane, path, place), color, index === selected, hovered?.kind === "point" && hovered.index === index);
    if (path.points[index].hold) drawHold(ctx, toPoint(plane, path, place), path.points[index].hold);
  });
  if (hovered?.kind === "line") drawPoint(ctx, toPoint(plane, path, hovered.place), "rgba(255, 255, 255, 0.5)", false, false);
  drawPlayhead(ctx, toPoint(plane, path, line.positions[scene.frame]));
}

/** The way as pieces {start, end, share} of the whole length, and the middle of each leg with its direction. */
function wayPieces(legs, point) {
  const whole = legs.reduce((sum, { length }) => sum + length, 0) || 1;
  const [pieces, middles] = [[], []];
  let before = 0;
  for (const { places, distances, length } of legs) {
    for (let index = 1; index < places.length; index += 1) {
      const [start, end] = [point(places[index - 1]), point(places[index])];
      const share = (at) => (before + at) / whole;
      pieces.push({ start, end, from: share(distances[index - 1]), to: share(distances[index]) });
      const half = length / 2;
      if (distances[index - 1] <= half && half < distances[index] && Math.hypot(end.x - start.x, end.y - start.y) > 24) {
        const part = (half - distances[index - 1]) / (distances[index] - distances[index - 1]);
        middles.push({ x: start.x + (end.x - start.x) * part, y: start.y + (end.y - start.y) * part, angle: Math.atan2(end.y - start.y, end.x - start.x), share: share(half) });
      }
    }
    before += length;
  }
  return { pieces, middles };
}

function strokeWay(ctx, { pieces }, width, color) {
  ctx.lineWidth = width;
  for (const { start, end, from, to } of pieces) {
    const steps = Math.max(Math.ceil((to - from) * 64), 1);
    for (let step = 0; step < steps; step += 1) {
      const at = (share) => [start.x + (end.x - start.x) * share, start.y + (end.y - start.y) * share];
      ctx.strokeStyle = color(from + ((to - from) * (step + 0.5)) / steps);
      ctx.beginPath();
      ctx.moveTo(...at(step / steps));
      ctx.lineTo(...at((step + 1) / steps));
      ctx.stroke();
    }
  }
}

export function gradientColor(share) {
  const at = Math.min(Math.max(share, 0), 1) * (GRADIENT.length - 1);
  const index = Math.min(Math.floor(at), GRADIENT.length - 2);
  const mixed = GRADIENT[index].map((value, channel) => Math.round(value + (GRADIENT[index + 1][channel] - value) * (at - index)));
  return `rgb(${mixed.join()})`;
}

/** Thin lines to the points that a rounded way passes by. */
function drawGuides(ctx, { path, line, areas }) {
  ctx.strokeStyle = "rgba(255, 255, 255, 0.45)";
  ctx.lineWidth = 1;
  ctx.setLineDash([3, 3]);
  path.points.forEach((point, index) => {
    const reached = index < line.legs.length ? line.legs[index].places[0] : line.legs.at(-1).places.at(-1);
    if (!point.rounding || (reached.view === point.view && reached.time === point.time)) return;
    const [start, end] = [toPoint(areas.plane, path, reached), toPoint(areas.plane, path, point)];
    ctx.beginPath();
    ctx.moveTo(start.x, start.y);
    ctx.lineTo(end.x, end.y);
    ctx.stroke();
  });
  ctx.setLineDash([]);
}

/** A dot per frame shows the speed; where they lie too close together there is none. */
function drawFrames(ctx, { path, line, areas }) {
  ctx.fillStyle = "rgba(255, 255, 255, 0.95)";
  let last = null;
  for (const place of line.positions) {
    const at = toPoint(areas.plane, path, place);
    if (last && Math.hypot(at.x - last.x, at.y - last.y) < LEAST_DOT) continue;
    last = at;
    disc(ctx, at, 1.4);
    ctx.fill();
  }
}

function drawArrow(ctx, { x, y, angle, share }) {
  ctx.save();
  ctx.translate(x, y);
  ctx.rotate(angle);
  ctx.beginPath();
  ctx.moveTo(7, 0);
  ctx.lineTo(-5, -6);
  ctx.lineTo(-2, 0);
  ctx.lineTo(-5, 6);
  ctx.closePath();
  ctx.fillStyle = gradientColor(share);
  ctx.strokeStyle = DARK;
  ctx.lineWidth = 2;
  ctx.stroke();
  ctx.fill();
  ctx.restore();
}

function drawPoint(ctx, at, color, selected, hovered) {
  const radius = selected || hovered ? 7.5 : 6;
  if (selected) {
    disc(ctx, at, radius + 4);
    ctx.fillStyle = "rgba(255, 255, 255, 0.28)";
    ctx.fill();
  }
  disc(ctx, at, radius);
  ctx.fillStyle = selected ? "#fff" : color;
  ctx.fill();
  ctx.lineWidth = 2.5;
  ctx.strokeStyle = selected ? color : "#fff";
  ctx.stroke();
}

/** How many frames the video stays at a point. */
function drawHold(ctx, { x, y }, frames) {
  const text = `hold ${frames}`;
  ctx.font = `600 10px ${FONT}`;
  const width = ctx.measureText(text).width + 10;
  ctx.fillStyle = DARK;
  ctx.beginPath();
  ctx.roundRect(x - width / 2, y + 11, width, 15, 7);
  ctx.fill();
  ctx.fillStyle = "#fff";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(text, x, y + 19);
}

function drawPlayhead(ctx, at) {
  disc(ctx, at, 10);
  ctx.lineWidth = 4;
  ctx.strokeStyle = DARK;
  ctx.stroke();
  ctx.lineWidth = 2;
  ctx.strokeStyle = "#fff";
  ctx.stroke();
}

function drawPen(ctx, points) {
  ctx.lineCap = ctx.lineJoin = "round";
  for (const [width, color] of [[7, DARK], [3.5, "#fff"]]) {
    ctx.beginPath();
    points.forEach(({ x, y }, index) => (index ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    ctx.lineWidth = width;
    ctx.strokeStyle = color;
    ctx.stroke();
  }
}

function disc(ctx, { x, y }, radius) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
}

/** The frame that the video shows; between cells, their blend. */
function drawPreview(ctx, scene) {
  const { grid, picture, areas, line, frame } = scene;
  const area = areas.preview;
  if (!grid || !picture(grid.overview.file, false)) return drawNoPreview(ctx, scene);
  const cells = blendedCells(line.positions[frame]);
  let full = true;
  ctx.save();
  ctx.beginPath();
  ctx.rect(area.x, area.y, area.width, area.height);
  ctx.clip();
  if (cells.length > 1) ctx.globalCompositeOperation = "lighter"; // a sum, on a canvas that is still empty here
  for (const cell of cells) {
    ctx.globalAlpha = cell.weight;
    full = drawCell(ctx, scene, cell, area, true) && full;
  }
  ctx.restore();
  return full;
}

function drawNoPreview(ctx, { areas, colors, line, frame, connected }) {
  const { x, y, width, height } = areas.preview;
  ctx.fillStyle = colors.well;
  ctx.fillRect(x, y, width, height);
  const { view, time } = line.positions[frame];
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillStyle = colors.text;
  ctx.font = `600 15px ${FONT}`;
  ctx.fillText(`view ${(view + 1).toFixed(1)}   time ${(time + 1).toFixed(1)}`, x + width / 2, y + height / 2 - 10);
  ctx.font = `11px ${FONT}`;
  ctx.globalAlpha = 0.7;
  ctx.fillText(connected ? NOT_RUN : NOT_CONNECTED, x + width / 2, y + height / 2 + 12, width - 8);
  ctx.globalAlpha = 1;
  return false;
}

/** View and time over the video's frames: steep is fast, flat is still. */
function drawGraph(ctx, { area, count, shape, line, frame, colors }) {
  ctx.fillStyle = colors.well;
  ctx.beginPath();
  ctx.roundRect(area.x, area.y, area.width, area.height, 4);
  ctx.fill();
  ctx.lineCap = ctx.lineJoin = "round";
  drawStays(ctx, { area, count, line, colors });
  for (const axis of ["view", "time"]) {
    const most = Math.max(shape[`${axis}s`] - 1, 1);
    ctx.beginPath();
    line.positions.forEach((place, index) => {
      const y = area.y + area.height - 8 - ((area.height - 16) * place[axis]) / most;
      ctx.lineTo(frameX(area, index, count), y);
    });
    ctx.strokeStyle = axisColor(axis, colors);
    ctx.lineWidth = axis === "view" ? 4.5 : 2; // both are seen where they run together
    ctx.stroke();
    ctx.font = `600 10px ${FONT}`;
    ctx.fillStyle = axisColor(axis, colors);
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(axis, area.x + (axis === "view" ? 18 : 48), area.y + 9);
  }
  const x = frameX(area, frame, count);
  ctx.strokeStyle = colors.text;
  ctx.lineWidth = 1.5;
  ctx.beginPath();
  ctx.moveTo(x, area.y + 2);
  ctx.lineTo(x, area.y + area.height - 2);
  ctx.stroke();
}

/** Where the points are reached, and how long the video stays there. */
function drawStays(ctx, { area, count, line, colors }) {
  let start = 0;
  for (const { leg, frames } of line.stages) {
    if (leg.places.length === 1) {
      const from = frameX(area, Math.min(start, count - 1), count);
      const to = frameX(area, Math.min(start + frames, count - 1), count);
      ctx.fillStyle = colors.cell;
      ctx.globalAlpha = 0.5;
      ctx.fillRect(from, area.y + 2, Math.max(to - from, 1), area.height - 4);
      ctx.globalAlpha = 1;
    }
    start += frames;
  }
}
