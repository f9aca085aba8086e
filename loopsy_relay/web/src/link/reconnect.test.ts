// When the next try comes, by a clock that is turned by hand.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FIRST_PAUSE, HELD_LONG_ENOUGH, LONGEST_PAUSE, pauseAfter, Reconnect } from "./reconnect";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

test("pauses begin short, grow, and stay within their limits whatever the dice say", () => {
  for (let failures = 0; failures < 50; failures++) {
    for (const dice of [0, 0.5, 0.999]) {
      expect(pauseAfter(failures, dice)).toBeGreaterThanOrEqual(FIRST_PAUSE);
      expect(pauseAfter(failures, dice)).toBeLessThanOrEqual(LONGEST_PAUSE);
    }
  }
  expect(pauseAfter(0, 0.9)).toBe(FIRST_PAUSE);
  expect(pauseAfter(20, 0.999)).toBeGreaterThan(0.9 * LONGEST_PAUSE);
});

test("the first try comes soon, later ones after longer pauses", () => {
  const again = vi.fn();
  const reconnect = new Reconnect(again, () => 0.999);
  reconnect.lost();
  vi.advanceTimersByTime(FIRST_PAUSE - 1);
  expect(again).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1);
  expect(again).toHaveBeenCalledTimes(1);
  for (let i = 0; i < 8; i++) {
    reconnect.lost();
    vi.advanceTimersByTime(LONGEST_PAUSE);
  }
  reconnect.lost();
  vi.advanceTimersByTime(4_000);
  expect(again).toHaveBeenCalledTimes(9);
});

test("a wake-up does not wait, and happens only where a try is due", () => {
  const again = vi.fn();
  const reconnect = new Reconnect(again, () => 0.999);
  expect(reconnect.hurry()).toBe(false);
  reconnect.lost();
  expect(reconnect.hurry()).toBe(true);
  vi.runAllTimers();
  expect(again).toHaveBeenCalledTimes(1);
});

test("only a connection that held earns a fresh start", () => {
  const again = vi.fn();
  const reconnect = new Reconnect(again, () => 0.999);
  for (let i = 0; i < 10; i++) {
    reconnect.lost();
    reconnect.hurry();
    reconnect.held();
  }
  reconnect.lost();
  vi.advanceTimersByTime(FIRST_PAUSE);
  expect(again).toHaveBeenCalledTimes(10);
  reconnect.hurry();
  reconnect.held();
  vi.advanceTimersByTime(HELD_LONG_ENOUGH);
  reconnect.lost();
  vi.advanceTimersByTime(FIRST_PAUSE);
  expect(again).toHaveBeenCalledTimes(12);
});

test("nothing comes after it was cancelled", () => {
  const again = vi.fn();
  const reconnect = new Reconnect(again);
  reconnect.lost();
  reconnect.cancel();
  vi.runAllTimers();
  expect(again).not.toHaveBeenCalled();
});
