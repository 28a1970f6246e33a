/** The wallboard: its panels take turns, and what needs a hand is only there while there is one. */

import { byId, element } from "./dom.js";
import { say } from "./messages.js";

const TURN_MS = 15_000;
const HAND_MS = 4_000; // after which a pointer or key that is not used is taken for left
const PANELS = ["pages", "chart", "feed", "places"];

/** Begins to show one panel after the other. While somebody points, types or has paused it, it waits. */
export function createWall() {
  const root = document.documentElement;
  const dashboard = byId("dashboard");
  const note = element("p", "turn-note muted");
  note.setAttribute("role", "status");
  document.body.append(note);
  byId("map").inert = true;
  let isPaused = false;
  let timer = 0;

  /** Those that have something to say. */
  const panels = () => PANELS.filter((name) => !dashboard.querySelector(`.${name}`)?.matches("[data-short], :has(#feed:empty)"));

  /** @param {number} step */
  const turn = (step) => {
    const shown = panels();
    const at = shown.indexOf(dashboard.dataset.turn ?? "pages");
    dashboard.dataset.turn = shown[(at + step + shown.length) % shown.length];
  };

  const handIsThere = () => {
    root.toggleAttribute("data-hand", true);
    clearTimeout(timer);
    timer = setTimeout(() => root.toggleAttribute("data-hand", false), HAND_MS);
  };

  addEventListener("pointermove", handIsThere);
  addEventListener("keydown", ({ key, target }) => {
    handIsThere();
    if (target instanceof HTMLInputElement) return;
    if (key === "ArrowRight") turn(1);
    else if (key === "ArrowLeft") turn(-1);
    else if (key === " ") {
      isPaused = !isPaused;
      note.textContent = isPaused ? say("paused") : "";
    }
  });
  turn(0);
  setInterval(() => {
    if (!isPaused && !root.hasAttribute("data-hand")) turn(1);
  }, TURN_MS);
}
