// The line between two pictures of the same thing, A on the left and B on the right.

const LABELLED = 120; // pixels of width; smaller pictures have no letters and no handle
const GRIP = 7; // pixels: how far from the line it can be grasped

/** Whether a point is on the wipe line of the picture in this area. */
export function onWipe(area, point, wipe) {
  return Math.abs(point.x - (area.x + area.width * wipe)) <= Math.min(GRIP, area.width / 6);
}

/** Draw the line at x. */
export function drawWipe(ctx, area, x) {
  ctx.fillStyle = "rgba(0, 0, 0, 0.6)";
  ctx.fillRect(x - 1.5, area.y, 3, area.height);
  ctx.fillStyle = "#fff";
  ctx.fillRect(x - 0.5, area.y, 1, area.height);
  if (area.width <= LABELLED) return;
  const y = area.y + area.height / 2;
  ctx.beginPath();
  for (const side of [-1, 1]) {
    ctx.moveTo(x + side * 9, y);
    ctx.lineTo(x + side * 4, y - 5);
    ctx.lineTo(x + side * 4, y + 5);
    ctx.closePath();
  }
  ctx.strokeStyle = "rgba(0, 0, 0, 0.6)";
  ctx.lineWidth = 2;
  ctx.stroke();
  ctx.fill();
}

/** Say which side is A and which is B; `shown` is "wipe" or "b". */
export function drawLetters(ctx, area, shown) {
  if (area.width <= LABELLED) return;
  ctx.font = "600 12px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  for (const [letter, x, there] of [["A", area.x + 16, shown === "wipe"], ["B", area.x + area.width - 16, true]]) {
    if (!there) continue;
    ctx.fillStyle = "rgba(0, 0, 0, 0.6)";
    ctx.fillRect(x - 10, area.y + 8, 20, 18);
    ctx.fillStyle = "#fff";
    ctx.fillText(letter, x, area.y + 17);
  }
}
