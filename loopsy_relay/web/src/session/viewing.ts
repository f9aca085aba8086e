// A session kept on screen: attaches whenever its machine is online, until it is closed.

import { CallFault, type OpenCall } from "../link/conversation";
import type { Machine } from "../link/machine";
import { Watched } from "../watched";
import { ProtocolError } from "../wire/codec";
import type { Audience, Size } from "../wire/operations";
import { ANY_INT, Fields } from "../wire/shapes";
import { Attached, type AttachState, type Screen } from "./attached";

export class Viewing {
  /** Whether typing had to be thrown away because too much of it waits. */
  readonly full = new Watched(false);
  private readonly attached: Attached;
  private call: OpenCall | null = null;
  private readonly unwatch: () => void;

  constructor(
    private readonly machine: Machine,
    session: string,
    screen: Screen,
    wish: Size,
  ) {
    this.attached = new Attached(session, screen, wish);
    this.unwatch = machine.state.watch(() => this.attach());
    this.attach();
  }

  get state(): Watched<AttachState> {
    return this.attached.state;
  }

  get audience(): Watched<Audience | null> {
    return this.attached.audience;
  }

  /** Whether this phone may type here; only known while the machine is online. */
  get viewOnly(): boolean {
    const state = this.machine.state.value;
    return state.at === "online" && !state.hello.grants.includes("type");
  }

  type(bytes: Uint8Array): void {
    if (this.viewOnly) return;
    const typing = this.attached.type(bytes);
    if (typing !== "over") this.full.set(typing === "full");
    this.send();
  }

  wish(size: Size): void {
    this.attached.wish(size);
    this.send();
  }

  /** Have the terminal fit `size`, whoever it fits now. */
  claim(size: Size): void {
    if (this.viewOnly) return;
    this.attached.wish(size);
    this.attached.claim();
    this.send();
  }

  /** After a failure: attach anew, from nothing. */
  retry(): void {
    this.attached.startOver();
    this.attach();
  }

  close(): void {
    this.unwatch();
    this.call?.drop();
    this.call = null;
  }

  private attach(): void {
    const machine = this.machine.state.value;
    if (machine.at !== "online" || this.state.value.at !== "waiting") return;
    const params = this.attached.begin(this.viewOnly);
    const call = machine.conversation.open("sessions.attach", { ...params }, {
      data: (bytes) =>
        this.guard(call, () => this.attached.data(bytes, () => call.consumed(bytes.length))),
      item: (value, length) => {
        call.consumed(length);
        this.guard(call, () => this.attached.item(value));
        this.send();
      },
      room: () => this.send(),
      answered: (result) => this.guard(call, () => this.attached.answered(readExitCode(result))),
      faulted: (fault) => {
        this.call = null;
        if (fault instanceof CallFault) this.attached.faulted(fault.code, fault.message);
        else this.attached.cut();
      },
    });
    this.call = call;
  }

  private send(): void {
    if (!this.call) return;
    this.attached.send(this.call);
    if (this.full.value && this.attached.roomForTyping > 0) this.full.set(false);
  }

  /** What the host says may make no sense; that ends this call, and nothing else. */
  private guard(call: OpenCall, act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      call.drop();
      this.call = null;
      this.attached.faulted("protocol", error.message);
    }
  }
}

function readExitCode(result: unknown): number | null {
  const fields = new Fields(result, "attached");
  return fields.maybe("exit_code", (key) => fields.int(key, ANY_INT));
}
