// When a connection has been silent for too long, as a machine: times in, verdicts out.

/** After this long without a message we ask for one, in milliseconds. */
export const PING_AFTER = 15_000;
/** After this long without a message the connection is over. */
export const DEAD_AFTER = 30_000;
/** When the phone has just woken up, an answer has to come within this time. */
export const PROBE_PATIENCE = 4_000;
/** Checks further apart than this mean that the page was frozen, and heard nothing because of it. */
const FROZEN_AFTER = 10_000;

export type Verdict = "fine" | "ping" | "dead";

export class Silence {
  private pingAt: number;
  private deadAt: number;
  private checkedAt: number;

  constructor(now: number) {
    this.pingAt = now + PING_AFTER;
    this.deadAt = now + DEAD_AFTER;
    this.checkedAt = now;
  }

  heard(now: number): void {
    this.pingAt = now + PING_AFTER;
    this.deadAt = now + DEAD_AFTER;
  }

  /** The connection may be dead without our knowing: ask, and do not wait long. */
  probe(now: number): void {
    this.pingAt = now;
    this.deadAt = now + PROBE_PATIENCE;
    this.checkedAt = now;
  }

  /** To be called every few seconds. "ping" comes once for each silence. */
  check(now: number): Verdict {
    // Messages may be waiting behind this very timer: a page that slept gets to read them first.
    if (now - this.checkedAt > FROZEN_AFTER) this.probe(now);
    this.checkedAt = now;
    if (now >= this.deadAt) return "dead";
    if (now < this.pingAt) return "fine";
    this.pingAt = Number.POSITIVE_INFINITY;
    return "ping";
  }
}
