// The cells that are to be made again, as they are kept in the widget `marked_cells`: a JSON list of [view, time]. Pure.

const name = (view, time) => `${view},${time}`;

/** Set of "view,time". Text that is no such list marks nothing. */
export function parseMarks(text) {
  let cells;
  try {
    cells = JSON.parse(text || "[]");
  } catch {
    return new Set();
  }
  if (!Array.isArray(cells)) return new Set();
  const valid = cells.filter((cell) => Array.isArray(cell) && cell.length === 2 && cell.every((index) => Number.isInteger(index) && index >= 0));
  return new Set(valid.map(([view, time]) => name(view, time)));
}

/** The widget's text, in order of view and time, so that equal marks are equal text and nothing runs again for nothing. */
export function marksText(marks) {
  const cells = [...marks].map((mark) => mark.split(",").map(Number));
  return JSON.stringify(cells.sort((a, b) => a[0] - b[0] || a[1] - b[1]));
}

export const isMarked = (marks, { view, time }) => marks.has(name(view, time));

/** A new set in which the cell is marked or not. */
export function withMark(marks, { view, time }, marked) {
  const changed = new Set(marks);
  if (marked) changed.add(name(view, time));
  else changed.delete(name(view, time));
  return changed;
}

/** A new set in which the first eighth of these cells that has no mark yet, at least one, is marked too. cells: [[view, time], ...], worst first. */
export function withWorst(marks, cells) {
  const unmarked = cells.filter(([view, time]) => !marks.has(name(view, time)));
  const more = unmarked.slice(0, Math.ceil(cells.length / 8));
  return new Set([...marks, ...more.map(([view, time]) => name(view, time))]);
}

/** The marks that lie in a grid of this shape. */
export function marksInside(marks, { views, times }) {
  return new Set([...marks].filter((mark) => mark.split(",").every((index, axis) => Number(index) < (axis ? times : views))));
}
