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

/** So long after its user moved the frame by hand, output does not move it, in milliseconds. */
const HANDS_OFF = 3_000;
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
  private following = 0;
  private followed = "";
  private movedByHand = -HANDS_OFF;

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
    const cursor = terminal.onCursorMove(() => this.follow());
    const focus = (): void => this.settle();
    frame.addEventListener("focusin", focus);
    const moved = (event: Event): void => {
      // A pointer on the frame itself has one of its scrollbars.
      if (event.type !== "pointerdown" || event.target === frame) this.movedByHand = performance.now();
    };
    const hands = ["touchmove", "wheel", "pointerdown"] as const;
    for (const hand of hands) frame.addEventListener(hand, moved, { passive: true });
    this.endings.push(
      () => layout.disconnect(),
      () => size.dispose(),
      () => cursor.dispose(),
      () => cancelAnimationFrame(this.following),
      () => hands.forEach((hand) => frame.removeEventListener(hand, moved)),
      () => frame.removeEventListener("focusin", focus),
      followTouch(frame, terminal),
      offerText(terminal),
    );
  }

  focus(): void {
    this.emulator.terminal.focus();
  }

  /** Have the terminal fit this screen, whoever's it fits now. */
  claim(): void {
    const size = this.fit();
    if (size !== null) this.viewing.claim(size);
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
    this.movedByHand = -HANDS_OFF;
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
      // With its scrollbars: they are there only while another's terminal is larger than the frame.
      this.frame.offsetWidth - pad("padding-left") - pad("padding-right"),
      this.frame.offsetHeight - pad("padding-top") - pad("padding-bottom"),
    );
    if (size !== null) rememberFit(size);
    return size;
  }

  /** Output has moved the cursor: keep it in view, once for each frame that is drawn. */
  private follow(): void {
    cancelAnimationFrame(this.following);
    this.following = requestAnimationFrame(() => {
      const { cursorX, cursorY } = this.emulator.terminal.buffer.active;
      const place = `${cursorX},${cursorY}`;
      // Programs that draw all the time end each drawing where they ended the last.
      if (place === this.followed) return;
      this.followed = place;
      if (performance.now() - this.movedByHand > HANDS_OFF) this.reveal();
    });
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
