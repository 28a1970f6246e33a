/** DOM helpers. Data becomes text nodes, never markup. */

/**
 * Returns an element of the page's HTML; throws if it is missing.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return /** @type {T} */ (found);
}

/**
 * Creates an element with a class and children; strings become text nodes.
 *
 * @param {string} name
 * @param {string} className
 * @param {...(Node | string)} children
 */
export function element(name, className = "", ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/**
 * Sets the text of a node if it differs, to avoid needless layout.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Closes a panel by its button, and by a click beside it: only what is outside of its box is the dialog itself.
 *
 * @param {HTMLDialogElement} dialog
 * @param {HTMLElement} button
 */
export function closable(dialog, button) {
  button.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", ({ target, clientX: x, clientY: y }) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    if (target === dialog && (x < left || x > right || y < top || y > bottom)) dialog.close();
  });
}

/** Whether the reader allows animations. */
export const allowsMotion = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;
