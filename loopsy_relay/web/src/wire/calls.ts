// Calls, streams and credit over one connection, as a machine: messages in, events out.
//
// It knows nothing of sockets, promises or clocks. `receive` takes one message and says what
// happened; the other methods put messages on `takeOutgoing`, in order (PROTOCOL.md, section 3).

import { decode, encode, ProtocolError } from "./codec";

/** Credit that each direction of a call starts with, and that a receiver keeps open. */
export const WINDOW = 262_144;
/** A receiver gives more once it has consumed this much since it last did. */
export const CREDIT_STEP = WINDOW / 4;
/** What each Data or Item costs beyond its bytes. */
export const PIECE_COST = 16;
/** A piece of Data should not be longer, so that it fits one record. */
export const PIECE_LIMIT = 65_000;
/** Calls that one side may have open at once. */
export const CALL_LIMIT = 256;
const LAST_ID = 2 ** 31 - 1;

const ASK = 1;
const ANSWER = 2;
const FAULT = 3;
const DATA = 4;
const ITEM = 5;
const CREDIT = 6;
const END = 7;
const DROP = 8;
const PING = 9;
const PONG = 10;

export const FAULT_CODES = [
  "bad_request",
  "refused",
  "not_found",
  "gone",
  "busy",
  "misconfigured",
  "protocol",
  "internal",
] as const;
export type FaultCode = (typeof FAULT_CODES)[number];

/** The side that opened the connection asks with odd ids, the other with even ones. */
export type Side = "opener" | "other";

export type CallEvent =
  | {
      readonly type: "asked";
      readonly id: number;
      readonly op: string;
      readonly params: unknown;
      readonly to: string | null;
    }
  | { readonly type: "answered"; readonly id: number; readonly result: unknown }
  | {
      readonly type: "faulted";
      readonly id: number;
      readonly code: FaultCode;
      readonly message: string;
    }
  | { readonly type: "data"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly type: "item"; readonly id: number; readonly value: unknown; readonly length: number }
  | { readonly type: "credit"; readonly id: number }
  | { readonly type: "ended"; readonly id: number }
  | { readonly type: "dropped"; readonly id: number }
  | { readonly type: "ponged"; readonly n: number };

/** A call that is open, with what has been spent and given in both directions. */
interface Open {
  readonly ours: boolean;
  spent: number;
  allowed: number;
  received: number;
  granted: number;
  consumed: number;
  theyEnded: boolean;
  weEnded: boolean;
}

/** Both sides' calls on one connection. */
export class Calls {
  private readonly open = new Map<number, Open>();
  private readonly outgoing: Uint8Array[] = [];
  private nextId: number;
  private lastTheirs = 0;
  private dead = false;

  constructor(private readonly side: Side) {
    this.nextId = side === "opener" ? 1 : 2;
  }

  /** Messages to send, oldest first. They are gone from here afterwards. */
  takeOutgoing(): Uint8Array[] {
    return this.outgoing.splice(0);
  }

  /** Begin a call; its id. Throws RangeError when too many are open. */
  ask(op: string, params: Readonly<Record<string, unknown>>, to: string | null = null): number {
    if (this.count(true) >= CALL_LIMIT) throw new RangeError("Too many calls are open at once.");
    if (this.nextId > LAST_ID) throw new RangeError("This connection has used up its calls.");
    const id = this.nextId;
    this.nextId += 2;
    this.open.set(id, newCall(true));
    this.say([ASK, id, op, params, to]);
    return id;
  }

  answer(id: number, result: unknown): void {
    this.theirCall(id);
    this.open.delete(id);
    this.say([ANSWER, id, result]);
  }

  fault(id: number, code: FaultCode, message: string): void {
    this.theirCall(id);
    this.open.delete(id);
    this.say([FAULT, id, code, message, {}]);
  }

  /** How many bytes of Data, or of one Item, may be sent in this call now. 0 once it is over. */
  room(id: number): number {
    const call = this.open.get(id);
    return call ? Math.max(0, call.allowed - call.spent - PIECE_COST) : 0;
  }

  data(id: number, bytes: Uint8Array): void {
    this.spend(id, bytes.length);
    this.say([DATA, id, bytes]);
  }

  /** Send an already encoded MessagePack document as a value of the call's stream. */
  item(id: number, document: Uint8Array): void {
    this.spend(id, document.length);
    this.say([ITEM, id, document]);
  }

  /** We are done with one Data or Item of `length` bytes: gives credit when it is due. */
  consumed(id: number, length: number): void {
    const call = this.open.get(id);
    if (!call) return; // the call ended while the last bytes were being shown
    call.consumed += length + PIECE_COST;
    if (call.consumed > call.received) throw new RangeError("More was consumed than had come.");
    if (call.consumed + WINDOW - call.granted < CREDIT_STEP) return;
    call.granted = call.consumed + WINDOW;
    this.say([CREDIT, id, call.granted]);
  }

  end(id: number): void {
    const call = this.open.get(id);
    if (!call?.ours || call.weEnded) throw new RangeError("Only an open call of ours can be ended.");
    call.weEnded = true;
    this.say([END, id]);
  }

  drop(id: number): void {
    if (!this.open.get(id)?.ours) return;
    this.open.delete(id);
    this.say([DROP, id, false]);
  }

  ping(n: number): void {
    this.say([PING, n]);
  }

  /**
   * What one message of the other side means.
   *
   * @throws ProtocolError: the message is none. The connection must end; this machine is dead.
   */
  receive(message: Uint8Array): CallEvent[] {
    if (this.dead) throw new ProtocolError("These calls have ended.");
    this.dead = true; // until the message has been accepted
    const value = decode(message);
    if (!Array.isArray(value)) throw new ProtocolError("A message is not an array.");
    const event = this.accept(value as unknown[]);
    this.dead = false;
    return event === null ? [] : [event];
  }

  private accept(parts: readonly unknown[]): CallEvent | null {
    const [kind, second] = parts;
    if (kind === PING || kind === PONG) {
      const n = wholeNumber(second, "a ping's number");
      if (kind === PONG) return { type: "ponged", n };
      this.say([PONG, n]);
      return null;
    }
    const id = wholeNumber(second, "a call's id");
    if (id < 1 || id > LAST_ID) throw new ProtocolError("A call's id is out of range.");
    if (kind === ASK) return this.acceptAsk(id, parts);
    if (typeof kind !== "number" || kind < ANSWER || kind > DROP) {
      throw new ProtocolError("A message is of no known kind.");
    }
    if (id >= this.nextId && this.isOurs(id)) throw new ProtocolError("A call was never opened.");
    if (id > this.lastTheirs && !this.isOurs(id)) {
      throw new ProtocolError("A call was never opened.");
    }
    const call = this.open.get(id);
    return this.acceptInCall(kind, id, call, parts);
  }

  private acceptAsk(id: number, parts: readonly unknown[]): CallEvent | null {
    const [, , op, params, to = null] = parts;
    if (this.isOurs(id) || id <= this.lastTheirs) throw new ProtocolError("A call's id is used.");
    if (typeof op !== "string" || !isMap(params) || !(to === null || typeof to === "string")) {
      throw new ProtocolError("An Ask is damaged.");
    }
    this.lastTheirs = id;
    if (this.count(false) >= CALL_LIMIT) {
      this.say([FAULT, id, "busy", "Too many calls are open at once.", {}]);
      return null;
    }
    this.open.set(id, newCall(false));
    return { type: "asked", id, op, params, to };
  }

  /** `call` is undefined once it is over: then everything is checked, and nothing happens. */
  private acceptInCall(
    kind: number,
    id: number,
    call: Open | undefined,
    parts: readonly unknown[],
  ): CallEvent | null {
    const [, , third, fourth] = parts;
    switch (kind) {
      case ANSWER:
        this.onlyFrom("answerer", id);
        if (parts.length < 3) throw new ProtocolError("An Answer is damaged.");
        if (!call) return null;
        this.open.delete(id);
        return { type: "answered", id, result: third };
      case FAULT: {
        this.onlyFrom("answerer", id);
        if (typeof third !== "string" || typeof fourth !== "string") {
          throw new ProtocolError("A Fault is damaged.");
        }
        if (!call) return null;
        this.open.delete(id);
        return { type: "faulted", id, code: knownCode(third), message: fourth };
      }
      case DATA: {
        const bytes = binary(third, "Data");
        if (!call) return null;
        this.receiveSpent(call, bytes.length);
        return { type: "data", id, bytes };
      }
      case ITEM: {
        const document = binary(third, "an Item");
        if (!call) return null;
        this.receiveSpent(call, document.length);
        return { type: "item", id, value: decode(document), length: document.length };
      }
      case CREDIT: {
        const total = wholeNumber(third, "a credit");
        if (!call || total <= call.allowed) return null; // the highest one counts
        call.allowed = total;
        return { type: "credit", id };
      }
      case END:
        this.onlyFrom("asker", id);
        if (!call) return null;
        if (call.theyEnded) throw new ProtocolError("A call's stream was ended twice.");
        call.theyEnded = true;
        return { type: "ended", id };
      default:
        this.onlyFrom("asker", id);
        if (!call) return null;
        this.open.delete(id);
        return { type: "dropped", id };
    }
  }

  private receiveSpent(call: Open, length: number): void {
    if (call.theyEnded) throw new ProtocolError("A stream went on after its end.");
    call.received += length + PIECE_COST;
    if (call.received > call.granted) throw new ProtocolError("More was sent than we gave credit.");
  }

  private spend(id: number, length: number): void {
    const call = this.open.get(id);
    if (!call || call.weEnded) throw new RangeError("This call's stream has ended.");
    if (length > this.room(id)) throw new RangeError("There is no credit for that much.");
    call.spent += length + PIECE_COST;
  }

  private theirCall(id: number): void {
    const call = this.open.get(id);
    if (!call || call.ours) throw new RangeError("There is no such call to answer.");
  }

  private onlyFrom(role: "asker" | "answerer", id: number): void {
    if (this.isOurs(id) !== (role === "answerer")) {
      throw new ProtocolError(`Only the ${role} of a call may say that.`);
    }
  }

  private isOurs(id: number): boolean {
    return (id % 2 === 1) === (this.side === "opener");
  }

  private count(ours: boolean): number {
    let count = 0;
    for (const call of this.open.values()) if (call.ours === ours) count++;
    return count;
  }

  private say(parts: readonly unknown[]): void {
    this.outgoing.push(encode(parts));
  }
}

function newCall(ours: boolean): Open {
  return {
    ours,
    spent: 0,
    allowed: WINDOW,
    received: 0,
    granted: WINDOW,
    consumed: 0,
    theyEnded: false,
    weEnded: false,
  };
}

function knownCode(code: string): FaultCode {
  return FAULT_CODES.find((known) => known === code) ?? "internal";
}

function wholeNumber(value: unknown, what: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new ProtocolError(`${what} is not a whole number.`);
  }
  return value;
}

function binary(value: unknown, what: string): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new ProtocolError(`${what} does not hold bytes.`);
  return value;
}

function isMap(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}
