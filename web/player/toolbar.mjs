// The player's buttons and choices. Each shows one setting or starts one action; what they do is the player's business.

import { button, choice, playButton } from "../shared/buttons.mjs";
import { COMPARES, LAYOUTS, PLAYS, SPEEDS } from "./settings.mjs";

const TOGGLES = {
  pingPong: ["pingPong", "Ping-pong: play back and forth instead of starting over (P)"],
  strips: ["strips", "Slit-scan strips: one slit across all times (bottom) and all views (right). Bars are flicker, broken lines are jumps. Shift-drag moves the slit (S)"],
  hover: ["hover", "Scrub on hover: move the pointer without pressing a button (H)"],
  swap: ["swap", "Swap axes: views across, times down (X)"],
  confidence: ["confidence", "Confidence: tint where the fill is uncertain (C)"],
};

/** {element, show(state)}: the toolbar, and a function that brings it up to date with {settings, playing, marking, marked, has, busy, text}. */
export function makeToolbar({ signal, onSetting, onPlay, onMarking, onWorst, onClear, onFullscreen, onSaveFrame, onSaveVideo }) {
  const element = document.createElement("div");
  element.className = "fourreal-view-bar";
  const play = playButton(signal, onPlay);
  const choices = [
    choice("play", Object.entries(PLAYS), "Play along time, views or both", signal, (value) => onSetting("play", value)),
    choice("speed", SPEEDS.map((speed) => [speed, `${speed}×`]), "Playback speed", signal, (value) => onSetting("speed", Number(value))),
    choice("layout", Object.entries(LAYOUTS), "Layout: one cell, all views at this time, or the whole grid (1, 2, 3)", signal, (value) => onSetting("layout", value)),
    choice("compare", Object.entries(COMPARES), "Compare: this grid (A), the second grid (B), or both with a wipe line to drag (W, B)", signal, (value) => onSetting("compare", value)),
  ];
  const [along, speed, layout, compare] = choices;
  const toggles = Object.entries(TOGGLES).map(([name, [picture, title]]) => [name, button(picture, title, signal, () => onSetting(name))]);
  for (const [name, each] of toggles) each.dataset.setting = name;
  const { pingPong, strips, hover, swap, confidence } = Object.fromEntries(toggles);
  const action = (name, title, onClick) => Object.assign(button(name, title, signal, onClick), { name });
  const mark = action("mark", "Mark cells to regenerate: click them or drag over them. M marks the current cell", onMarking);
  const worst = action("worst", "Mark the worst cells to regenerate: the most doubtful eighth of those that were filled; again for the next (D)", onWorst);
  const clear = action("clear", "Clear all marks", onClear);
  const saveFrame = action("saveFrame", "Save frame: download this cell as PNG at its own size. Right-click the picture to copy it", onSaveFrame);
  const saveVideo = action("saveVideo", "Save video: download the playback as MP4, from in to out point, at this speed and direction", onSaveVideo);
  const full = action("fullscreen", "Full screen (F)", onFullscreen);
  for (const each of [mark, worst, clear, saveFrame, saveVideo, full]) each.dataset.action = each.name;
  const count = Object.assign(document.createElement("span"), { className: "fourreal-player-count" });
  const where = document.createElement("output");
  element.append(play.element, along, pingPong, speed, layout, compare, strips, hover, swap, confidence, mark, worst, count, clear, saveFrame, saveVideo, full, where);

  const show = ({ settings, playing, marking, marked, has, busy, text }) => {
    play.show(playing);
    for (const each of choices) each.value = String(settings[each.dataset.setting]);
    for (const [name, each] of toggles) each.setAttribute("aria-pressed", String(settings[name]));
    mark.setAttribute("aria-pressed", String(marking));
    compare.hidden = !has.compare;
    confidence.hidden = !has.confidence;
    worst.hidden = !has.doubtful;
    clear.disabled = marked === 0;
    saveFrame.disabled = saveVideo.disabled = !has.grid || busy;
    count.textContent = marked ? String(marked) : "";
    if (where.textContent !== text) where.textContent = text;
  };
  return { element, show };
}
