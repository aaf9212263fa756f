// What is laid over a grid: a second one behind a wipe line, and a tint where a fill is unsure. Draws with a scene of draw.mjs.

import { drawCell } from "../shared/cells.mjs";
import { drawLetters, drawWipe } from "../shared/wipe.mjs";

const UNSURE = [255, 0, 170]; // a colour that no frame or mark has
const STRONGEST = 0.8;

/** What of A and B a player with these settings shows: "a", "b" or "wipe". */
export function compared(settings, compare) {
  return compare ? settings.compare : "a";
}

/** Draw one cell with what is laid over it; returns whether all of it came from full-size pictures. */
export function drawLayers(ctx, scene, cell, area, mayBeFull) {
  const shown = compared(scene.settings, scene.compare);
  const line = shown === "a" ? area.width : shown === "b" ? 0 : area.width * scene.settings.wipe;
  let full = shown === "b" || drawCell(ctx, scene, cell, area, mayBeFull);
  if (scene.confidence && scene.settings.confidence && shown !== "b") drawTint(ctx, scene, cell, area, mayBeFull);
  if (shown === "a") return full;
  ctx.save();
  ctx.beginPath();
  ctx.rect(area.x + line, area.y, area.width - line, area.height);
  ctx.clip();
  full = drawCell(ctx, { ...scene, ...scene.compare }, cell, area, mayBeFull) && full;
  ctx.restore();
  if (shown === "wipe") drawWipe(ctx, area, area.x + line);
  drawLetters(ctx, area, shown);
  return full;
}

function drawTint(ctx, scene, cell, area, mayBeFull) {
  const over = { ...scene, ...scene.confidence };
  if (over.picture(over.grid.overview.file, false)) drawCell(ctx, over, cell, area, mayBeFull);
}

/** The CSS colour of a confidence from 0 to 1. */
export function tintOf(confidence) {
  return `rgba(${UNSURE.join(", ")}, ${(STRONGEST * (1 - confidence)).toFixed(3)})`;
}

/** A picture of confidences, black (unsure) to white (sure), as a tint: what is sure is transparent. Closes the one that it is given. */
export function tinted(picture) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const ctx = canvas.getContext("2d", { willReadFrequently: true });
  ctx.drawImage(picture, 0, 0);
  picture.close();
  const pixels = ctx.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = pixels;
  for (let at = 0; at < data.length; at += 4) {
    const opacity = STRONGEST * (255 - data[at]);
    [data[at], data[at + 1], data[at + 2], data[at + 3]] = [UNSURE[0], UNSURE[1], UNSURE[2], opacity];
  }
  ctx.putImageData(pixels, 0, 0);
  return canvas.transferToImageBitmap();
}
