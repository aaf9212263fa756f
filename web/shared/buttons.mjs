// Buttons and choices of a toolbar.

import { icon } from "./icons.mjs";

export function button(name, title, signal, onClick) {
  const element = document.createElement("button");
  element.type = "button";
  element.title = title;
  element.setAttribute("aria-label", title);
  element.append(icon(name));
  element.addEventListener("click", onClick, { signal });
  return element;
}

/** {element, show(playing)}: the button that plays and pauses. */
export function playButton(signal, onClick) {
  const element = button("play", "Play or pause (space)", signal, onClick);
  element.dataset.action = "play";
  const show = (playing) => {
    if (element.dataset.playing === String(playing)) return;
    element.dataset.playing = String(playing);
    element.replaceChildren(icon(playing ? "pause" : "play"));
  };
  return { element, show };
}

export function choice(name, options, title, signal, onChange) {
  const element = document.createElement("select");
  element.title = title;
  element.setAttribute("aria-label", title);
  for (const [value, label] of options) element.append(new Option(label, value));
  element.dataset.setting = name;
  element.addEventListener("change", () => onChange(element.value), { signal });
  return element;
}
