// The widths of characters that programs print every day, and at the edges of the table.

import { expect, test } from "vitest";
import { HOST_WIDTHS, widthOf } from "./widths";

test("letters take one column, wide ones two, marks none", () => {
  const widths = (text: string): number[] => Array.from(text, (letter) => widthOf(letter.codePointAt(0)!));
  expect(widths("a é─•…")).toEqual([1, 1, 1, 1, 1, 1]);
  expect(widths("日한😀🫠🪿")).toEqual([2, 2, 2, 2, 2]);
  expect(widths("\u0301\u200d\ufe0f")).toEqual([0, 0, 0]);
  expect(widths("\x00\x1f\x7f\x9f\xa0")).toEqual([0, 0, 0, 0, 1]);
  expect(widthOf(0x10ffff)).toBe(1);
});

test("a mark joins the letter before it, and has nothing to join where there is none", () => {
  const letter = HOST_WIDTHS.charProperties("日".codePointAt(0)!, 0);
  expect(letter).toBe(2 << 1);
  expect(HOST_WIDTHS.charProperties(0x301, letter)).toBe((2 << 1) | 1);
  expect(HOST_WIDTHS.charProperties(0x301, 0)).toBe(0);
});
