// What keys of the key bar send, and what sticky Ctrl and Alt make of the next thing typed.

/** A modifier of the key bar: off, for the next key, or until it is tapped again. */
export type Sticky = "off" | "once" | "locked";

export interface Modifiers {
  readonly ctrl: Sticky;
  readonly alt: Sticky;
}

export const NO_MODIFIERS: Modifiers = Object.freeze({ ctrl: "off", alt: "off" });

export type BarKey = "Esc" | "Tab" | "Up" | "Down" | "Left" | "Right" | "^C" | "|" | "/" | "~" | "-";

const ARROWS = { Up: "A", Down: "B", Right: "C", Left: "D" } as const;

/** What a tap on a modifier makes of it: once, locked, off. */
export function tapped(sticky: Sticky): Sticky {
  return sticky === "off" ? "once" : sticky === "once" ? "locked" : "off";
}

/** The modifiers after something was typed with them. */
export function released({ ctrl, alt }: Modifiers): Modifiers {
  const next = (sticky: Sticky): Sticky => (sticky === "once" ? "off" : sticky);
  return { ctrl: next(ctrl), alt: next(alt) };
}

/** What a key of the bar sends. `applicationCursor` is the terminal's mode (DECCKM). */
export function barKey(key: BarKey, modifiers: Modifiers, applicationCursor: boolean): string {
  if (key in ARROWS) {
    const letter = ARROWS[key as keyof typeof ARROWS];
    const held = modifierNumber(modifiers);
    if (held > 1) return `\x1b[1;${held}${letter}`;
    return applicationCursor ? `\x1bO${letter}` : `\x1b[${letter}`;
  }
  switch (key) {
    case "Esc":
      return modify("\x1b", { ctrl: "off", alt: modifiers.alt });
    case "Tab":
      return modify("\t", { ctrl: "off", alt: modifiers.alt });
    case "^C":
      return "\x03";
    default:
      return modify(key, modifiers);
  }
}

/** `typed` with the sticky modifiers laid over it. Whatever is no single key is left as it is. */
export function modify(typed: string, modifiers: Modifiers): string {
  const arrow = /^\x1b[[O]([A-D])$/.exec(typed);
  const held = modifierNumber(modifiers);
  if (arrow && held > 1) return `\x1b[1;${held}${arrow[1]}`;
  if (Array.from(typed).length !== 1) return typed;
  const key = modifiers.ctrl === "off" ? typed : control(typed);
  return modifiers.alt === "off" ? key : `\x1b${key}`;
}

/** The control character of a key, as terminals have had it since the VT100. */
function control(key: string): string {
  if (key === " ") return "\x00";
  if (key === "?" || key === "8") return "\x7f";
  if (key === "/" || key === "-") return "\x1f"; // both are on the key bar; emacs undoes with it
  const code = key.toUpperCase().charCodeAt(0);
  return code >= 0x40 && code <= 0x5f ? String.fromCharCode(code & 0x1f) : key;
}

/** xterm's number for held modifiers: 1 for none, +2 Alt, +4 Ctrl. */
function modifierNumber({ ctrl, alt }: Modifiers): number {
  return 1 + (alt === "off" ? 0 : 2) + (ctrl === "off" ? 0 : 4);
}
