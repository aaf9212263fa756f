// Areas of a canvas in CSS pixels, and where the cells of a grid are inside one. Pure. An area is {x, y, width, height}.

/** Which axis of a grid runs across and which down. */
export function axes(swap) {
  return swap ? { across: "view", down: "time" } : { across: "time", down: "view" };
}

/** The largest area of an aspect (width / height) in the middle of another. */
export function fitted(area, aspect) {
  const width = Math.min(area.width, area.height * aspect);
  const height = width / aspect;
  return { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
}

/** The area without a rim of `by` pixels. */
export function inset({ x, y, width, height }, by) {
  return { x: x + by, y: y + by, width: Math.max(width - 2 * by, 0), height: Math.max(height - 2 * by, 0) };
}

/** Part `index` of `count` of an area, cut across (side by side) or down. */
export function part(area, index, count, across) {
  return across
    ? { ...area, x: area.x + (area.width * index) / count, width: area.width / count }
    : { ...area, y: area.y + (area.height * index) / count, height: area.height / count };
}

/** The area of every cell of the whole grid inside another area, as a function of the cell. Cells keep their aspect if one is given. */
export function cellAreas(area, shape, swap, aspect = null) {
  const { across, down } = axes(swap);
  const [wide, high] = [shape[across + "s"], shape[down + "s"]];
  const whole = aspect ? fitted(area, (aspect * wide) / high) : area;
  return (cell) => part(part(whole, cell[across], wide, true), cell[down], high, false);
}

export const contains = (area, { x, y }) => Boolean(area) && x >= area.x && y >= area.y && x < area.x + area.width && y < area.y + area.height;
