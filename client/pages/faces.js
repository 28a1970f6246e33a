/** Faces, loaded by sites that know who somebody is. */

export { facesOf } from "../src/faces.js";
