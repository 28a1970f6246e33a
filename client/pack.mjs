/**
 * Makes dist/, which is what the npm package has in it: the modules with their types, and in script/
 * the files of the script tag as the service serves them, for pages that host them themselves.
 */

import { execFileSync } from "node:child_process";
import { copyFile, mkdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { FILES } from "./build.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

await rm(here("dist"), { recursive: true, force: true }); // modules that have gone would be packed
execFileSync("node", [here("node_modules/typescript/bin/tsc"), "-p", here("tsconfig.package.json")], {
  stdio: "inherit",
});
await mkdir(here("dist/script"));
for (const { name } of FILES) {
  if (name == "presence-client.js") continue; // the same as one module, of which dist/ is the original
  await copyFile(here(`../service/web/static/${name}`), here(`dist/script/${name}`));
}
