/** Where a place is on the map, which was projected at build time. */

// The same numbers as in client/world.mjs; the Natural Earth projection (Šavrič, Patterson, Jenny 2011).
const SCALE = 182.8;
const CENTRE = [500, 257];
export const MAP_WIDTH = 1000;
export const MAP_HEIGHT = 440;

/**
 * Projects coordinates onto the map.
 *
 * @param {number} latitude degrees
 * @param {number} longitude degrees
 * @returns {[number, number]}
 */
export function project(latitude, longitude) {
  const phi = (latitude * Math.PI) / 180;
  const lambda = (longitude * Math.PI) / 180;
  const p2 = phi ** 2;
  const p4 = p2 ** 2;
  const x = lambda * (0.8707 - 0.131979 * p2 + p4 * (-0.013791 + p4 * (0.003971 * p2 - 0.001529 * p4)));
  const y = phi * (1.007226 + p2 * (0.015085 + p4 * (-0.044475 + 0.028874 * p2 - 0.005916 * p4)));
  return [CENTRE[0] + SCALE * x, CENTRE[1] - SCALE * y];
}
