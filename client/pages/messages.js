/** Texts of the page in its language, which the service has chosen: what scripts say comes from a module beside them. */

import texts from "./texts.js";

/** A text with {placeholders}, or one for each plural that the language has. @typedef {string | Partial<Record<Intl.LDMLPluralRule, string>>} Text */

const { lang } = document.documentElement;

/** The language, with the reader's region where the browser names one: numbers and times are written as there. */
export const locale = navigator.languages.find((tag) => tag.split("-")[0] === lang) ?? lang;

const plural = new Intl.PluralRules(locale);
const whole = new Intl.NumberFormat(locale);

/**
 * Makes the function that says the texts of a catalogue. Numbers among the values are formatted, and `n` chooses the plural.
 *
 * @template {string} Key
 * @param {Record<Key, Text>} catalogue
 */
export function speaker(catalogue) {
  return (/** @type {Key} */ key, /** @type {Record<string, string | number>} */ values = {}) => {
    const text = catalogue[key];
    const form = typeof text === "string" ? text : (text[plural.select(Number(values.n))] ?? text.other ?? "");
    return form.replace(/\{(\w+)\}/g, (all, name) => {
      const value = values[name];
      return typeof value === "number" ? whole.format(value) : (value ?? all);
    });
  };
}

export const say = speaker(texts);

/** What a button says after it was pressed to copy. */
export const copyTexts = () => ({ copied: say("copied"), byHand: say("copyByHand") });
