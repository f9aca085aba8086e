// Reading values that came from the wire: every field is checked before anyone believes it.

import { ProtocolError } from "./codec";

/** What a whole number has to lie between, both included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

export const ANY_COUNT: Range = { min: 0, max: Number.MAX_SAFE_INTEGER };
export const ANY_INT: Range = { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER };

/**
 * A map from the wire. Each method reads one key, or throws a ProtocolError that names it.
 * Unknown keys are left alone: a newer node may say more than we know.
 */
export class Fields {
  private readonly values: Readonly<Record<string, unknown>>;

  constructor(
    value: unknown,
    private readonly what: string,
  ) {
    const isMap =
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      !ArrayBuffer.isView(value) &&
      !(value instanceof Date);
    if (!isMap) throw new ProtocolError(`${what} is not a map.`);
    this.values = value as Record<string, unknown>;
  }

  text(key: string): string {
    const value = this.at(key);
    return typeof value === "string" ? value : this.wrong(key, "text");
  }

  flag(key: string): boolean {
    const value = this.at(key);
    return typeof value === "boolean" ? value : this.wrong(key, "true or false");
  }

  int(key: string, range: Range): number {
    const value = this.at(key);
    const fits =
      typeof value === "number" &&
      Number.isSafeInteger(value) &&
      value >= range.min &&
      value <= range.max;
    return fits ? value : this.wrong(key, `a whole number from ${range.min} to ${range.max}`);
  }

  /** A point in time or a length of it, in seconds. */
  seconds(key: string): number {
    const value = this.at(key);
    const fits = typeof value === "number" && Number.isFinite(value);
    return fits ? value : this.wrong(key, "a number of seconds");
  }

  list<T>(key: string, each: (value: unknown, what: string) => T): T[] {
    const value = this.at(key);
    if (!Array.isArray(value)) return this.wrong(key, "a list");
    return value.map((item, index) => each(item, `${this.what}.${key}[${index}]`));
  }

  map(key: string): Fields {
    return new Fields(this.at(key), `${this.what}.${key}`);
  }

  texts(key: string): string[] {
    return this.list(key, (value, what) => {
      if (typeof value !== "string") throw new ProtocolError(`${what} is not text.`);
      return value;
    });
  }

  /** What `read` makes of `key`, or null where it is nil or missing. */
  maybe<T>(key: string, read: (key: string) => T): T | null {
    const value = this.at(key);
    return value === null || value === undefined ? null : read.call(this, key);
  }

  private at(key: string): unknown {
    return Object.hasOwn(this.values, key) ? this.values[key] : undefined;
  }

  private wrong(key: string, wanted: string): never {
    throw new ProtocolError(`${this.what}.${key} is not ${wanted}.`);
  }
}
