// What a terminal is to show, in stream order: output, and changes that must wait for their turn.
//
// xterm takes output now and works it off later, but is resized and reset at once. So a change
// waits here until all output before it has been worked off, and output after it waits for it.

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

  constructor(private readonly sink: Sink) {}

  /** Show `bytes`; `done` is called once they have been worked off. */
  write(bytes: Uint8Array, done: () => void): void {
    this.queue.push({ what: "output", bytes, done });
    this.run();
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
