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

/** Whether the reader allows animations. */
export const allowsMotion = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;
