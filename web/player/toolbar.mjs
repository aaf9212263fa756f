// The player's buttons and choices. Each shows one setting or starts one action; what they do is the player's business.

import { button, choice, playButton } from "../shared/buttons.mjs";
import { LAYOUTS, PLAYS, SPEEDS } from "./settings.mjs";

const TOGGLES = {
  pingPong: ["pingPong", "Ping-pong: play back and forth instead of starting over (P)"],
  strips: ["strips", "Slit-scan strips: one slit across all times (bottom) and all views (right). Bars are flicker, broken lines are jumps. Shift-drag moves the slit (S)"],
  hover: ["hover", "Scrub on hover: move the pointer without pressing a button (H)"],
  swap: ["swap", "Swap axes: views across, times down (X)"],
};

/** {element, show(state)}: the toolbar, and a function that brings it up to date with {settings, playing, marking, marked, where}. */
export function makeToolbar({ signal, onSetting, onPlay, onMarking, onClear, onFullscreen }) {
  const element = document.createElement("div");
  element.className = "fourreal-view-bar";
  const play = playButton(signal, onPlay);
  const choices = [
    choice("play", Object.entries(PLAYS), "Play along time, views or both", signal, (value) => onSetting("play", value)),
    choice("speed", SPEEDS.map((speed) => [speed, `${speed}×`]), "Playback speed", signal, (value) => onSetting("speed", Number(value))),
    choice("layout", Object.entries(LAYOUTS), "Layout: one cell, all views at this time, or the whole grid (1, 2, 3)", signal, (value) => onSetting("layout", value)),
  ];
  const toggles = Object.entries(TOGGLES).map(([name, [picture, title]]) => [name, button(picture, title, signal, () => onSetting(name))]);
  const mark = button("mark", "Mark cells to regenerate: click them or drag over them. M marks the current cell", signal, onMarking);
  const clear = button("clear", "Clear all marks", signal, onClear);
  const count = document.createElement("span");
  const where = document.createElement("output");
  const full = button("fullscreen", "Full screen (F)", signal, onFullscreen);
  mark.dataset.action = "mark";
  clear.dataset.action = "clear";
  full.dataset.action = "fullscreen";
  for (const [name, each] of toggles) each.dataset.setting = name;
  count.className = "fourreal-player-count";
  element.append(play.element, choices[0], toggles[0][1], choices[1], choices[2], ...toggles.slice(1).map(([, each]) => each), mark, count, clear, full, where);

  const show = ({ settings, playing, marking, marked, text }) => {
    play.show(playing);
    for (const each of choices) each.value = String(settings[each.dataset.setting]);
    for (const [name, each] of toggles) each.setAttribute("aria-pressed", String(settings[name]));
    mark.setAttribute("aria-pressed", String(marking));
    clear.disabled = marked === 0;
    count.textContent = marked ? String(marked) : "";
    if (where.textContent !== text) where.textContent = text;
  };
  return { element, show };
}
