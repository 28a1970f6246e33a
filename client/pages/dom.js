/** The few things this page does to the document. Data becomes text nodes only, never markup. */

/**
 * An element that the page's HTML has.
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
 * A new element with a class and children; texts become text nodes.
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
 * Sets a text, where it is another one: nothing is laid out anew for nothing.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Whether things may move. */
export const allowsMotion = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * Makes a button copy the text of an element, and say so.
 *
 * @param {HTMLElement} button
 * @param {HTMLElement} source
 */
export function copyOnClick(button, source) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent ?? "");
      setText(button, "Copied");
    } catch {
      getSelection()?.selectAllChildren(source); // no clipboard without https: one keystroke left
      setText(button, "Ctrl-C");
    }
    setTimeout(() => setText(button, label ?? ""), 2000);
  });
}
