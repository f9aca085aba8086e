// The terminal's content as text: a hook for end-to-end tests and for assistive technology.

import type { Terminal } from "@xterm/xterm";

/**
 * `window.loopsyTerminal` while a terminal is open.
 *
 * `lines()` are the lines of the buffer that is shown (scrollback included), where lines that only
 * wrapped are joined, without blanks at their ends and without empty lines after the last one.
 */
export interface TerminalText {
  lines(): string[];
  readonly cols: number;
  readonly rows: number;
}

declare global {
  interface Window {
    loopsyTerminal?: TerminalText;
  }
}

/** Offer `terminal` as `window.loopsyTerminal`, until the returned function is called. */
export function offerText(terminal: Terminal): () => void {
  const text: TerminalText = Object.freeze({
    lines: () => linesOf(terminal),
    get cols() {
      return terminal.cols;
    },
    get rows() {
      return terminal.rows;
    },
  });
  window.loopsyTerminal = text;
  return () => {
    if (window.loopsyTerminal === text) delete window.loopsyTerminal;
  };
}

function linesOf(terminal: Terminal): string[] {
  const buffer = terminal.buffer.active;
  const lines: string[] = [];
  for (let y = 0; y < buffer.length; y++) {
    const line = buffer.getLine(y);
    if (!line) continue;
    const goesOn = buffer.getLine(y + 1)?.isWrapped ?? false;
    const text = line.translateToString(!goesOn);
    if (line.isWrapped && lines.length > 0) lines[lines.length - 1] += text;
    else lines.push(text);
  }
  const trimmed = lines.map((line) => line.trimEnd());
  while (trimmed.at(-1) === "") trimmed.pop();
  return trimmed;
}
