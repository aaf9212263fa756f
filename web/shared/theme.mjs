// The host's colours, as view.css takes them over, for drawing on a canvas.

/** {text, well, cell, accent, light} of an element of the class fourreal-view; `light` says whether its ground is. */
export function themeColors(element) {
  const style = getComputedStyle(element);
  const named = (name) => style.getPropertyValue(name).trim();
  const [red, green, blue] = style.color.match(/[\d.]+/g).map(Number);
  return {
    light: red + green + blue < 384, // dark text
    text: named("--view-text") || "#ddd",
    well: named("--view-face") || "#222",
    cell: named("--view-line") || "#555",
    accent: named("--view-accent") || "#4aa3ff",
  };
}
