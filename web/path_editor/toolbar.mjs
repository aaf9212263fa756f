// The path editor's two bars: the video as a whole, and the chosen point with the way from it. What they do is the editor's business.

import { button, choice, playButton } from "../shared/buttons.mjs";
import { insert } from "./controls.mjs";
import { PRESET_NAMES } from "./presets.mjs";

const LOOPS = [["no", "no loop"], ["round", "loop"], ["back", "ping-pong"]];
const BETWEENS = [["blend", "blend cells"], ["nearest", "nearest cell"], ["once", "each cell once"]];
const EASES = [["linear", "linear"], ["in", "ease in"], ["out", "ease out"], ["in-out", "ease in and out"]];
const HINT = "Click to add a point, drag to move it, drag the line to insert one. Right-click removes a point. Pencil: draw freehand.";

function group(...parts) {
  const element = document.createElement("span");
  element.className = "fourreal-path-group";
  element.append(...parts);
  return element;
}

/** A number with its name; `first` is what 0 is shown as. onChange(text) is called when it was typed, and onLeave() when it is left. */
function field({ name, label, title, step, first = 0 }, signal, onChange, onLeave) {
  const element = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "number", step, title });
  Object.assign(input.dataset, { number: name, first });
  input.addEventListener("change", () => onChange(input.value && String(Number(input.value) - first)), { signal });
  input.addEventListener("blur", onLeave, { signal });
  element.append(label, input);
  return { element, input };
}

function numberOf(editor, signal, described, ofPoint) {
  return field(described, signal, (text) => editor.setNumber(described.name, text, ofPoint), () => editor.drawSoon());
}

function bar(name) {
  const element = document.createElement("div");
  element.className = `fourreal-view-bar ${name}`;
  return element;
}

/** {elements, show(state)}: both bars, and a function that brings them up to date with {path, selected, playing, drawing, hasGrid, text}. */
export function makeToolbar(editor, signal) {
  const video = makeVideoBar(editor, signal);
  const point = makePointBar(editor, signal);
  return {
    elements: [video.element, point.element],
    show: (state) => {
      video.show(state);
      point.show(state);
    },
  };
}

function makeVideoBar(editor, signal) {
  const element = bar("fourreal-path-video");
  const play = playButton(signal, () => editor.togglePlay());
  const pencil = button("pencil", "Draw a new path freehand (D)", signal, () => editor.setDrawing(!editor.drawing));
  const presets = choice("preset", [["", "preset …"], ...PRESET_NAMES.map((name) => [name, name])], "Replace the path with a preset", signal, (name) => name && editor.preset(name));
  const number = (name, label, title, step) => numberOf(editor, signal, { name, label, title, step }, false);
  const frames = number("frames", "frames", "Length of the video in frames", 1);
  const fps = number("fps", "fps", "Frame rate in frames per second", "any");
  const views = number("views", "views", "Number of views, until a grid is connected and has run", 1);
  const times = number("times", "times", "Number of times, until a grid is connected and has run", 1);
  const choices = [
    choice("loop", LOOPS, "At the end: stop, return to the first point, or play the same path backwards (L)", signal, (value) => editor.setChoice("loop", value)),
    choice("between", BETWEENS, "Frames between cells: blend the neighbours, use the nearest cell, or output each cell on the path once, for frame interpolation", signal, (value) => editor.setChoice("between", value)),
  ];
  const plane = group(views.element, times.element);
  const where = document.createElement("output");
  pencil.dataset.action = "pencil";
  element.append(play.element, presets, pencil, frames.element, fps.element, ...choices, plane, where);
  const show = ({ path, playing, drawing, hasGrid, text }) => {
    play.show(playing);
    play.element.disabled = !path;
    pencil.setAttribute("aria-pressed", String(drawing));
    pencil.disabled = !path;
    presets.value = "";
    plane.hidden = hasGrid;
    showNumbers([frames, fps, views, times], path);
    for (const each of choices) showChoice(each, path);
    frames.input.disabled ||= path?.between === "once";
    if (where.textContent !== text) where.textContent = text;
  };
  return { element, show };
}

function makePointBar(editor, signal) {
  const element = bar("fourreal-path-point");
  const number = (name, label, title, step, first = 0) => numberOf(editor, signal, { name, label, title, step, first }, true);
  const fields = [
    number("view", "view", "View of this point, counted from 1", "any", 1),
    number("time", "time", "Time of this point, counted from 1", "any", 1),
    number("hold", "hold", "Frames to hold here (H, Shift-H)", 1),
    number("rounding", "rounding", "Corner rounding: 0 is a sharp corner, 1 the widest curve (R)", 0.1),
    number("speed", "speed", "Speed to the next point, relative to the rest of the path", 0.1),
  ];
  const ease = choice("ease", EASES, "Easing to the next point (E)", signal, (value) => editor.setChoice("ease", value));
  const name = document.createElement("strong");
  const add = button("plus", "Insert a point after this one (Insert)", signal, () => insert(editor));
  const remove = button("clear", "Remove this point (Delete)", signal, () => editor.remove());
  add.dataset.action = "insert";
  remove.dataset.action = "remove";
  const settings = group(name, add, remove, ...fields.map(({ element: each }) => each), ease);
  const hint = document.createElement("span");
  hint.className = "fourreal-path-hint";
  hint.textContent = HINT;
  element.append(settings, hint);
  const show = ({ path, selected }) => {
    const point = path?.points[selected];
    settings.hidden = !point;
    hint.hidden = Boolean(point);
    if (!point) return;
    const title = `Point ${selected + 1} of ${path.points.length}`;
    if (name.textContent !== title) name.textContent = title;
    showNumbers(fields, point);
    showChoice(ease, point);
    remove.disabled = path.points.length === 1;
    const last = selected === path.points.length - 1 && path.loop !== "round";
    fields.at(-1).input.disabled = ease.disabled = last;
  };
  return { element, show };
}

/** A number that someone is typing stays as it is. */
function showNumbers(fields, values) {
  for (const { input } of fields) {
    input.disabled = !values;
    const text = values ? String(Number((values[input.dataset.number] + Number(input.dataset.first)).toFixed(3))) : "";
    if (document.activeElement !== input && input.value !== text) input.value = text;
  }
}

function showChoice(element, values) {
  element.disabled = !values;
  if (values) element.value = values[element.dataset.setting];
}
