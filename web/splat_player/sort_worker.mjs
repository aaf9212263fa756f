// Sorts the Gaussians of one scene beside the page. First message: the scene {positions, near, shares, count, moving}; then {row, nodes, order, ticket} for each order that
// is wanted, answered by {order, nodes, drawn, nearest, ticket}. `order` and `nodes` go back and forth, so that nothing is allocated.

import { DepthOrder } from "./depth_order.mjs";

let sorter = null;

self.addEventListener("message", ({ data }) => {
  if (data.positions) {
    sorter = new DepthOrder(data, data.count, data.moving);
    return;
  }
  const { row, nodes, order, ticket } = data;
  const { drawn, nearest } = sorter.sort(row, nodes, order);
  self.postMessage({ order, nodes, drawn, nearest, ticket }, [order.buffer, nodes.buffer]);
});
