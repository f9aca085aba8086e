// Verdicts on silence, at times of the test's choice.

import { expect, test } from "vitest";
import { DEAD_AFTER, PING_AFTER, PROBE_PATIENCE, Silence } from "./silence";

/** Check every second until `until`; the verdicts other than "fine" with their times. */
function listen(silence: Silence, from: number, until: number): [number, string][] {
  const verdicts: [number, string][] = [];
  for (let now = from; now <= until; now += 1000) {
    const verdict = silence.check(now);
    if (verdict !== "fine") verdicts.push([now, verdict]);
    if (verdict === "dead") break;
  }
  return verdicts;
}

test("a silent connection is asked once, and given up later", () => {
  expect(listen(new Silence(0), 0, 60_000)).toEqual([
    [PING_AFTER, "ping"],
    [DEAD_AFTER, "dead"],
  ]);
});

test("whoever is heard is not asked", () => {
  const silence = new Silence(0);
  for (let now = 0; now < 100_000; now += 10_000) {
    silence.heard(now);
    expect(listen(silence, now, now + 9_000)).toEqual([]);
  }
});

test("after a wake-up an answer has to come soon", () => {
  const silence = new Silence(0);
  silence.probe(1_000);
  expect(listen(silence, 1_000, 60_000)).toEqual([
    [1_000, "ping"],
    [1_000 + PROBE_PATIENCE, "dead"],
  ]);
});

test("a page that was frozen does not take its own sleep for silence", () => {
  const silence = new Silence(0);
  silence.check(1_000);
  expect(silence.check(3_600_000)).toBe("ping");
  silence.heard(3_600_500);
  expect(silence.check(3_601_000)).toBe("fine");
});
