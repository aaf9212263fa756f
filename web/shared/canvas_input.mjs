// Pointer, wheel and menu on a player's canvas, heard before the graph around it hears them.

/**
 * Listen until `signal` aborts. `view` has element, canvas and drawSoon(). `pointer` has down, move, up, cancel, doubleClick and wheel, which take an event, menu({x, y}), which
 * opens a menu at a place on the page and tells whether there is one, and `pans`: whether it holds the middle button.
 */
export function listenToCanvas(view, pointer, signal) {
  const on = (name, handle, options) => view.canvas.addEventListener(name, handle, { signal, ...options });
  for (const kind of ["down", "move", "up", "cancel"]) on(`pointer${kind}`, (event) => pointer[kind](event));
  on("lostpointercapture", (event) => pointer.cancel(event));
  on("pointerenter", () => view.drawSoon()); // the page's zoom may have changed
  on("dblclick", (event) => (event.stopPropagation(), pointer.doubleClick(event)));
  view.element.addEventListener("contextmenu", (event) => menu(view, pointer, event), { signal });
  // Wheel and middle button are the graph's all over the page, and with Vue nodes it takes them on their way down: ours come first.
  const first = (name, handle) => window.addEventListener(name, (event) => event.target === view.canvas && handle(event), { signal, capture: true, passive: false });
  first("wheel", (event) => pointer.wheel(event));
  first("pointerdown", (event) => event.button === 1 && pointer.down(event));
  first("pointermove", (event) => pointer.pans && pointer.move(event));
  first("pointerup", (event) => pointer.pans && pointer.up(event));
}

/** The menu opens under the pointer; the keyboard's menu key opens it in the middle. */
function menu({ canvas, element }, pointer, event) {
  const onCanvas = event.target === canvas;
  if (!onCanvas && event.target !== element) return;
  const box = canvas.getBoundingClientRect();
  if (!pointer.menu(onCanvas ? { x: event.clientX, y: event.clientY } : { x: box.x + box.width / 2, y: box.y + box.height / 2 })) return;
  event.preventDefault();
  event.stopPropagation();
}
