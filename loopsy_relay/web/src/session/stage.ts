// A session on a piece of the page: emulator, viewing, fingers and the fitting size put together.

import type { Machine } from "../link/machine";
import { Watched } from "../watched";
import type { Size } from "../wire/operations";
import { Emulator, type EmulatorOptions } from "./emulator";
import { barKey, modify, NO_MODIFIERS, released, type BarKey, type Modifiers } from "./keys";
import { lastFit, rememberFit } from "./last_fit";
import { offerText } from "./lines";
import { followTouch } from "./touch";
import { Viewing } from "./viewing";

/** Layouts change in bursts (a keyboard slides in); a program is resized once for each. */
const SETTLE = 100;
const utf8 = new TextEncoder();

export class Stage {
  readonly title = new Watched("");
  readonly modifiers = new Watched<Modifiers>(NO_MODIFIERS);
  readonly viewing: Viewing;
  private readonly emulator: Emulator;
  private readonly endings: (() => void)[] = [];
  private settling: ReturnType<typeof setTimeout> | undefined;

  /** Show `session` in `frame`, which scrolls if the terminal is larger than it is. */
  constructor(
    machine: Machine,
    session: string,
    private readonly frame: HTMLElement,
    options: EmulatorOptions,
  ) {
    const home = document.createElement("div");
    home.className = "terminal-home";
    frame.replaceChildren(home);
    this.emulator = new Emulator(home, options, {
      typed: (bytes) => this.type(bytes),
      title: (title) => this.title.set(title),
    });
    this.emulator.modify = (typed) => this.withModifiers(typed);
    const { terminal } = this.emulator;
    this.viewing = new Viewing(machine, session, this.emulator, this.fit() ?? lastFit());

    const layout = new ResizeObserver(() => this.settle());
    layout.observe(frame);
    // A terminal of another size, or a larger font, changes what fits as well.
    const size = terminal.onResize(() => this.settle());
    const focus = (): void => this.settle();
    frame.addEventListener("focusin", focus);
    this.endings.push(
      () => layout.disconnect(),
      () => size.dispose(),
      () => frame.removeEventListener("focusin", focus),
      followTouch(frame, terminal),
      offerText(terminal),
    );
  }

  focus(): void {
    this.emulator.terminal.focus();
  }

  apply(options: EmulatorOptions): void {
    this.emulator.apply(options);
    this.settle();
  }

  tap(key: BarKey): void {
    const { applicationCursorKeysMode } = this.emulator.terminal.modes;
    const typed = barKey(key, this.modifiers.value, applicationCursorKeysMode);
    this.modifiers.set(released(this.modifiers.value));
    this.type(utf8.encode(typed));
  }

  close(): void {
    clearTimeout(this.settling);
    for (const end of this.endings) end();
    this.viewing.close();
    this.emulator.dispose();
  }

  private type(bytes: Uint8Array): void {
    this.viewing.type(bytes);
    this.reveal();
  }

  private withModifiers(typed: string): string {
    const modifiers = this.modifiers.value;
    this.modifiers.set(released(modifiers));
    return modify(typed, modifiers);
  }

  private settle(): void {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      const size = this.fit();
      if (size !== null) this.viewing.wish(size);
      this.reveal();
    }, SETTLE);
  }

  private fit(): Size | null {
    const style = getComputedStyle(this.frame);
    const pad = (side: string): number => Number.parseFloat(style.getPropertyValue(side)) || 0;
    const size = this.emulator.fitting(
      this.frame.clientWidth - pad("padding-left") - pad("padding-right"),
      this.frame.clientHeight - pad("padding-top") - pad("padding-bottom"),
    );
    if (size !== null) rememberFit(size);
    return size;
  }

  /** Where the terminal is larger than the frame, move the frame to the cursor. */
  private reveal(): void {
    const { frame } = this;
    const cell = this.emulator.cell();
    const overflows =
      frame.scrollWidth > frame.clientWidth || frame.scrollHeight > frame.clientHeight;
    if (!cell || !overflows) return;
    const { cursorX, cursorY } = this.emulator.terminal.buffer.active;
    const x = cursorX * cell.width;
    const y = cursorY * cell.height;
    if (y < frame.scrollTop || y + 2 * cell.height > frame.scrollTop + frame.clientHeight) {
      frame.scrollTop = y + 2 * cell.height - frame.clientHeight;
    }
    if (x < frame.scrollLeft || x + 2 * cell.width > frame.scrollLeft + frame.clientWidth) {
      frame.scrollLeft = x - frame.clientWidth / 2;
    }
  }
}
