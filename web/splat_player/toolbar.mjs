// The splat player's time slider, buttons and choices. Each shows one setting or starts one action; what they do is the player's business.

import { button, choice, playButton } from "../shared/buttons.mjs";
import { COMPARES, LOOPS, PLAYS, SPEEDS } from "./settings.mjs";

/** {element, show(state)}: the toolbar, and a function that brings it up to date. */
export function makeToolbar({ signal, onSetting, onPlay, onTime, onView, onSaveFrame, onFullscreen }) {
  const element = document.createElement("div");
  element.className = "fourreal-view-bar";
  const play = playButton(signal, onPlay);
  const slider = timeSlider(signal, onTime);
  const choices = [
    choice("play", Object.entries(PLAYS), "Play along time, along the path of the views, or both", signal, (value) => onSetting("play", value)),
    choice("loop", Object.entries(LOOPS), "At the end: start over, turn round, or stop", signal, (value) => onSetting("loop", value)),
    choice("speed", SPEEDS.map((speed) => [speed, `${speed}×`]), "Playback speed", signal, (value) => onSetting("speed", Number(value))),
    choice("compare", Object.entries(COMPARES), "Compare: the splats (A), the grid's cell (B), or both with a wipe line to drag (W, B)", signal, (value) => onSetting("compare", value)),
  ];
  const compare = choices.at(-1);
  const view = choice("view", [], "Snap to the camera of a view (Page Up, Page Down; R: the nearest)", signal, (value) => value !== "" && onView(Number(value)));
  const action = (name, title, onClick) => {
    const made = button(name, title, signal, onClick);
    made.dataset.action = name;
    return made;
  };
  const nearest = action("nearestView", "Snap to the nearest view (R, double-click)", () => onView(null));
  const cameras = button("cameras", "Cameras of the views, in the scene and on a map from above; click one to go there (C)", signal, () => onSetting("cameras"));
  cameras.dataset.setting = "cameras";
  const saveFrame = action("saveFrame", "Save frame: download this picture as PNG. Right-click the picture to copy it", onSaveFrame);
  const full = action("fullscreen", "Full screen (F)", onFullscreen);
  const where = document.createElement("output");
  element.append(play.element, slider, ...choices.slice(0, 3), view, nearest, compare, cameras, saveFrame, full, where);

  const show = ({ settings, playing, text, time, view: shownView, times, views, has, busy }) => {
    play.show(playing);
    for (const each of choices) each.value = String(settings[each.dataset.setting]);
    slider.max = String(times - 1);
    slider.value = String(time);
    slider.disabled = times === 1;
    showViews(view, views, shownView);
    cameras.setAttribute("aria-pressed", String(settings.cameras));
    compare.hidden = !has.cells;
    saveFrame.disabled = !has.splats || busy;
    if (where.textContent !== text) where.textContent = text;
  };
  return { element, show };
}

function timeSlider(signal, onTime) {
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: "0", max: "0", step: "any", value: "0", title: "Time" });
  slider.setAttribute("aria-label", "Time");
  slider.dataset.setting = "time";
  slider.addEventListener("input", () => onTime(Number(slider.value)), { signal });
  return slider;
}

/** One option per view, and one for a camera that stands at none. */
function showViews(select, views, shown) {
  if (select.options.length !== views + 1) {
    select.replaceChildren(new Option("free", ""), ...Array.from({ length: views }, (_, view) => new Option(`view ${view + 1}`, String(view))));
  }
  select.value = shown === null ? "" : String(shown);
}
