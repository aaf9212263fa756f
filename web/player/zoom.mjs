// Which part of each picture is shown: all of it, or a part that the wheel and the middle button choose. Pure.
// A part is {x, y, width, height} in shares of the picture; width and height are equal, so that the aspect stays.

export const WHOLE = Object.freeze({ x: 0, y: 0, width: 1, height: 1 });
const SMALLEST = 1 / 64;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A part of this size whose upper left corner is there, moved into the picture. */
function inside(x, y, size) {
  if (size >= 1) return WHOLE;
  return { x: clamp(x, 0, 1 - size), y: clamp(y, 0, 1 - size), width: size, height: size };
}

/** The part after enlarging `times`; what is under the place `at`, {x, y} in shares of the area, stays there. */
export function zoomed(part, times, at = { x: 0.5, y: 0.5 }) {
  const size = clamp(part.width / times, SMALLEST, 1);
  return inside(part.x + at.x * (part.width - size), part.y + at.y * (part.height - size), size);
}

/** The part after the picture was pulled by {x, y} in shares of the area. */
export function panned(part, by) {
  return inside(part.x - by.x * part.width, part.y - by.y * part.height, part.width);
}

/** The part that shows a picture of this many pixels across at one pixel per pixel of an area so wide, around the middle of another part. */
export function atFullSize(part, pixels, areaPixels) {
  return zoomed(part, part.width / clamp(areaPixels / pixels, SMALLEST, 1));
}

/** A place in shares of the picture, from one in shares of the area that shows the part; and back. */
export const toPicture = (part, { x, y }) => ({ x: part.x + x * part.width, y: part.y + y * part.height });
export const toArea = (part, { x, y }) => ({ x: (x - part.x) / part.width, y: (y - part.y) / part.height });

export const isWhole = (part) => part.width >= 1;
