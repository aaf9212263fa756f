// What a player shows as files: one cell as PNG, what plays as MP4. The server makes them from the grid itself (host/player_routes.py).

const FRAME = "/fourreal/player/frame";
const VIDEO = "/fourreal/player/video";

/** One cell as a Blob, at the cell's own size. `request`: the host's fetchApi. Throws an Error that says what is wrong. */
export function frameFile(request, grid, { view, time }) {
  return received(request(`${FRAME}?${new URLSearchParams({ id: grid.id, view, time })}`));
}

/** Cells one after the other as a Blob. */
export function videoFile(request, grid, cells, fps) {
  const body = JSON.stringify({ id: grid.id, cells: cells.map(({ view, time }) => [view, time]), fps });
  return received(request(VIDEO, { method: "POST", headers: { "Content-Type": "application/json" }, body }));
}

async function received(request) {
  const answer = await request;
  if (!answer.ok) throw new Error((await answer.text()) || `the server answered ${answer.status}`);
  return answer.blob();
}

/** Names of the files; views and times are counted from 1. */
export function frameName(letter, { view, time }) {
  return `4real${letter}_view${view + 1}_time${time + 1}.png`;
}

export function videoName(letter, cells) {
  const [first, last] = [cells[0], cells.reduce((far, cell) => (distance(cells[0], cell) > distance(cells[0], far) ? cell : far))];
  const span = (axis) => (first[axis] === last[axis] ? first[axis] + 1 : `${first[axis] + 1}-${last[axis] + 1}`);
  return `4real${letter}_view${span("view")}_time${span("time")}.mp4`;
}

const distance = (a, b) => Math.abs(a.view - b.view) + Math.abs(a.time - b.time);
