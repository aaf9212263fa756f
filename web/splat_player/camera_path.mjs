// Where the cameras of the grid's views are: in the scene, as small frames joined by a line, and on a map from above. Areas are in CSS pixels. The first half is pure.

import { centreOf, forward, projected } from "./camera.mjs";

const FRAME = 0.07; // of the distance to the middle of the scene: how far before its camera a frame is drawn
const GRASP = 14; // pixels
const MAP = { share: 0.18, least: 64, most: 108, edge: 8 };
const OFF_SCENE = 1e-4; // of the distance: a camera so near to where one stands is not drawn

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const plus = (a, b, times = 1) => [a[0] + times * b[0], a[1] + times * b[1], a[2] + times * b[2]];

/** For each of `cameras` {centre, frame}: places {x, y} in the area of a picture that `from` sees, null where it cannot; `scale`: pixels of the area per pixel of a cell. */
export function camerasSeen({ cameras, width, height }, from, distance, area) {
  const scale = area.width / width;
  const place = (point) => {
    const at = projected(from, point);
    return at && { x: area.x + at.x * scale, y: area.y + at.y * scale };
  };
  const here = centreOf(from);
  return cameras.map((camera) => {
    const centre = centreOf(camera);
    if (Math.hypot(...plus(centre, here, -1)) < OFF_SCENE * distance) return { centre: null, frame: null };
    const frame = [[0, 0], [width, 0], [width, height], [0, height]].map(([x, y]) => place(through(camera, x, y, FRAME * distance)));
    return { centre: place(centre), frame: frame.every(Boolean) ? frame : null };
  });
}

/** The point of the world at a depth before a camera that it sees at a pixel. */
function through({ rotation, shift, lens }, x, y, depth) {
  const down = (y - lens.cy) / lens.fy;
  const seen = [((x - lens.cx - lens.skew * down) / lens.fx) * depth, down * depth, depth].map((value, index) => value - shift[index]);
  return [0, 1, 2].map((axis) => rotation[axis] * seen[0] + rotation[3 + axis] * seen[1] + rotation[6 + axis] * seen[2]);
}

/** The number of the camera whose frame is under a point, or null. */
export function cameraAt(seen, point) {
  const middle = ({ centre, frame }) => frame && { x: (frame[0].x + frame[2].x + centre.x) / 3, y: (frame[0].y + frame[2].y + centre.y) / 3 };
  const far = seen.map((each) => (each.centre && middle(each) ? Math.hypot(middle(each).x - point.x, middle(each).y - point.y) - size(each) / 2 : Infinity));
  const nearest = Math.min(...far);
  return nearest < GRASP ? far.indexOf(nearest) : null;
}

const size = ({ frame }) => Math.hypot(frame[2].x - frame[0].x, frame[2].y - frame[0].y);

/** Where the map is in an area, or null where there is no room for it. */
export function mapArea({ x, y, width, height }) {
  const side = Math.min(Math.max(width * MAP.share, MAP.least), MAP.most);
  if (width < 3 * MAP.least || height < 2 * MAP.least) return null;
  return { x: x + MAP.edge, y: y + height - side - MAP.edge, width: side, height: side };
}

/** {cameras, here, pivot}: places on a map from above, with the pivot in the middle and what the first camera looks at upwards; `here` has `ahead`, a unit vector. */
export function onMap(cameras, up, camera, pivot, area) {
  const level = (v) => plus(v, up, -dot(v, up));
  const unit = (v) => v.map((value) => value / (Math.hypot(...v) || 1));
  const away = unit(level(forward(cameras[Math.floor(cameras.length / 2)])));
  const right = [away[1] * up[2] - away[2] * up[1], away[2] * up[0] - away[0] * up[2], away[0] * up[1] - away[1] * up[0]];
  const flat = (v) => [dot(v, right), -dot(v, away)];
  const offsets = [...cameras, camera].map((each) => flat(plus(centreOf(each), pivot, -1)));
  const reach = Math.max(...offsets.slice(0, -1).map((offset) => Math.hypot(...offset)), 1e-9) * 1.25;
  const place = ([x, y]) => {
    const shrunk = Math.min(1, reach / Math.max(Math.hypot(x, y), 1e-9)) / reach; // one who is far away stands at the rim
    return { x: area.x + (area.width / 2) * (1 + x * shrunk), y: area.y + (area.height / 2) * (1 + y * shrunk) };
  };
  const [x, y] = flat(forward(camera));
  const length = Math.hypot(x, y) || 1;
  return { cameras: offsets.slice(0, -1).map(place), here: { ...place(offsets.at(-1)), ahead: { x: x / length, y: y / length } }, pivot: place([0, 0]) };
}

/** The number of the camera on the map that is nearest to a point. */
export function nearestOnMap(map, point) {
  const far = map.cameras.map(({ x, y }) => Math.hypot(x - point.x, y - point.y));
  return far.indexOf(Math.min(...far));
}

/** Draw the frames and the line; `view`: the number of the one that is to stand out, or null. */
export function drawCameras(ctx, seen, view, colors) {
  line(ctx, seen.map(({ centre }) => centre), "rgba(255, 255, 255, 0.75)");
  seen.forEach(({ centre, frame }, index) => {
    if (!frame || !centre) return;
    ctx.beginPath();
    frame.forEach(({ x, y }, corner) => (corner ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    ctx.closePath();
    for (const { x, y } of frame) {
      ctx.moveTo(centre.x, centre.y);
      ctx.lineTo(x, y);
    }
    twice(ctx, index === view ? colors.accent : "#fff");
  });
}

/** Draw the map. */
export function drawMap(ctx, map, area, view, colors) {
  ctx.fillStyle = "rgba(0, 0, 0, 0.55)";
  ctx.beginPath();
  ctx.roundRect(area.x, area.y, area.width, area.height, 6);
  ctx.fill();
  line(ctx, map.cameras, "rgba(255, 255, 255, 0.6)");
  map.cameras.forEach(({ x, y }, index) => spot(ctx, x, y, index === view ? 4 : 2.5, index === view ? colors.accent : "#fff"));
  ctx.strokeStyle = "rgba(255, 255, 255, 0.6)";
  ctx.lineWidth = 1;
  ctx.strokeRect(map.pivot.x - 3, map.pivot.y - 3, 6, 6);
  const { x, y, ahead } = map.here;
  ctx.beginPath();
  ctx.moveTo(x + 9 * ahead.x, y + 9 * ahead.y);
  for (const side of [-1, 1]) ctx.lineTo(x - 4 * ahead.x - side * 5 * ahead.y, y - 4 * ahead.y + side * 5 * ahead.x);
  ctx.closePath();
  ctx.fillStyle = colors.accent;
  ctx.fill();
}

function spot(ctx, x, y, radius, color) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = color;
  ctx.fill();
}

/** A line through places, with gaps where one is null. */
function line(ctx, places, color) {
  ctx.beginPath();
  places.forEach((place, index) => place && (places[index - 1] ? ctx.lineTo(place.x, place.y) : ctx.moveTo(place.x, place.y)));
  twice(ctx, color);
}

/** The path, dark and wide below, so that it is seen on any picture. */
function twice(ctx, color) {
  ctx.lineJoin = "round";
  ctx.strokeStyle = "rgba(0, 0, 0, 0.5)";
  ctx.lineWidth = 3;
  ctx.stroke();
  ctx.strokeStyle = color;
  ctx.lineWidth = 1.25;
  ctx.stroke();
}
