// A canvas that has as many pixels as its place on the screen, whatever the zoom of graph and page, and is drawn at most once per frame.

const MOST_PIXELS_ACROSS = 4096; // however far the page is zoomed in

export class Surface {
  /** step(now) goes on with what moves and tells whether something still does; draw() draws. Both are called until close(). */
  constructor(canvas, { step, draw }) {
    Object.assign(this, { canvas, step, draw, request: 0, zoom: 1, waiting: false, closed: false });
    this.sizes = new ResizeObserver(() => this.resized());
    this.sizes.observe(canvas);
  }

  drawSoon() {
    if (this.request || this.closed) return;
    this.request = requestAnimationFrame((now) => {
      this.request = 0;
      const moving = this.step(now);
      this.draw();
      const hidden = this.canvas.clientWidth === 0; // where nothing is seen, nothing moves
      this.waiting = moving && hidden;
      if (moving && !hidden) this.drawSoon();
    });
  }

  /** Drawn at once, or the old picture would be stretched for a moment; what moved before it was hidden moves on. */
  resized() {
    this.draw();
    if (this.waiting) this.drawSoon();
  }

  /** The graph was drawn: when its zoom has changed, the canvas needs other pixels. */
  zoomed() {
    const { zoom } = this.measure();
    if (Math.abs(zoom - this.zoom) > 0.01 * zoom) this.drawSoon();
  }

  /** The canvas's size in its own CSS pixels, and how many of the page's pixels one of those is. */
  measure() {
    const size = { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
    return { size, zoom: size.width ? this.canvas.getBoundingClientRect().width / size.width : 1 };
  }

  /** {ctx, pixelRatio} of a canvas of the right size, or null while it has none. */
  prepare() {
    const { size, zoom } = this.measure();
    this.zoom = zoom;
    if (!size.width || !size.height) return null;
    const pixelRatio = Math.min(Math.max(zoom * window.devicePixelRatio, 0.5), MOST_PIXELS_ACROSS / size.width);
    const [width, height] = [Math.round(size.width * pixelRatio), Math.round(size.height * pixelRatio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    return { ctx: this.canvas.getContext("2d"), pixelRatio };
  }

  /** Where a pointer is in the canvas's own CSS pixels. */
  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.clientWidth / box.width;
    return { x: (event.clientX - box.x) * scale, y: (event.clientY - box.y) * scale };
  }

  close() {
    this.closed = true;
    cancelAnimationFrame(this.request);
    this.sizes.disconnect();
    this.canvas.width = this.canvas.height = 0; // frees its memory even while someone still holds the element
  }
}
