/** The texts of the start page's script. */

import start from "./texts.start.js";
import { speaker } from "./messages.js";

export const say = speaker(start);
