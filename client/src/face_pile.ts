/** The people who are here, as faces: `<FacePile path="/docs/x" />`. */

import { createElement, useEffect, useState, type CSSProperties, type ReactElement } from "react";
import {
  DEFAULT_MAX,
  FOCUS_STYLE,
  LIST_STYLE,
  PICTURE_STYLE,
  TEXT_EVERY_MS,
  TIP_STYLE,
  facesOf,
  keepInView,
  labelOf,
  type Face,
} from "./faces.js";
import type { UsersOptions } from "./live_state.js";
import { useUsers } from "./react.js";

export interface FacePileProps extends UsersOptions {
  /** How many circles at most, with the "+12"; default: 5. */
  readonly max?: number;
  /** What a screen reader calls the list; default: "3 people here now". */
  readonly label?: string;
  readonly className?: string;
}

const FaceItem = ({ face }: { readonly face: Face }): ReactElement => {
  const [isFocused, setFocused] = useState(false);
  const [failed, setFailed] = useState<string | null>(null);
  const hasPicture = face.avatar != null && face.avatar != failed;
  return createElement(
    "li",
    {
      tabIndex: 0,
      title: face.title,
      style: { ...face.style, ...(isFocused && FOCUS_STYLE) } as CSSProperties,
      onFocus: () => setFocused(true),
      onBlur: () => setFocused(false),
    },
    createElement("span", { role: "img", "aria-label": face.title }, face.text),
    hasPicture &&
      createElement("img", {
        src: face.avatar!,
        alt: "",
        decoding: "async",
        referrerPolicy: "no-referrer",
        style: PICTURE_STYLE as CSSProperties,
        onError: () => setFailed(face.avatar),
      }),
    isFocused &&
      createElement(
        "span",
        { ref: keepInView, "aria-hidden": true, style: TIP_STYLE as CSSProperties },
        face.title,
      ),
  );
};

export const FacePile = ({
  max = DEFAULT_MAX,
  label,
  className,
  ...options
}: FacePileProps): ReactElement => {
  const users = useUsers(options);
  const [shown, setShown] = useState({ asOf: 0, at: 0, now: 0 });
  const asOf = users.asOf ?? 0;
  useEffect(() => {
    const at = Date.now();
    setShown({ asOf, at, now: at });
    const timer = setInterval(() => setShown({ asOf, at, now: Date.now() }), TEXT_EVERY_MS);
    return () => clearInterval(timer);
  }, [asOf]);
  const age = shown.asOf == asOf ? shown.now - shown.at : 0;
  const faces = users.state == "connecting" ? [] : facesOf(users, max, age);
  return createElement(
    "ul",
    {
      role: "list", // Safari drops it for lists without bullets
      "aria-label": label ?? labelOf(users.total ?? 0),
      className,
      style: LIST_STYLE as CSSProperties,
    },
    faces.map((face) => createElement(FaceItem, { key: face.key, face })),
  );
};
