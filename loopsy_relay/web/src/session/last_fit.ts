// The size of terminal that last fitted this screen: a good first guess for the next session.

import type { Size } from "../wire/operations";

/** What everybody expects of a terminal about which nothing is known. */
export const USUAL_SIZE: Size = Object.freeze({ cols: 80, rows: 24 });

let last: Size = USUAL_SIZE;

export function lastFit(): Size {
  return last;
}

export function rememberFit(size: Size): void {
  last = size;
}
