// An xterm terminal as this app uses it: sized by the host only, quiet where it should be.

import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { TERMINAL_SIDE, type Size } from "../wire/operations";
import type { Screen } from "./attached";
import { Feed } from "./feed";
import { DARK, LIGHT } from "./palette";
import { preferWebgl } from "./renderer";
import { HOST_WIDTHS } from "./widths";

/** As in tokens.css; a canvas does not know the page's variables. */
const FONT =
  'ui-monospace, "SF Mono", SFMono-Regular, Menlo, "Cascadia Mono", "DejaVu Sans Mono", monospace';

export interface EmulatorOptions {
  readonly scrollback: number;
  readonly fontSize: number;
  readonly dark: boolean;
}

export interface EmulatorEvents {
  /** The user typed, or moved the mouse in a program that follows it. */
  typed(bytes: Uint8Array): void;
  title(title: string): void;
}

const utf8 = new TextEncoder();

export class Emulator implements Screen {
  readonly terminal: Terminal;
  private readonly feed: Feed;
  private readonly leaveRenderer: () => void;
  private gone = false;
  /** Laid over the next thing typed; what the key bar's Ctrl and Alt do. */
  modify: (typed: string) => string = (typed) => typed;

  constructor(
    home: HTMLElement,
    options: EmulatorOptions,
    private readonly events: EmulatorEvents,
  ) {
    this.terminal = new Terminal({
      allowProposedApi: true, // for widths of our own
      cursorBlink: true,
      fontFamily: FONT,
      fontSize: options.fontSize,
      scrollback: options.scrollback,
      theme: options.dark ? DARK : LIGHT,
      minimumContrastRatio: options.dark ? 1 : 4.5,
      linkHandler: { activate: (_, address) => openLink(address) },
    });
    this.feed = new Feed(this.terminal);
    this.terminal.unicode.register(HOST_WIDTHS);
    this.terminal.unicode.activeVersion = HOST_WIDTHS.version;
    this.terminal.loadAddon(new WebLinksAddon((_, address) => openLink(address)));
    this.terminal.open(home);
    this.leaveRenderer = preferWebgl(this.terminal, home);
    this.keepQuiet();
    this.terminal.onData((typed) => events.typed(utf8.encode(this.modify(typed))));
    // Mouse reports of old programs: not text, one byte for each character.
    this.terminal.onBinary((typed) => events.typed(Uint8Array.from(typed, (c) => c.charCodeAt(0))));
    this.terminal.onTitleChange((title) => events.title(title));
  }

  reset(size: Size): void {
    this.feed.restart(() => {
      if (this.gone) return;
      this.terminal.reset();
      this.terminal.resize(size.cols, size.rows);
    });
  }

  resize(size: Size): void {
    this.feed.change(() => {
      if (!this.gone) this.terminal.resize(size.cols, size.rows);
    });
  }

  write(bytes: Uint8Array, done: () => void): void {
    this.feed.write(bytes, done);
  }

  title(title: string): void {
    this.feed.change(() => this.events.title(title));
  }

  apply({ scrollback, fontSize, dark }: EmulatorOptions): void {
    const { options } = this.terminal;
    options.scrollback = scrollback;
    options.fontSize = fontSize;
    options.theme = dark ? DARK : LIGHT;
    options.minimumContrastRatio = dark ? 1 : 4.5;
  }

  /** Width and height of one character in CSS pixels; null before anything was drawn. */
  cell(): { width: number; height: number } | null {
    const drawn = this.terminal.element?.querySelector(".xterm-screen")?.getBoundingClientRect();
    if (!drawn || drawn.width === 0 || drawn.height === 0) return null;
    return { width: drawn.width / this.terminal.cols, height: drawn.height / this.terminal.rows };
  }

  /** The terminal that fits into so many CSS pixels. */
  fitting(width: number, height: number): Size | null {
    const cell = this.cell();
    if (!cell || width <= 0 || height <= 0) return null;
    // Half a hundredth of a pixel: 390 px may come as 389.99 after zooming.
    const count = (space: number, one: number): number =>
      Math.min(TERMINAL_SIDE.max, Math.max(2, Math.floor(space / one + 0.005)));
    return { cols: count(width, cell.width), rows: count(height, cell.height) };
  }

  dispose(): void {
    this.gone = true;
    this.leaveRenderer();
    this.terminal.dispose();
  }

  /**
   * Swallow queries of the program (who are you, where is the cursor, which colours). The host
   * answers them, once for all viewers: an answer of ours would be typed a second time.
   */
  private keepQuiet(): void {
    const { parser } = this.terminal;
    const quiet = (): boolean => true;
    for (const id of [
      { final: "c" },
      { prefix: ">", final: "c" },
      { prefix: "=", final: "c" },
      { final: "n" },
      { prefix: "?", final: "n" },
      { prefix: ">", final: "q" },
      { intermediates: "$", final: "p" },
      { prefix: "?", intermediates: "$", final: "p" },
    ]) {
      parser.registerCsiHandler(id, quiet);
    }
    parser.registerDcsHandler({ intermediates: "$", final: "q" }, quiet);
    for (const colours of [4, 10, 11, 12]) {
      parser.registerOscHandler(colours, (data) => data.includes("?"));
    }
  }
}

/** Open what the program called a link, if it is one to the web. */
function openLink(address: string): void {
  if (/^https?:\/\//i.test(address)) window.open(address, "_blank", "noopener,noreferrer");
}
