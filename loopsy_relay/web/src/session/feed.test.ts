// The order of output and changes, with a sink that works off its output when it likes.

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
