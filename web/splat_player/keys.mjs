// Keys of a splat player, as the grid player has them where both do the same; the help page lists them.

const SHUTTLE_KEYS = { j: -1, l: 1 }; // play backwards, forwards
const TURN_KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }; // with Shift
const ZOOM_KEYS = { "+": 1.25, "=": 1.25, "-": 1 / 1.25 };
const TURN = Math.PI / 36;

/** Listen until `signal` aborts. */
export function listenToKeys(player, signal) {
  player.element.addEventListener("keydown", (event) => key(player, event), { signal });
}

/** Handled keys stay here: the host would delete the node, or start something, on some of them. */
function key(player, event) {
  if (!player.splats || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.tagName === "SELECT") return event.stopPropagation(); // its own keys
  if (event.target.tagName === "BUTTON" && (event.key === " " || event.key === "Enter")) return; // a button's own keys
  if (!(event.shiftKey ? turned(player, event.key) || done(player, event.key) : done(player, event.key))) return;
  player.used();
  event.preventDefault();
  event.stopPropagation();
}

function turned(player, name) {
  const turn = TURN_KEYS[name];
  if (turn) player.orbit(turn[0] * TURN, turn[1] * TURN);
  return Boolean(turn);
}

/** Do what a key stands for; false where it stands for nothing. */
function done(player, name) {
  const letter = name.toLowerCase();
  const time = { ArrowLeft: Math.ceil(player.time) - 1, ArrowRight: Math.floor(player.time) + 1, ",": Math.ceil(player.time) - 1, ".": Math.floor(player.time) + 1, Home: 0, End: Infinity }[name];
  const view = viewOf(player, name);
  if (time !== undefined) player.moveToTime(time);
  else if (view !== undefined) player.goTo(view);
  else if (name === " ") player.togglePlay();
  else if (SHUTTLE_KEYS[letter]) player.play(SHUTTLE_KEYS[letter]);
  else if (letter === "k") player.stop();
  else if (letter === "f") player.toggleFullscreen();
  else if (letter === "c") player.set("cameras");
  else if (ZOOM_KEYS[name]) player.zoom(ZOOM_KEYS[name]);
  else return shownDone(player, letter) || name === "Delete" || name === "Backspace"; // these would delete the node
  return true;
}

/** The view that a key leads to, null for the nearest. */
function viewOf(player, name) {
  if (name === "r" || name === "R") return null;
  if (name === "PageUp") return 0;
  if (name === "PageDown") return player.splats.cameras.length - 1;
  const step = { ArrowUp: -1, ArrowDown: 1 }[name];
  if (!step) return undefined;
  const here = player.motion?.toView ?? player.view; // keys may come faster than the camera flies
  return here === null ? null : Math.round(here) + step;
}

function shownDone(player, letter) {
  const other = { w: "wipe", b: "b" }[letter];
  if (!other || !player.grid) return false;
  player.set("compare", player.settings.compare === other ? "a" : other);
  return true;
}
