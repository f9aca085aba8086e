// One connection to a node: a WebSocket at the relay, the handshake through it, and its end.

import { ProtocolError } from "../wire/codec";
import { NoiseError } from "../wire/noise";
import type { Introduction, Opening } from "../wire/opening";
import type { Sealed } from "../wire/sealed";
import { Conversation } from "./conversation";
import { BROKEN, endingOf, SILENT, UNREACHABLE, type Ending } from "./ending";
import { Silence } from "./silence";

/** From dialling to the end of the handshake, in milliseconds. */
const OPEN_WITHIN = 10_000;
const CHECK_EVERY = 1_000;

/** The part of a WebSocket that is used here, so that tests can be the other end. */
export interface Socket {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

export interface ConnectionListener {
  /** The other side proved that it is the node; calls may begin. */
  opened(conversation: Conversation, node: Introduction): void;
  /** It is over; nothing comes afterwards. Told once, unless we closed it ourselves. */
  closed(ending: Ending): void;
}

/** Open a socket to the relay at `origin`. */
export type Dial = (origin: string, bearer: string) => Socket;

/** Dial the relay's door for phones. The bearer is a subprotocol, never a part of the address. */
export function dialRelay(origin: string, bearer: string): Socket {
  const address = new URL("/ws/phone", origin);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(address, ["loopsy.v1", `loopsy.bearer.${bearer}`]) as unknown as Socket;
}

type Stage =
  | { readonly at: "dialling" }
  | { readonly at: "greeted" }
  | { readonly at: "open"; readonly sealed: Sealed; readonly conversation: Conversation }
  | { readonly at: "over" };

export class Connection {
  private stage: Stage = { at: "dialling" };
  private readonly silence: Silence;
  private readonly timer: ReturnType<typeof setInterval>;
  private readonly deadline: ReturnType<typeof setTimeout>;
  private pings = 0;

  constructor(
    private readonly socket: Socket,
    private readonly opening: Opening,
    private readonly introduction: Introduction,
    private readonly listener: ConnectionListener,
  ) {
    this.silence = new Silence(performance.now());
    this.timer = setInterval(() => this.check(), CHECK_EVERY);
    this.deadline = setTimeout(
      () => this.finish(this.stage.at === "dialling" ? UNREACHABLE : SILENT),
      OPEN_WITHIN,
    );
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.greet();
    socket.onmessage = ({ data }) => this.receive(data);
    socket.onclose = ({ code, reason }) =>
      this.finish(endingOf(code, reason, this.stage.at !== "dialling"));
  }

  /** The device woke up or changed networks: find out soon whether this still works. */
  probe(): void {
    if (this.stage.at !== "open") return;
    this.silence.probe(performance.now());
    this.check();
  }

  /** We no longer want it. The listener is not told. */
  close(): void {
    this.leave();
  }

  private greet(): void {
    if (this.stage.at !== "dialling") return;
    this.stage = { at: "greeted" };
    this.socket.send(owned(this.opening.first(this.introduction)));
  }

  private receive(data: unknown): void {
    if (this.stage.at === "over") return;
    try {
      if (!(data instanceof ArrayBuffer)) throw new ProtocolError("A message is not binary.");
      this.accept(new Uint8Array(data));
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof NoiseError)) throw error;
      console.warn(`Loopsy: the connection was ended. ${error.message}`);
      this.finish(BROKEN);
    }
  }

  private accept(bytes: Uint8Array): void {
    if (this.stage.at === "open") {
      const message = this.stage.sealed.open(bytes);
      this.silence.heard(performance.now());
      if (message !== null) this.stage.conversation.receive(message);
      return;
    }
    if (this.stage.at !== "greeted") throw new ProtocolError("A message came before its time.");
    const { sealed, introduction } = this.opening.second(bytes);
    clearTimeout(this.deadline);
    this.silence.heard(performance.now());
    const conversation = new Conversation((message) => {
      for (const record of sealed.seal(message)) this.socket.send(owned(record));
    });
    this.stage = { at: "open", sealed, conversation };
    this.listener.opened(conversation, introduction);
  }

  private check(): void {
    if (this.stage.at !== "open") return;
    const verdict = this.silence.check(performance.now());
    if (verdict === "ping") this.stage.conversation.ping(++this.pings);
    if (verdict === "dead") this.finish(SILENT);
  }

  private finish(ending: Ending): void {
    if (this.leave()) this.listener.closed(ending);
  }

  private leave(): boolean {
    const { stage } = this;
    if (stage.at === "over") return false;
    this.stage = { at: "over" };
    clearInterval(this.timer);
    clearTimeout(this.deadline);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    // A socket that is dead may take minutes to say so; nobody listens to it any more.
    this.socket.close();
    if (stage.at === "open") stage.conversation.close();
    return true;
  }
}

/** The same bytes in a buffer of their own: views of larger buffers are not sent as such. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? (bytes as Uint8Array<ArrayBuffer>)
    : Uint8Array.from(bytes);
}
