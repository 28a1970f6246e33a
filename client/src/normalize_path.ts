/** One name for all spellings of a page. */

/** Decodes one character; what is not UTF-8 stays escaped, and what would be part of the syntax. */
const decode = (escapes: string): string => {
  try {
    return decodeURIComponent(escapes).replace(/[/%?#]/, encodeURIComponent);
  } catch {
    return decode(escapes.slice(0, -3)) + escapes.slice(-3).toUpperCase();
  }
};

/** A path as the service stores it: tests/paths.json says which is which. */
export const normalizePath = (path: string): string => {
  const cleaned = path
    .replace(/(.)\/*([?#][^]*)?$/, "$1")
    .replace(/%[\da-f]{2}(%[89ab][\da-f]){0,3}/gi, decode);
  return path == cleaned ? path.normalize() : normalizePath(cleaned); // `%%34%31` is `%41` is `A`
};
