/** A GET of the service: what it answers, or something falsy. */
export const fetchJson = (url: string) =>
  fetch(url, { credentials: "omit", referrer: "" })
    .then((answer) => answer.ok && answer.json())
    .catch(() => {});
