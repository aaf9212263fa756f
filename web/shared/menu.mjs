// A menu at a place on the screen. It lies above everything, also in full screen, and goes by itself when something else is pressed.

/**
 * Open a menu in `owner`, an element that gets the focus back. items: [{label, key, run, disabled}] or null for a line between them.
 */
export function openMenu(owner, { x, y }, items) {
  const menu = document.createElement("div");
  menu.className = "fourreal-menu";
  menu.popover = "auto";
  menu.setAttribute("role", "menu");
  menu.append(...items.map((item) => (item ? entry(menu, owner, item) : document.createElement("hr"))));
  menu.addEventListener("toggle", ({ newState }) => newState === "closed" && menu.remove());
  menu.addEventListener("keydown", (event) => moveFocus(menu, event));
  for (const name of ["pointerdown", "contextmenu", "wheel"]) menu.addEventListener(name, (event) => event.stopPropagation());
  owner.append(menu);
  menu.showPopover();
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(Math.min(x, window.innerWidth - width - 4), 4)}px`;
  menu.style.top = `${Math.max(Math.min(y, window.innerHeight - height - 4), 4)}px`;
  entries(menu)[0]?.focus({ preventScroll: true });
}

function entry(menu, owner, { label, key, run, disabled }) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", disabled: Boolean(disabled) });
  button.setAttribute("role", "menuitem");
  const [name, hint] = [label, key ?? ""].map((text) => Object.assign(document.createElement("span"), { textContent: text }));
  button.append(name, hint);
  button.addEventListener("click", () => {
    menu.hidePopover();
    owner.focus({ preventScroll: true });
    run();
  });
  return button;
}

const entries = (menu) => [...menu.querySelectorAll("button:enabled")];

/** Arrows move the focus; no key of an open menu is the host's. */
function moveFocus(menu, event) {
  event.stopPropagation();
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = entries(menu);
  all[(all.indexOf(document.activeElement) + step + all.length) % all.length].focus();
}
