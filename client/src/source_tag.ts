/** What presence-source.js adds to the script tag: each heartbeat goes through it. */

import { options } from "./script_tag.js";
import { tellSource } from "./source.js";

export const sendHeartbeat = tellSource((...request) => fetch(...request), options.source);
