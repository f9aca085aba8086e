// Keys as terminals expect them.

import { expect, test } from "vitest";
import { barKey, modify, NO_MODIFIERS, released, tapped, type Modifiers } from "./keys";

const CTRL: Modifiers = { ctrl: "once", alt: "off" };
const ALT: Modifiers = { ctrl: "off", alt: "locked" };
const BOTH: Modifiers = { ctrl: "once", alt: "once" };

test("sticky Ctrl makes control characters of single keys", () => {
  expect(["c", "C", "[", " ", "?", "_"].map((key) => modify(key, CTRL))).toEqual([
    "\x03", "\x03", "\x1b", "\x00", "\x7f", "\x1f",
  ]);
  expect(modify("é", CTRL)).toBe("é");
  expect(modify("pasted text", CTRL)).toBe("pasted text");
});

test("sticky Alt puts an escape in front", () => {
  expect(modify("b", ALT)).toBe("\x1bb");
  expect(modify("c", BOTH)).toBe("\x1b\x03");
  expect(modify("😀", ALT)).toBe("\x1b😀");
});

test("arrows follow the terminal's cursor mode and carry modifiers", () => {
  expect(barKey("Up", NO_MODIFIERS, false)).toBe("\x1b[A");
  expect(barKey("Left", NO_MODIFIERS, true)).toBe("\x1bOD");
  expect(barKey("Right", CTRL, true)).toBe("\x1b[1;5C");
  expect(modify("\x1bOB", BOTH)).toBe("\x1b[1;7B");
});

test("the other keys of the bar send what is on them", () => {
  expect(barKey("Esc", NO_MODIFIERS, false)).toBe("\x1b");
  expect(barKey("Tab", CTRL, false)).toBe("\t");
  expect(barKey("^C", ALT, false)).toBe("\x03");
  expect(barKey("|", NO_MODIFIERS, false)).toBe("|");
  expect(barKey("-", CTRL, false)).toBe("\x1f");
});

test("a modifier holds for one key, or until it is tapped a third time", () => {
  expect(tapped("off")).toBe("once");
  expect(tapped("once")).toBe("locked");
  expect(tapped("locked")).toBe("off");
  expect(released({ ctrl: "once", alt: "locked" })).toEqual({ ctrl: "off", alt: "locked" });
});
