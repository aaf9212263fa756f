// Where playing leads: along the times, the views or both, without steps. Pure; time in milliseconds.

/**
 * {place, over}: where on 0 .. last one is `steps` after `start`, which go backwards where they are below 0. loop: "loop" starts again at the other end, "pingPong" turns round at both,
 * "once" stays there, and then `over` says that it is the end.
 */
export function along(start, steps, last, loop) {
  if (last <= 0) return { place: 0, over: loop === "once" };
  const to = start + steps;
  if (loop === "once") return { place: Math.min(Math.max(to, 0), last), over: to < 0 || to > last };
  const period = loop === "pingPong" ? 2 * last : last;
  const place = ((to % period) + period) % period;
  if (loop === "loop") return { place: to >= 0 && to <= last ? to : place, over: false };
  return { place: place <= last ? place : period - place, over: false };
}

/** {time, view, over} after playing for some milliseconds at so many cells per second, backwards where fps is below 0. A view of null stays: the camera is nowhere on their path. */
export function playedTo(from, elapsed, fps, { play, loop }, { times, views }) {
  const steps = (elapsed / 1000) * fps;
  const ends = { time: times - 1, view: views - 1 };
  const to = { time: from.time, view: from.view };
  const moving = (play === "both" ? ["time", "view"] : [play]).filter((axis) => from[axis] !== null && ends[axis] > 0);
  let over = true;
  for (const axis of moving) {
    const { place, over: there } = along(from[axis], steps, ends[axis], loop);
    to[axis] = place;
    over &&= there;
  }
  return { ...to, over };
}
