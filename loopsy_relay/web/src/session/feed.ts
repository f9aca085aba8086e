// What a terminal is to show, in stream order: output, and changes that must wait for their turn.
//
// xterm takes output now and works it off later, but is resized and reset at once. So a change
// waits here until all output before it has been worked off, and output after it waits for it.
//
// xterm also loses characters that it is given in halves if a byte within is 0x80: dashes, curly
// quotes, dots. So half a character waits here for its other half.

import { join } from "../wire/bytes";

/** The part of xterm that takes output. */
export interface Sink {
  write(bytes: Uint8Array, done: () => void): void;
}

type Step =
  | { readonly what: "output"; readonly bytes: Uint8Array; readonly done: () => void }
  | { readonly what: "change"; readonly change: () => void };

export class Feed {
  private readonly queue: Step[] = [];
  private underWay = 0;
  private running = false;
  private half = new Uint8Array();

  constructor(private readonly sink: Sink) {}

  /** Show `bytes`; `done` is called once they have been worked off, or put by as half a character. */
  write(bytes: Uint8Array, done: () => void): void {
    const output = this.half.length > 0 ? join(this.half, bytes) : bytes;
    const end = output.length - halfAtEnd(output);
    this.half = output.slice(end);
    if (end === 0) return this.change(done);
    this.queue.push({ what: "output", bytes: output.subarray(0, end), done });
    this.run();
  }

  /** As `change`, to a terminal that knows nothing of the output before it. */
  restart(change: () => void): void {
    this.half = new Uint8Array();
    this.change(change);
  }

  /** Call `change` when everything before it has been shown, and before anything after it is. */
  change(change: () => void): void {
    this.queue.push({ what: "change", change });
    this.run();
  }

  private run(): void {
    if (this.running) return; // a sink that is done at once calls back in here
    this.running = true;
    for (let step = this.queue[0]; step !== undefined; step = this.queue[0]) {
      if (step.what === "change") {
        if (this.underWay > 0) break;
        this.queue.shift();
        step.change();
        continue;
      }
      this.queue.shift();
      this.underWay++;
      const { done } = step;
      this.sink.write(step.bytes, () => {
        this.underWay--;
        done();
        this.run();
      });
    }
    this.running = false;
  }
}

/** How many bytes at the end begin a UTF-8 character that is not complete. */
function halfAtEnd(bytes: Uint8Array): number {
  for (let length = 1; length <= Math.min(3, bytes.length); length++) {
    const byte = bytes[bytes.length - length] as number;
    if ((byte & 0xc0) === 0x80) continue; // within a character; its first byte says how long it is
    const needed = byte >= 0xf8 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needed > length ? length : 0;
  }
  return 0;
}
