// Records: whatever is sealed opens as it was, and nothing else opens at all.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sealedPair } from "../testing/sealed_pair";
import { sameBytes } from "./bytes";
import { MESSAGE_LIMIT } from "./codec";
import { CipherState } from "./noise";
import { PADDED_UP_TO, RECORD_LIMIT, REKEY_AFTER, Sealed } from "./sealed";

const TAG = 16;
const NOTHING = new Uint8Array(0);
const key = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const message = fc.uint8Array({ minLength: 1, maxLength: 3000, size: "max" });

function bytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
}

/** Open records that were written by hand. */
function openPlain(...records: Uint8Array[]): () => void {
  const sending = new CipherState(key(1));
  const sealed = new Sealed({ sending: new CipherState(key(2)), receiving: new CipherState(key(1)) });
  return () => {
    for (const record of records) sealed.open(sending.encrypt(NOTHING, record));
  };
}

test("messages of any length arrive as they were, in both directions", () => {
  const lengths = [1, 2, 1021, 1022, 1023, RECORD_LIMIT - 1, RECORD_LIMIT, 3 * RECORD_LIMIT, MESSAGE_LIMIT];
  const ends = sealedPair();
  for (const [from, to] of [ends, [ends[1], ends[0]] as const]) {
    for (const length of lengths) {
      const sent = bytes(length);
      const opened = from.seal(sent).map((record) => to.open(record));
      expect(opened.slice(0, -1).every((part) => part === null)).toBe(true);
      expect(sameBytes(opened.at(-1)!, sent)).toBe(true); // toEqual takes seconds for a MiB
    }
  }
});

test("any messages arrive in order", () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 20, size: "max" }), (messages) => {
      const [a, b] = sealedPair();
      const records = messages.flatMap((each) => a.seal(each));
      expect(records.map((record) => b.open(record))).toEqual(messages);
    }),
  );
});

test("short messages give no more away than their length in steps of 64", () => {
  const [a] = sealedPair();
  for (const length of [1, 13, 61, 62, 500, 1021]) {
    const [record] = a.seal(bytes(length));
    expect((record!.length - TAG) % 64).toBe(0);
    expect(record!.length - TAG).toBeLessThanOrEqual(PADDED_UP_TO);
  }
  expect(a.seal(bytes(1022))[0]!.length).toBe(1022 + 1 + TAG);
});

describe("is refused, and ends the connection both ways:", () => {
  type Attack = (records: Uint8Array[], at: number, other: Uint8Array[]) => Uint8Array[];
  const attacks: Record<string, Attack> = {
    "a flipped bit": (records, at) =>
      records.map((record, i) => (i === at ? record.map((byte, j) => (j === at % record.length ? byte ^ 4 : byte)) : record)),
    "a dropped record": (records, at) => records.filter((_, i) => i !== at),
    "a repeated record": (records, at) => [...records.slice(0, at + 1), ...records.slice(at)],
    "swapped records": (records, at) => [
      ...records.slice(0, at), records[at + 1]!, records[at]!, ...records.slice(at + 2),
    ],
    "a record of another connection": (records, at, other) => records.map((r, i) => (i === at ? other[at]! : r)),
    "a cut record": (records, at) => records.map((r, i) => (i === at ? r.subarray(0, -1) : r)),
  };
  test.each(Object.entries(attacks))("%s", (_, attack) => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 3, maxLength: 8 }), fc.nat(), (messages, n) => {
        const at = n % (messages.length - 1);
        const [a, b] = sealedPair();
        const [x] = sealedPair(9);
        const records = messages.flatMap((each) => a.seal(each));
        const other = messages.flatMap((each) => x.seal(each));
        // One more that is genuine: a record missing at the very end is not noticeable by itself.
        const tampered = [...attack(records, at, other), ...a.seal(Uint8Array.of(1))];
        expect(() => tampered.forEach((record) => b.open(record))).toThrow();
        expect(() => b.seal(Uint8Array.of(1))).toThrow("ended");
        expect(() => b.open(records[0]!)).toThrow("ended");
      }),
    );
  });

  test.each([
    ["an empty record", [NOTHING]],
    ["unknown flags", [Uint8Array.of(4, 1)]],
    ["more and padded at once", [Uint8Array.of(3, 0, 1, 1)]],
    ["an empty fragment", [Uint8Array.of(1)]],
    ["a record without content", [Uint8Array.of(0)]],
    ["a padded record without content", [Uint8Array.of(2, 0, 0, 0)]],
    ["a length beyond the record", [Uint8Array.of(2, 0, 5, 1)]],
    ["half a length", [Uint8Array.of(2, 0)]],
    ["padding that is not zero", [Uint8Array.of(2, 0, 1, 1, 0, 1)]],
    ["a message over the limit", Array.from({ length: 18 }, () => new Uint8Array(RECORD_LIMIT).fill(1))],
  ])("%s", (_, records) => {
    expect(openPlain(...records)).toThrow();
  });
});

test("keys are replaced after 2^16 records, on both sides at the same one", () => {
  const [a, b] = sealedPair();
  const sent = Uint8Array.of(42);
  for (let i = 0; i < REKEY_AFTER + 2; i++) {
    const [record] = a.seal(sent);
    const opened = b.open(record!);
    if (opened?.[0] !== 42) throw new Error(`record ${i} did not open`);
  }
  // The record after the change must not open under the first key.
  const old = new CipherState(key(1));
  const fresh = sealedPair()[0];
  let last: Uint8Array | undefined;
  for (let i = 0; i <= REKEY_AFTER; i++) [last] = fresh.seal(sent);
  for (let i = 0; i < REKEY_AFTER; i++) old.encrypt(NOTHING, NOTHING);
  expect(() => old.decrypt(NOTHING, last!)).toThrow();
}, 30_000);
