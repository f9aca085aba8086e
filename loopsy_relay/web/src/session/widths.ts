// Characters are as wide here as on the host, or all that follows would stand in other columns.
//
// The host's emulator gives each code point its own width; joined emoji take the columns of their
// parts. Its tables are newer than those of xterm's own addons.

import type { IUnicodeVersionProvider } from "@xterm/xterm";
import { WIDTHS } from "./width_table";

/** The first character in the table; those before it are ASCII or controls. */
const FIRST = 0xa0;
const WIDTH = { N: 0, S: 1, D: 2 } as const;

type Width = 0 | 1 | 2;

/** Where each run of characters of one width begins, and that width. */
const runs: { readonly start: number; readonly width: Width }[] = [];
let next = FIRST;
for (const [, letter, count] of WIDTHS.matchAll(/([NSD])([0-9a-z]+)/g)) {
  runs.push({ start: next, width: WIDTH[letter as keyof typeof WIDTH] });
  next += Number.parseInt(count as string, 36);
}
runs.push({ start: next, width: 1 });

/** How many columns a character takes. */
export function widthOf(codepoint: number): Width {
  if (codepoint < FIRST) return codepoint < 0x20 || codepoint >= 0x7f ? 0 : 1;
  let low = 0;
  let high = runs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((runs[middle]?.start ?? 0) <= codepoint) low = middle;
    else high = middle - 1;
  }
  return runs[low]?.width ?? 1;
}

export const HOST_WIDTHS: IUnicodeVersionProvider = {
  version: "host",
  wcwidth: widthOf,
  // What xterm packs into a number: the width from bit 1 on, and whether it joins the one before.
  charProperties: (codepoint, preceding) => {
    const width = widthOf(codepoint);
    const before = (preceding >> 1) & 3;
    const joins = width === 0 && before > 0;
    return ((joins ? before : width) << 1) | (joins ? 1 : 0);
  },
};
