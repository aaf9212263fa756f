// Keys of a player, as editors and players have them; the help page lists them.

import { isMarked, withMark } from "./marks.mjs";
import { keyCell, nextCell } from "./motion.mjs";
import { axesOf, playedRanges } from "./range.mjs";
import { zoomed } from "./zoom.mjs";

const LAYOUT_KEYS = { 1: "one", 2: "views", 3: "cells" };
const SHUTTLE_KEYS = { j: -1, l: 1 }; // play backwards, forwards
const STEP_KEYS = { ",": -1, ".": 1 };
const SWITCH_KEYS = { p: "pingPong", s: "strips", h: "hover", x: "swap" };
const POINT_KEYS = { i: "in", o: "out" };
const ZOOM_KEYS = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 };

/** Listen until `signal` aborts. */
export function listenToKeys(player, signal) {
  player.element.addEventListener("keydown", (event) => key(player, event), { signal });
}

/** Handled keys stay here: the host would delete the node, or start something, on some of them. */
function key(player, event) {
  if (!player.grid) return;
  if (event.altKey && event.code === "KeyX" && !event.ctrlKey && !event.metaKey) return handled(player, event, player.clearPoints());
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.tagName === "SELECT") return event.stopPropagation(); // its own keys
  if (event.target !== player.element && (event.key === " " || event.key === "Enter")) return; // a button's own keys
  handled(player, event, keyDone(player, event.key, event.shiftKey));
}

function handled(player, event, done) {
  if (done === false) return;
  player.used();
  event.preventDefault();
  event.stopPropagation();
}

/** Do what a key stands for; false where it stands for nothing. */
function keyDone(player, name, shift) {
  const { grid, cell, settings } = player;
  const letter = name.toLowerCase();
  const to = keyCell(name, cell, grid, settings.swap);
  if (to) player.moveTo(to);
  else if (name === " ") player.togglePlay();
  else if (SHUTTLE_KEYS[letter]) player.play(SHUTTLE_KEYS[letter]);
  else if (letter === "k") player.moveTo(cell);
  else if (STEP_KEYS[name]) player.moveTo(nextCell(cell, STEP_KEYS[name], settings.play, settings.pingPong, grid));
  else if (POINT_KEYS[letter]) atPoint(player, POINT_KEYS[letter], shift);
  else if (letter === "m") player.setMarks(withMark(player.marks, cell, !isMarked(player.marks, cell)));
  else if (name === "Delete" || name === "Backspace") player.setMarks(withMark(player.marks, cell, false));
  else if (letter === "d") player.markWorst();
  else if (letter === "f") player.toggleFullscreen();
  else return shownDone(player, name, letter);
  return true;
}

/** Keys that change how the grid is shown. */
function shownDone(player, name, letter) {
  const { settings, overlays } = player;
  if (LAYOUT_KEYS[name]) player.set("layout", LAYOUT_KEYS[name]);
  else if (SWITCH_KEYS[letter]) player.set(SWITCH_KEYS[letter]);
  else if (ZOOM_KEYS[name]) player.setPart(zoomed(player.part, ZOOM_KEYS[name]));
  else if (letter === "z") player.toggleZoom();
  else if (letter === "w") overlays.compare && player.set("compare", settings.compare === "wipe" ? "a" : "wipe");
  else if (letter === "b") overlays.compare && player.set("compare", settings.compare === "b" ? "a" : "b");
  else if (letter === "c") overlays.confidence && player.set("confidence");
  else return false;
  return true;
}

/** Set an in or out point here, or with Shift go to it. */
function atPoint(player, point, shift) {
  const { cell, grid, settings } = player;
  if (!shift) return player.setPoint(point);
  const ranges = playedRanges(settings.ranges, grid);
  const to = { ...cell };
  for (const axis of axesOf(settings.play)) to[axis] = ranges[axis][point === "in" ? 0 : 1];
  player.moveTo(to);
}
