/** Buttons that copy. */

import { setText } from "./dom.js";

/**
 * Makes a button copy the text of an element and confirm it.
 *
 * @param {HTMLElement} button
 * @param {HTMLElement} source
 * @param {{copied: string, byHand: string}} [texts] what the button says then; `byHand` where there is no clipboard
 */
export function copyOnClick(button, source, { copied, byHand } = { copied: "Copied", byHand: "Ctrl-C" }) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent ?? "");
      setText(button, copied);
    } catch {
      getSelection()?.selectAllChildren(source); // no clipboard without https: select the text instead
      setText(button, byHand);
    }
    setTimeout(() => setText(button, label ?? ""), 2000);
  });
}
