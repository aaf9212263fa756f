// The wheel of a mouse or a touchpad. Pure.

const PER_PIXEL = 0.0015;
const LINE_PIXELS = 16;
const MOST_PIXELS = 400; // of one turn

/** How much a turn of the wheel enlarges. */
export function wheelTimes({ deltaY, deltaMode }) {
  return Math.exp(-Math.min(Math.max(deltaY * (deltaMode === 1 ? LINE_PIXELS : 1), -MOST_PIXELS), MOST_PIXELS) * PER_PIXEL);
}
