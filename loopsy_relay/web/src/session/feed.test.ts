// The order of output and changes, with a sink that works off its output when it likes.

import fc from "fast-check";
import { expect, test } from "vitest";
import { Feed } from "./feed";

function slowSink(): { write(bytes: Uint8Array, done: () => void): void; work(): void; log: string[] } {
  const waiting: { byte: number; done: () => void }[] = [];
  const log: string[] = [];
  return {
    log,
    write: (bytes, done) => void waiting.push({ byte: bytes[0]!, done }),
    work: () => {
      const next = waiting.shift();
      if (!next) return;
      log.push(`shown ${next.byte}`);
      next.done();
    },
  };
}

test("a change waits for the output before it, and output after it waits for the change", () => {
  const sink = slowSink();
  const feed = new Feed(sink);
  const done = (n: number) => () => void sink.log.push(`done ${n}`);
  feed.write(Uint8Array.of(1), done(1));
  feed.write(Uint8Array.of(2), done(2));
  feed.change(() => sink.log.push("resized"));
  feed.write(Uint8Array.of(3), done(3));
  for (let i = 0; i < 4; i++) sink.work();
  expect(sink.log).toEqual(["shown 1", "done 1", "shown 2", "done 2", "resized", "shown 3", "done 3"]);
});

test("changes with nothing before them happen at once, in order", () => {
  const feed = new Feed({ write: (_, done) => done() });
  const log: number[] = [];
  feed.change(() => log.push(1));
  feed.write(Uint8Array.of(0), () => log.push(2));
  feed.change(() => log.push(3));
  expect(log).toEqual([1, 2, 3]);
});

test("no character is handed over in halves, wherever the output is cut", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.array(fc.nat()), (text, cuts) => {
      const bytes = new TextEncoder().encode(text);
      const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
      let shown = "";
      let done = 0;
      // A strict decoder for each piece: half a character would throw.
      const strict = (piece: Uint8Array): string =>
        new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(piece);
      const feed = new Feed({
        write: (piece, worked) => {
          shown += strict(piece);
          worked();
        },
      });
      ends.forEach((end, i) => feed.write(bytes.subarray(ends[i - 1] ?? 0, end), () => done++));
      expect(shown).toBe(text);
      expect(done).toBe(ends.length);
    }),
  );
});

test("half a character is forgotten when the terminal begins anew", () => {
  const shown: number[] = [];
  const feed = new Feed({ write: (bytes, done) => (shown.push(...bytes), done()) });
  feed.write(Uint8Array.of(0x61, 0xe2, 0x80), () => {});
  feed.restart(() => shown.push(0));
  feed.write(Uint8Array.of(0x62), () => {});
  expect(shown).toEqual([0x61, 0, 0x62]);
});

test("bytes that are no UTF-8 are left to the terminal", () => {
  const shown: number[] = [];
  const feed = new Feed({ write: (bytes, done) => (shown.push(...bytes), done()) });
  for (const byte of [0xff, 0x80, 0x80, 0x80, 0x80, 0x61]) feed.write(Uint8Array.of(byte), () => {});
  expect(shown).toEqual([0xff, 0x80, 0x80, 0x80, 0x80, 0x61]);
});
