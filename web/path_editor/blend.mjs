// Which cells a frame between cells is made of: the same bilinear blend as slice_grid in fourreal_core/paths/presets.py. Pure.

/** [{view, time, weight}, ...] of a place: one to four cells, their weights together 1. */
export function blendedCells(place) {
  const [view, time] = [Math.floor(place.view), Math.floor(place.time)];
  const [right, below] = [place.time - time, place.view - view];
  const cells = [
    { view, time, weight: (1 - below) * (1 - right) },
    { view: view + 1, time, weight: below * (1 - right) },
    { view, time: time + 1, weight: (1 - below) * right },
    { view: view + 1, time: time + 1, weight: below * right },
  ];
  return cells.filter(({ weight }) => weight > 0);
}

/** How much of each cell a video shows at most: a map by "view,time", 0..1. */
export function shownCells(positions) {
  const shown = new Map();
  for (const place of positions) {
    for (const { view, time, weight } of blendedCells(place)) {
      const name = `${view},${time}`;
      shown.set(name, Math.max(shown.get(name) ?? 0, weight));
    }
  }
  return shown;
}
