// What the user typed and the host is not known to have: numbered bytes, kept until acknowledged.

import { join } from "../wire/bytes";

export class TypedLog {
  private pieces: Uint8Array[] = [];
  private start = 0;
  private length = 0;

  /** Number of the first byte that is kept; the host has all before it. */
  get known(): number {
    return this.start;
  }

  /** Number of the next byte that will be typed. */
  get total(): number {
    return this.start + this.length;
  }

  get kept(): number {
    return this.length;
  }

  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.pieces.push(bytes);
    this.length += bytes.length;
  }

  /** The host has everything before `total`; it must be one of the numbers that are kept. */
  acknowledge(total: number): void {
    if (total < this.known || total > this.total) throw new RangeError("Not a number we know.");
    let surplus = total - this.start;
    while (surplus > 0) {
      const first = this.pieces[0] as Uint8Array;
      if (first.length > surplus) {
        this.pieces[0] = first.subarray(surplus);
        break;
      }
      this.pieces.shift();
      surplus -= first.length;
    }
    this.length -= total - this.start;
    this.start = total;
  }

  /** At most `limit` bytes from number `from` on. */
  read(from: number, limit: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let skip = from - this.start;
    let left = limit;
    for (const piece of this.pieces) {
      if (left <= 0) break;
      if (skip >= piece.length) {
        skip -= piece.length;
        continue;
      }
      const part = piece.subarray(skip, skip + left);
      parts.push(part);
      left -= part.length;
      skip = 0;
    }
    return join(...parts);
  }
}
