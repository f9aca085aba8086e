// Calls with somebody waiting: promises for questions, listeners for streams, over one connection.

import { Calls, type CallEvent, type FaultCode } from "../wire/calls";
import { encode } from "../wire/codec";

/** The node said no, or could not. `code` is stable; the message speaks to a person. */
export class CallFault extends Error {
  override readonly name = "CallFault";

  constructor(
    readonly code: FaultCode,
    message: string,
  ) {
    super(message);
  }
}

/** The connection ended before an answer came; whether the call was carried out is not known. */
export class Disconnected extends Error {
  override readonly name = "Disconnected";

  constructor() {
    super("The connection was lost before the machine answered.");
  }
}

export type Params = Readonly<Record<string, unknown>>;

/** Who is told what happens in a call. After one of the last two nothing more comes. */
export interface CallListener {
  data?(bytes: Uint8Array): void;
  item?(value: unknown, length: number): void;
  /** More may be sent now. */
  room?(): void;
  answered(result: unknown): void;
  faulted(fault: CallFault | Disconnected): void;
}

/** A call of ours that is open. All of it does nothing once the call is over. */
export interface OpenCall {
  /** How many bytes one Data may have now. */
  room(): number;
  data(bytes: Uint8Array): void;
  /** Send `value` if there is room for it; whether it was sent. */
  item(value: unknown): boolean;
  /** We are done with a Data or an Item of this length; it is what gives the node credit. */
  consumed(length: number): void;
  drop(): void;
}

export class Conversation {
  private readonly calls = new Calls("opener");
  private readonly listeners = new Map<number, CallListener>();
  private over = false;

  /** `send` takes messages for the other side, in order. */
  constructor(private readonly send: (message: Uint8Array) => void) {}

  /**
   * The result of one call. Rejects with CallFault or Disconnected; or, once `signal` has been
   * aborted, with its reason, and the node is told that the answer is no longer wanted.
   */
  ask(op: string, params: Params = {}, signal?: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const call = this.open(op, params, { answered: resolve, faulted: reject });
      const abort = (): void => {
        call.drop();
        reject(signal?.reason as Error);
      };
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  open(op: string, params: Params, listener: CallListener): OpenCall {
    if (this.over) {
      queueMicrotask(() => listener.faulted(new Disconnected()));
      return CLOSED_CALL;
    }
    const id = this.calls.ask(op, params);
    this.listeners.set(id, listener);
    this.flush();
    return {
      room: () => this.calls.room(id),
      data: (bytes) => {
        if (!this.listeners.has(id)) return;
        this.calls.data(id, bytes);
        this.flush();
      },
      item: (value) => {
        const document = encode(value);
        if (!this.listeners.has(id) || document.length > this.calls.room(id)) return false;
        this.calls.item(id, document);
        this.flush();
        return true;
      },
      consumed: (length) => {
        if (!this.listeners.has(id)) return;
        this.calls.consumed(id, length);
        this.flush();
      },
      drop: () => {
        if (!this.listeners.delete(id)) return;
        this.calls.drop(id);
        this.flush();
      },
    };
  }

  ping(n: number): void {
    if (this.over) return;
    this.calls.ping(n);
    this.flush();
  }

  /**
   * Act on one message of the other side.
   *
   * @throws ProtocolError: the connection must end.
   */
  receive(message: Uint8Array): void {
    for (const event of this.calls.receive(message)) this.pass(event);
    this.flush();
  }

  /** The connection is gone: everybody who waits is told. */
  close(): void {
    if (this.over) return;
    this.over = true;
    const waiting = [...this.listeners.values()];
    this.listeners.clear();
    for (const listener of waiting) listener.faulted(new Disconnected());
  }

  private pass(event: CallEvent): void {
    if (event.type === "ponged") return;
    if (event.type === "asked") {
      // Nothing can be asked of a phone yet; a newer node is told so instead of left waiting.
      this.calls.fault(event.id, "bad_request", `This page does not know ${event.op}.`);
      return;
    }
    const listener = this.listeners.get(event.id);
    if (!listener) return;
    switch (event.type) {
      case "data":
        if (listener.data) return listener.data(event.bytes);
        return this.calls.consumed(event.id, event.bytes.length);
      case "item":
        if (listener.item) return listener.item(event.value, event.length);
        return this.calls.consumed(event.id, event.length);
      case "credit":
        return listener.room?.();
      case "answered":
        this.listeners.delete(event.id);
        return listener.answered(event.result);
      case "faulted":
        this.listeners.delete(event.id);
        return listener.faulted(new CallFault(event.code, event.message));
      case "ended":
      case "dropped":
        return; // only calls of theirs end so, and all of those were refused above
    }
  }

  private flush(): void {
    for (const message of this.calls.takeOutgoing()) {
      if (this.over) return;
      this.send(message);
    }
  }
}

const CLOSED_CALL: OpenCall = Object.freeze({
  room: () => 0,
  data: () => {},
  item: () => false,
  consumed: () => {},
  drop: () => {},
});
