// The player's own menu, of the picture that it shows.

import { openMenu } from "../shared/menu.mjs";
import { isMarked, withMark } from "./marks.mjs";

/** Open it at a place on the screen. */
export function openPlayerMenu(player, place) {
  const { cell, marks, settings } = player;
  const marked = isMarked(marks, cell);
  openMenu(player.element, place, [
    { label: "Save frame (PNG)", run: () => player.saving.saveFrame() },
    { label: "Copy frame", run: () => player.saving.copyFrame() },
    { label: "Save video (MP4)", run: () => player.saving.saveVideo() },
    null,
    { label: "Set in point", key: "I", run: () => player.setPoint("in") },
    { label: "Set out point", key: "O", run: () => player.setPoint("out") },
    { label: "Clear in and out", key: "Alt+X", run: () => player.clearPoints(), disabled: !player.limited },
    null,
    { label: player.enlarged ? "Fit" : "Zoom in", key: "Z", run: () => player.toggleZoom() },
    { label: marked ? "Unmark this cell" : "Mark this cell", key: "M", run: () => player.setMarks(withMark(marks, cell, !marked)) },
    { label: "Mark worst cells", key: "D", run: () => player.markWorst(), disabled: player.doubtful.length === 0 },
    { label: settings.strips ? "Hide strips" : "Show strips", key: "S", run: () => player.set("strips") },
  ]);
}
