/**
 * How faces look and what they say, for the React component and the element alike.
 *
 * Styles are set as properties: they need no style sheet, no `unsafe-inline`, and no change when the
 * page is light or dark (system colors follow its `color-scheme`). Every face has its size before
 * its picture is there.
 */

import type { LiveUsers, User } from "./live_users.js";

type Style = Readonly<Record<string, string>>;

const SIZE_PX = 32;
export const DEFAULT_MAX = 5;
/** With the ring of the next face, as much as two wide letters leave. */
const OVERLAP_PX = 2;
/** How often "2 min ago" is renewed. */
export const TEXT_EVERY_MS = 30_000;

export const LIST_STYLE: Style = {
  display: "inline-flex",
  flexDirection: "row",
  alignItems: "center",
  margin: "0",
  padding: "0",
  minHeight: `${SIZE_PX}px`,
  listStyle: "none",
  verticalAlign: "middle",
};

const FACE_STYLE: Style = {
  position: "relative",
  flex: "none",
  boxSizing: "border-box",
  width: `${SIZE_PX}px`,
  height: `${SIZE_PX}px`,
  margin: "0",
  borderRadius: "50%",
  boxShadow: "0 0 0 2px var(--presence-ring, Canvas)",
  font: "600 11px/32px system-ui, sans-serif",
  textAlign: "center",
  userSelect: "none",
};

const OVERLAP_STYLE: Style = { marginInlineStart: `-${OVERLAP_PX}px` };

const MORE_STYLE: Style = {
  background: "color-mix(in srgb, CanvasText 14%, Canvas)",
  color: "CanvasText",
};

/** "+123" and "999+". */
const LONG_STYLE: Style = { font: "600 9px/32px system-ui, sans-serif" };

export const PICTURE_STYLE: Style = {
  position: "absolute",
  inset: "0",
  width: "100%",
  height: "100%",
  borderRadius: "50%",
  objectFit: "cover",
};

/** What a focused face says to those who see; outside the flow, so that nothing moves. */
export const TIP_STYLE: Style = {
  position: "absolute",
  insetBlockStart: "calc(100% + 6px)",
  insetInlineStart: "0",
  zIndex: "1",
  boxSizing: "border-box",
  maxWidth: "90vw",
  overflow: "hidden",
  textOverflow: "ellipsis",
  padding: "2px 8px",
  borderRadius: "4px",
  background: "CanvasText",
  color: "Canvas",
  font: "12px/20px system-ui, sans-serif",
  whiteSpace: "nowrap",
  pointerEvents: "none",
};

/** Moves a tip that would leave the window, or make it scroll, back into it. */
export const keepInView = (tip: HTMLElement | null): void => {
  if (!tip) return;
  const { left, right } = tip.getBoundingClientRect();
  const shift = left < 0 ? -left : Math.min(document.documentElement.clientWidth - right, 0);
  if (shift) tip.style.translate = `${shift}px`;
};

/** Highlight, the color for it, is hard to see on a dark page. */
export const FOCUS_STYLE: Style = { outline: "2px solid CanvasText", outlineOffset: "2px", zIndex: "1" };

export interface Face {
  readonly key: string;
  /** "AE", or "+12". */
  readonly text: string;
  /** "Anna Ek, 2 min ago". */
  readonly title: string;
  readonly avatar: string | null;
  readonly style: Style;
}

/** One or two letters: of the first and the last word of the name. */
export const initialsOf = ({ name, userId }: Pick<User, "name" | "userId">): string => {
  const words = (name?.trim() || userId).split(/[\s._@:-]+/).filter(Boolean);
  const ends = words.length > 1 ? [words[0]!, words.at(-1)!] : words;
  return ends.map((word) => [...word][0]!.toUpperCase()).join("") || "?";
};

/** "just now", "2 min ago", "3 h ago", "4 d ago". */
export const agoOf = (ms: number): string => {
  const minutes = Math.floor(ms / 60_000);
  if (!(minutes >= 1)) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  return minutes < 1440 ? `${Math.floor(minutes / 60)} h ago` : `${Math.floor(minutes / 1440)} d ago`;
};

/** A color that is the same everywhere for a user; white text on it has a contrast of 4.5 or more. */
const colorOf = (userId: string): string => {
  let hash = 0;
  for (const letter of userId) hash = (hash * 31 + letter.codePointAt(0)!) % 360;
  return `hsl(${hash} 60% 28%)`;
};

/**
 * At most `max` faces, of which the last is "+12" where there are more people. `age` is for how long
 * the list has been known, in ms: the service's clock is not the visitor's.
 */
export const facesOf = ({ users, total, asOf }: LiveUsers, max: number, age: number): Face[] => {
  const isAll = total <= max && total <= users.length;
  const shown = users.slice(0, isAll ? max : Math.max(max - 1, 0));
  const faces = shown.map((user, index) => ({
    key: user.userId,
    text: initialsOf(user),
    title: `${user.name || user.userId}, ${agoOf(asOf + age - user.since)}`,
    avatar: user.avatar?.startsWith("https:") ? user.avatar : null,
    style: {
      ...FACE_STYLE,
      ...(index > 0 && OVERLAP_STYLE),
      background: colorOf(user.userId),
      color: "#fff",
    },
  }));
  const others = total - shown.length;
  if (others <= 0) return faces;
  // Not the id of anybody: ids have no "+".
  const text = others > 999 ? "999+" : `+${others}`;
  const style = {
    ...FACE_STYLE,
    ...(shown.length > 0 && OVERLAP_STYLE),
    ...MORE_STYLE,
    ...(text.length > 3 && LONG_STYLE),
  };
  return [...faces, { key: "+", text, title: `${others} more`, avatar: null, style }];
};

export const labelOf = (total: number): string =>
  total == 1 ? "1 person here now" : `${total} people here now`;
