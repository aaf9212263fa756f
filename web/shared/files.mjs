// Files that leave the page: downloads and the clipboard.

/** Have the browser download a file. */
export function download(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Put a picture on the clipboard. `picture`: a promise of a PNG, since browsers want to be asked while the user's click is fresh. */
export async function copyPicture(picture) {
  if (!navigator.clipboard?.write) throw new Error("The browser copies pictures on https or localhost only: save the frame instead.");
  await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
}
