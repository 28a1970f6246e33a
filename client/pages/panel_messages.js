/** The texts of the panels, which are loaded with the first of them, and those of the page. */

import panels from "./texts.panels.js";
import texts from "./texts.js";
import { speaker } from "./messages.js";

export const say = speaker({ ...texts, ...panels });
