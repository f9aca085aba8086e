// A machine that this phone is paired with: its connection is kept up, its sessions are watched.

import type { MachineRecord } from "../store/records";
import { VERSION } from "../version";
import { Watched } from "../watched";
import { ProtocolError } from "../wire/codec";
import { keyPairOf } from "../wire/noise";
import { nodeKeyOf, Opening } from "../wire/opening";
import { readHello, readSessions, type Hello, type SessionInfo } from "../wire/operations";
import { Connection, dialRelay, type Dial } from "./connection";
import { CallFault, Disconnected, type Conversation, type Params } from "./conversation";
import { BROKEN, type Ending } from "./ending";
import { Reconnect } from "./reconnect";

export type MachineState =
  | { readonly at: "connecting"; readonly because: Ending | null }
  | { readonly at: "offline"; readonly because: Ending }
  | { readonly at: "online"; readonly conversation: Conversation; readonly hello: Hello }
  | { readonly at: "refused"; readonly reason: "revoked" | "unknown_key" }
  | { readonly at: "closed" };

export class Machine {
  readonly state = new Watched<MachineState>({ at: "closed" });
  /** The last list that the machine sent; null until the first. It outlives the connection. */
  readonly sessions = new Watched<readonly SessionInfo[] | null>(null);
  private connection: Connection | null = null;
  private readonly reconnect: Reconnect;

  constructor(
    readonly record: MachineRecord,
    private readonly dial: Dial = dialRelay,
  ) {
    this.reconnect = new Reconnect(() => this.connect());
  }

  get id(): string {
    return this.record.nodeId;
  }

  get name(): string {
    const state = this.state.value;
    return state.at === "online" ? state.hello.name : this.record.name;
  }

  /** Connect, and keep it so until `close`. Also the way out of `refused`. */
  open(): void {
    const { at } = this.state.value;
    if (at === "closed" || at === "refused") this.connect();
  }

  /** The device may have a network again: try now, or find out whether the link still works. */
  wake(): void {
    if (!this.reconnect.hurry()) this.connection?.probe();
  }

  close(): void {
    this.reconnect.cancel();
    this.connection?.close();
    this.connection = null;
    this.state.set({ at: "closed" });
  }

  /** As `Conversation.ask`; Disconnected also when there is no connection. */
  ask(op: string, params: Params = {}, signal?: AbortSignal): Promise<unknown> {
    const state = this.state.value;
    if (state.at !== "online") return Promise.reject(new Disconnected());
    return state.conversation.ask(op, params, signal);
  }

  private connect(): void {
    const before = this.state.value;
    this.state.set({ at: "connecting", because: "because" in before ? before.because : null });
    const { relay, bearer, nodeId, secretKey, phoneName } = this.record;
    const nodeKey = nodeKeyOf(nodeId);
    if (nodeKey === null) throw new Error("A stored machine has an id that is no key.");
    const opening = new Opening({ how: "paired" }, keyPairOf(secretKey), nodeKey);
    const introduction = { name: phoneName, version: VERSION };
    const connection = new Connection(this.dial(relay, bearer), opening, introduction, {
      opened: (conversation) => void this.greet(connection, conversation),
      closed: (ending) => this.lost(ending),
    });
    this.connection = connection;
  }

  private async greet(connection: Connection, conversation: Conversation): Promise<void> {
    try {
      const hello = readHello(await conversation.ask("node.hello"));
      if (this.connection !== connection) return;
      this.reconnect.held();
      this.state.set({ at: "online", conversation, hello });
      this.watchSessions(connection, conversation);
    } catch (error) {
      if (error instanceof Disconnected) return; // `closed` has said why
      this.breakOff(connection, error);
    }
  }

  private watchSessions(connection: Connection, conversation: Conversation): void {
    const call = conversation.open("sessions.watch", {}, {
      item: (value, length) => {
        call.consumed(length);
        try {
          this.sessions.set(readSessions(value));
        } catch (error) {
          this.breakOff(connection, error);
        }
      },
      answered: () => {},
      faulted: (fault) => {
        // Without the grant to view there is nothing to list; all else still works.
        if (fault instanceof CallFault) this.sessions.set(Object.freeze([]));
      },
    });
  }

  /** The node is the right one, but what it says makes no sense: start anew. */
  private breakOff(connection: Connection, error: unknown): void {
    if (!(error instanceof ProtocolError || error instanceof CallFault)) throw error;
    if (this.connection !== connection) return;
    console.warn(`Loopsy: the connection was ended. ${error.message}`);
    connection.close();
    this.lost(BROKEN);
  }

  private lost(ending: Ending): void {
    this.connection = null;
    if (ending.how === "refused") {
      this.reconnect.cancel();
      this.state.set({ at: "refused", reason: ending.reason });
      return;
    }
    this.state.set({ at: "offline", because: ending });
    this.reconnect.lost();
  }
}
