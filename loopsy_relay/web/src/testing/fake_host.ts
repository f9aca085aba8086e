// A session host in a few lines: a log, pictures, resizes, and every viewer's typed bytes.

import { PIECE_COST, WINDOW } from "../wire/calls";
import type { AttachParams, Size } from "../wire/operations";

export type HostPiece = { item: unknown } | { data: Uint8Array };

/** What is shown, written out: the size in which each byte was printed matters. */
export class FakeHost {
  readonly epoch = "e1";
  log: number[] = [];
  received: number[] = [];
  size: Size = { cols: 80, rows: 24 };
  exitCode: number | null | undefined;
  private readonly counts = new Map<string, number>();
  readonly resizes: { readonly at: number; readonly size: Size }[] = [];

  /** Bytes before this are out of the log: whoever needs them gets a picture. */
  constructor(public logStart = 0) {}

  print(bytes: Uint8Array): void {
    this.log.push(...bytes);
  }

  resize(size: Size): void {
    this.size = size;
    this.resizes.push({ at: this.log.length, size });
  }

  attach(params: AttachParams): FakeCall {
    const viewer = params.viewer.join();
    if (!this.counts.has(viewer)) this.counts.set(viewer, params.typed);
    return new FakeCall(this, params, viewer);
  }

  typed(viewer: string): number {
    return this.counts.get(viewer) ?? 0;
  }

  take(viewer: string, bytes: Uint8Array): void {
    this.received.push(...bytes);
    this.counts.set(viewer, this.typed(viewer) + bytes.length);
  }

  sizeAt(offset: number): Size {
    const before = this.resizes.filter(({ at }) => at <= offset);
    return before.at(-1)?.size ?? { cols: 80, rows: 24 };
  }
}

/** One attach call: pieces come out of `next`, in stream order, as far as there is credit. */
export class FakeCall {
  private offset: number;
  private credit = WINDOW;
  private readonly queue: HostPiece[] = [];
  /** Which of the host's resizes comes next in this stream. */
  private mark: number;
  private done = false;

  constructor(
    private readonly host: FakeHost,
    params: AttachParams,
    private readonly viewer: string,
  ) {
    const { epoch, offset } = params;
    if (epoch === host.epoch && offset !== null && offset >= host.logStart) {
      this.offset = offset;
      this.mark = host.resizes.filter(({ at }) => at <= offset).length;
      this.queue.push({ item: { type: "resumed", ...this.place(host.sizeAt(offset)) } });
    } else {
      this.offset = host.log.length;
      this.mark = host.resizes.length;
      this.queuePicture();
    }
  }

  /** Skip to a new picture, as a viewer that fell too far behind. */
  lag(): void {
    if (this.queue.length > 0 || this.done) return; // it is still reading what was said before
    this.offset = this.host.log.length;
    this.mark = this.host.resizes.length;
    this.queuePicture();
  }

  /** Tell how much has been typed. */
  tell(): void {
    if (!this.done) this.queue.push({ item: { type: "typed", total: this.host.typed(this.viewer) } });
  }

  /** Tell who looks. */
  company(names: readonly string[], owner: boolean): void {
    if (!this.done) this.queue.push({ item: { type: "viewers", names, owner } });
  }

  type(bytes: Uint8Array): void {
    this.host.take(this.viewer, bytes);
  }

  give(amount: number): void {
    this.credit += amount + PIECE_COST;
  }

  /** The next piece, of at most `most` bytes of output; null when there is nothing to send. */
  next(most: number): HostPiece | null {
    const queued = this.queue[0];
    if (queued && "data" in queued) {
      const data = queued.data.subarray(0, most);
      if (data.length === queued.data.length) this.queue.shift();
      else queued.data = queued.data.subarray(most);
      return this.spend(data);
    }
    if (queued) return this.queue.shift() as HostPiece;
    const mark = this.host.resizes[this.mark];
    if (mark && mark.at <= this.offset) {
      this.mark++;
      return { item: { type: "resized", ...mark.size } };
    }
    const end = Math.min(mark?.at ?? Infinity, this.offset + most, this.host.log.length);
    if (end > this.offset) {
      const data = Uint8Array.from(this.host.log.slice(this.offset, end));
      this.offset = end;
      return this.spend(data);
    }
    if (this.host.exitCode !== undefined && !this.done) {
      this.done = true;
      return { item: { type: "ended", exit_code: this.host.exitCode } };
    }
    return null;
  }

  private spend(data: Uint8Array): HostPiece {
    this.credit -= data.length + PIECE_COST;
    if (this.credit < 0) throw new Error("The fake host has overspent; give it credit.");
    return { data };
  }

  private place(size: Size): object {
    return {
      epoch: this.host.epoch,
      offset: this.offset,
      typed: this.host.typed(this.viewer),
      ...size,
      title: "title",
    };
  }

  /** A picture of this host is simply all of its log so far. */
  private queuePicture(): void {
    const data = Uint8Array.from(this.host.log);
    const item = { type: "picture", ...this.place(this.host.size), length: data.length };
    this.queue.push({ item });
    if (data.length > 0) this.queue.push({ data });
  }
}
