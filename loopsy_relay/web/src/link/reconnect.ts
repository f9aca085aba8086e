// When to try again: after a jittered pause that grows, or at once when the device comes back.

/** The first pause, and the longest one, in milliseconds. */
export const FIRST_PAUSE = 300;
export const LONGEST_PAUSE = 5_000;
const GROWTH = 1.8;
/** A connection that held this long earns a fresh start. */
export const HELD_LONG_ENOUGH = 5_000;

/** The pause after `failures` failures in a row; `random` lies in [0, 1). */
export function pauseAfter(failures: number, random: number): number {
  const ceiling = Math.min(LONGEST_PAUSE, FIRST_PAUSE * GROWTH ** failures);
  return FIRST_PAUSE + random * (ceiling - FIRST_PAUSE);
}

export class Reconnect {
  private failures = 0;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private onlineSince: number | null = null;

  /** `again` opens the connection anew. */
  constructor(
    private readonly again: () => void,
    private readonly random: () => number = Math.random,
  ) {}

  /** The connection is up. */
  held(): void {
    this.onlineSince = performance.now();
  }

  /** The connection is lost, or did not come about: try again after a pause. */
  lost(): void {
    const held = this.onlineSince === null ? 0 : performance.now() - this.onlineSince;
    if (held >= HELD_LONG_ENOUGH) this.failures = 0;
    this.onlineSince = null;
    this.cancel();
    this.timer = setTimeout(() => this.now(), pauseAfter(this.failures++, this.random()));
  }

  /** Do not wait any longer, if a try is pending at all. Whether it was. */
  hurry(): boolean {
    if (this.timer === null) return false;
    this.now();
    return true;
  }

  cancel(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private now(): void {
    this.cancel();
    this.again();
  }
}

/** Call `wake` whenever the device may have a network again, until the result is called. */
export function onWake(wake: () => void): () => void {
  const visible = (): void => {
    if (document.visibilityState === "visible") wake();
  };
  addEventListener("online", wake);
  addEventListener("pageshow", wake);
  document.addEventListener("visibilitychange", visible);
  return () => {
    removeEventListener("online", wake);
    removeEventListener("pageshow", wake);
    document.removeEventListener("visibilitychange", visible);
  };
}
