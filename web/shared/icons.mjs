// The toolbar's pictures: SVG paths in a square of 16, drawn in the text's colour.

const PATHS = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  pingPong: "M1.5 5.500h12L10.500 2.500M14.500 10.500h-12L5.500 13.500",
  strips: "M2 2h9v7H2zM12.5 2H15v7h-2.5zM2 11h9v3H2z",
  mark: "M3 3h10v10H3zM5 5l6 6M11 5l-6 6",
  worst: "M8 2l6.500 11.500h-13zM8 6.500v3.500M8 11.300v1",
  cameras: "M2 12a7 7 0 0 1 12 0M8 12V8M2 12l2.500-.5M14 12l-2.500-.5M8 5.500a1.300 1.300 0 1 0 0-2.600 1.300 1.300 0 1 0 0 2.600",
  nearestView: "M8 2v4M8 10v4M2 8h4M10 8h4M8 6.500a1.500 1.500 0 1 0 0 3 1.500 1.500 0 1 0 0-3",
  clear: "M3 5h10M6 5V3h4v2M4.5 5l.7 9h5.6l.7-9",
  hover: "M4 2l8.500 6.500-4 .5 2.300 4.300-1.800.9-2.200-4.300L4 12.500z",
  swap: "M2 8h12M12 6l2 2-2 2M8 2v12M6 12l2 2 2-2",
  pencil: "M2.500 13.500l.8-3.300 7.700-7.700 2.500 2.500-7.700 7.700zM9.500 4l2.500 2.500",
  plus: "M8 3v10M3 8h10",
  round: "M2.500 13.500v-4a6.500 6.500 0 0 1 6.500-6.500h4.500",
  saveFrame: "M2 4.500h3l1-1.500h4l1 1.500h3v8.500H2zM8 6.300a2.300 2.300 0 1 0 0 4.600 2.300 2.300 0 1 0 0-4.600",
  saveVideo: "M2 3h12v10H2zM5 3v10M11 3v10M2 6.300h3M2 9.700h3M11 6.300h3M11 9.700h3",
  confidence: "M3 13a5.500 5.500 0 1 1 10 0M8 11l2.500-4.500",
  fullscreen: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
};
const FILLED = new Set(["play", "pause"]);

/** An SVG element; decorative, the button has the words. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", PATHS[name]);
  path.setAttribute("fill", FILLED.has(name) ? "currentColor" : "none");
  path.setAttribute("stroke", FILLED.has(name) ? "none" : "currentColor");
  path.setAttribute("stroke-width", "1.3");
  path.setAttribute("stroke-linejoin", "round");
  svg.append(path);
  return svg;
}
