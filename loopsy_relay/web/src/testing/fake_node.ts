// A node and its relay in memory: sockets to dial, both handshakes, and answers of a test's choice.

import type { Socket } from "../link/connection";
import { hex, toBase32 } from "../wire/bytes";
import { Calls, type CallEvent } from "../wire/calls";
import { encode } from "../wire/codec";
import { Handshake, newKeyPair, NoiseError } from "../wire/noise";
import { decodeIntroduction, encodeIntroduction, OFFER_ID_LENGTH, prologue } from "../wire/opening";
import { offerIdOf, pskOf } from "../wire/pairing";
import { Sealed } from "../wire/sealed";

type Asked = Extract<CallEvent, { type: "asked" }>;

/** One phone's connection, seen from the node. */
export class FakeLine {
  readonly calls = new Calls("other");
  readonly heard: CallEvent[] = [];
  private sealed: Sealed | null = null;
  private gone = false;
  readonly socket: Socket;

  constructor(
    readonly node: FakeNode,
    readonly bearer: string,
  ) {
    this.socket = {
      binaryType: "blob",
      onopen: null,
      onmessage: null,
      onclose: null,
      send: (bytes) => {
        const copy = bytes.slice();
        queueMicrotask(() => this.receive(copy));
      },
      close: () => {
        this.gone = true;
      },
    };
    queueMicrotask(() => {
      if (node.silent) return;
      if (node.door !== null) {
        this.socket.onopen?.({} as never);
        this.end(...node.door);
      } else {
        this.socket.onopen?.({} as never);
      }
    });
  }

  get open(): boolean {
    return !this.gone;
  }

  end(code: number, reason = ""): void {
    if (this.gone) return;
    this.gone = true;
    this.socket.onclose?.({ code, reason });
  }

  /** Send what the calls have to say. */
  flush(): void {
    for (const message of this.calls.takeOutgoing()) {
      for (const record of this.sealed?.seal(message) ?? []) this.deliver(record);
    }
  }

  item(id: number, value: unknown): void {
    this.calls.item(id, encode(value));
    this.flush();
  }

  deliver(bytes: Uint8Array): void {
    const copy = bytes.slice();
    queueMicrotask(() => {
      if (!this.gone) this.socket.onmessage?.({ data: copy.buffer });
    });
  }

  private receive(bytes: Uint8Array): void {
    if (this.gone) return;
    if (this.sealed === null) return this.greet(bytes);
    const message = this.sealed.open(bytes);
    if (message === null) return;
    for (const event of this.calls.receive(message)) {
      this.heard.push(event);
      if (event.type === "asked") this.node.answer(this, event);
    }
    this.flush();
  }

  private greet(bytes: Uint8Array): void {
    const kind = bytes.slice(0, 1);
    const pairing = kind[0] === 2;
    const offerId = bytes.slice(1, pairing ? 1 + OFFER_ID_LENGTH : 1);
    const { offer } = this.node;
    if (pairing && (offer === null || hex(offerId) !== hex(offerIdOf(offer.secret)))) {
      return this.end(4410, "offer_gone");
    }
    const handshake = new Handshake({
      pattern: pairing ? "IKpsk1" : "IK",
      initiator: false,
      prologue: prologue(kind, this.node.key.public, offerId),
      ours: this.node.key,
      ...(pairing && offer ? { psk: pskOf(offer.secret, offer.code) } : {}),
    });
    try {
      decodeIntroduction(handshake.read(bytes.slice(1 + offerId.length)));
    } catch (error) {
      if (!(error instanceof NoiseError)) throw error;
      if (!pairing || offer === null) return this.deliver(new Uint8Array(100)); // an impostor's answer
      offer.triesLeft--;
      if (offer.triesLeft === 0) this.node.offer = null;
      return this.end(4410, `wrong_code:${offer.triesLeft}`);
    }
    const second = handshake.write(encodeIntroduction({ name: "kai", version: "1" }));
    const { theirs, ...secured } = handshake.secured();
    if (pairing) {
      this.node.contacts.add(hex(theirs));
      this.node.offer = null;
    } else if (!this.node.contacts.has(hex(theirs))) {
      return this.end(4410, "unknown_key");
    }
    this.sealed = new Sealed(secured);
    this.deliver(second);
  }
}

export class FakeNode {
  readonly key = newKeyPair();
  readonly id = toBase32(this.key.public);
  readonly contacts = new Set<string>();
  readonly lines: FakeLine[] = [];
  offer: { secret: Uint8Array; code: string; triesLeft: number } | null = null;
  grants = ["view", "type"];
  sessions: readonly unknown[] = [];
  /** How the relay sends everybody away, if it does. */
  door: [number, string] | null = null;
  /** Nothing ever answers. */
  silent = false;
  /** What a test answers itself: whether it did. */
  ask: (line: FakeLine, asked: Asked) => boolean = () => false;

  readonly dial = (_origin: string, bearer: string): Socket => {
    const line = new FakeLine(this, bearer);
    this.lines.push(line);
    return line.socket;
  };

  get line(): FakeLine {
    const last = this.lines.at(-1);
    if (!last) throw new Error("Nobody has dialled.");
    return last;
  }

  answer(line: FakeLine, asked: Asked): void {
    if (this.ask(line, asked)) return;
    const { id, op } = asked;
    switch (op) {
      case "node.hello":
        return line.calls.answer(id, {
          node_id: this.id,
          name: "kai",
          version: "1",
          grants: this.grants,
          contact: "c",
        });
      case "sessions.watch":
        return line.calls.item(id, encode({ sessions: this.sessions }));
      case "kinds.list":
        return line.calls.answer(id, { kinds: [], commands: [] });
      case "pairing.forget":
        return line.calls.answer(id, {});
      default:
        return line.calls.fault(id, "bad_request", `The fake node does not know ${op}.`);
    }
  }
}

export const A_SESSION = Object.freeze({
  id: "s1",
  name: "deploy",
  kind: "shell",
  alive: true,
  created_at: 1_700_000_000,
  cols: 80,
  rows: 24,
  viewers: 1,
  title: "make deploy",
  exit_code: null,
  argv: ["/bin/bash"],
  cwd: "/home/kai",
});
