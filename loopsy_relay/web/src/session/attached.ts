// The viewer's side of an attached session, as a machine: it outlives connections and resumes.
//
// PROTOCOL.md, section 5. Output is counted when it is handed to the screen, typing when the host
// says that it has it; so after any cut both go on where they stopped, nothing lost or doubled.

import { PIECE_LIMIT } from "../wire/calls";
import { ProtocolError } from "../wire/codec";
import {
  readAttachItem,
  type AttachParams,
  type Audience,
  type Position,
  type Size,
} from "../wire/operations";
import { Watched } from "../watched";
import { TypedLog } from "./typed_log";

/** Typing that is kept while there is no connection, in bytes; beside what was sent before. */
export const OFFLINE_LIMIT = 64 * 1024;
/** Typing that may be under way while there is one: room for a large paste. */
export const ONLINE_LIMIT = 1024 * 1024;

/** Where the session is shown. Calls come in stream order and are carried out in that order. */
export interface Screen {
  /** Forget everything shown; a fresh terminal of this size. */
  reset(size: Size): void;
  resize(size: Size): void;
  /** Show output; `done` is to be called once it has been taken in. */
  write(bytes: Uint8Array, done: () => void): void;
  title(title: string): void;
}

/** The part of an open attach call that is written to. */
export interface Line {
  room(): number;
  data(bytes: Uint8Array): void;
  item(value: unknown): boolean;
}

export type AttachState =
  /** No connection. */
  | { readonly at: "waiting" }
  /** Asked, not yet answered. */
  | { readonly at: "attaching" }
  /** A picture is being drawn. */
  | { readonly at: "drawing"; readonly left: number }
  /** Output follows as it comes. `resumed`: it went on exactly where it had stopped. */
  | { readonly at: "live"; readonly resumed: boolean }
  | { readonly at: "ended"; readonly exitCode: number | null }
  | { readonly at: "failed"; readonly code: string; readonly message: string };

/** What became of something typed: kept, dropped because too much waits, or there is nobody. */
export type Typing = "kept" | "full" | "over";

/** How much of a session's output and size changes the screen shows. */
interface Shown {
  readonly epoch: string;
  readonly offset: number;
  readonly resizes: number;
}

export class Attached {
  readonly state = new Watched<AttachState>({ at: "waiting" });
  /** Who looks, as the host said it last; null before it has. */
  readonly audience = new Watched<Audience | null>(null);
  private viewer = crypto.getRandomValues(new Uint8Array(16));
  private typed = new TypedLog();
  /** What is shown completely; null while nothing is, or only half a picture. */
  private shown: Shown | null = null;
  /** Of the picture being drawn: what will be shown once it is complete. */
  private drawing: Shown | null = null;
  /** In this call: what it said at the beginning, and what has been sent since. */
  private placed = false;
  private sentTo = 0;
  private wishSent: Size | null = null;
  private claiming = false;

  constructor(
    private readonly session: string,
    private readonly screen: Screen,
    private wished: Size,
  ) {}

  /** There is a connection: what to ask it for. */
  begin(viewOnly: boolean): AttachParams {
    this.state.set({ at: "attaching" });
    this.placed = false;
    this.wishSent = this.wished;
    return Object.freeze({
      session: this.session,
      viewer: this.viewer,
      cols: this.wished.cols,
      rows: this.wished.rows,
      view_only: viewOnly,
      epoch: this.shown?.epoch ?? null,
      offset: this.shown?.offset ?? null,
      resizes: this.shown?.resizes ?? null,
      typed: this.typed.known,
    });
  }

  /**
   * The host said something.
   *
   * @throws ProtocolError: it makes no sense; drop the call and tell `faulted`.
   */
  item(value: unknown): void {
    this.mustFollow();
    const item = readAttachItem(value);
    switch (item.type) {
      case "resumed":
        this.resumeAt(item.at);
        this.screen.title(item.title);
        this.screen.resize({ cols: item.cols, rows: item.rows });
        this.state.set({ at: "live", resumed: true });
        return;
      case "picture":
        if (this.state.value.at === "drawing") this.refuse("a picture began within another");
        this.placeTyping(item.at.typed);
        this.screen.title(item.title);
        this.screen.reset({ cols: item.cols, rows: item.rows });
        this.shown = null;
        this.drawing = {
          epoch: item.at.epoch,
          offset: item.at.offset,
          resizes: item.at.resizes,
        };
        this.draw(item.length);
        return;
      case "resized":
        this.mustBeLive();
        if (this.shown) this.shown = { ...this.shown, resizes: this.shown.resizes + 1 };
        this.screen.resize({ cols: item.cols, rows: item.rows });
        return;
      case "typed":
        this.mustBePlaced();
        this.acknowledge(item.total, this.sentTo);
        return;
      case "viewers":
        this.audience.set(Object.freeze({ names: item.names, owner: item.owner }));
        return;
      case "ended":
        this.mustBeLive();
        this.state.set({ at: "ended", exitCode: item.exitCode });
        return;
      case "unknown":
        return;
    }
  }

  /**
   * Output came; `done` is called once the screen has taken it in.
   *
   * @throws ProtocolError, as `item` does.
   */
  data(bytes: Uint8Array, done: () => void): void {
    this.mustFollow();
    this.mustBePlaced();
    const state = this.state.value;
    const ofPicture = state.at === "drawing" ? Math.min(state.left, bytes.length) : 0;
    if (state.at === "drawing") this.draw(state.left - ofPicture);
    if (this.shown !== null) {
      const offset = this.shown.offset + bytes.length - ofPicture;
      this.shown = { ...this.shown, offset };
    }
    this.screen.write(bytes, done);
  }

  /** Write whatever may be written now: the size we would like, and what was typed. */
  send(line: Line): void {
    const { at } = this.state.value;
    if (!this.placed || (at !== "live" && at !== "drawing")) return;
    const { cols, rows } = this.wished;
    if (this.claiming || this.wishSent?.cols !== cols || this.wishSent.rows !== rows) {
      if (line.item({ type: this.claiming ? "claim" : "resize", cols, rows })) {
        this.wishSent = this.wished;
        this.claiming = false;
      }
    }
    while (this.sentTo < this.typed.total) {
      const room = Math.min(line.room(), PIECE_LIMIT);
      if (room < 1) return; // more room is announced by the call
      const bytes = this.typed.read(this.sentTo, room);
      this.sentTo += bytes.length;
      line.data(bytes);
    }
  }

  /** The user typed. All of it is kept or none: half a paste could be another command. */
  type(bytes: Uint8Array): Typing {
    const { at } = this.state.value;
    if (at === "ended" || at === "failed") return "over";
    if (bytes.length > this.roomForTyping) return "full";
    this.typed.append(bytes);
    return "kept";
  }

  /** How many bytes `type` takes now. */
  get roomForTyping(): number {
    const { at } = this.state.value;
    const online = this.placed && (at === "live" || at === "drawing");
    return online
      ? ONLINE_LIMIT - this.typed.kept
      : OFFLINE_LIMIT - (this.typed.total - this.sentTo);
  }

  /** How large we would like the terminal to be. */
  wish(size: Size): void {
    this.wished = size;
  }

  /** The size is to be ours to choose from now on; nothing that would wait for a connection. */
  claim(): void {
    const { at } = this.state.value;
    if (at === "live" || at === "drawing") this.claiming = true;
  }

  /** The connection is gone; `begin` goes on from here. */
  cut(): void {
    const { at } = this.state.value;
    this.placed = false;
    this.claiming = false;
    this.drawing = null;
    if (at !== "ended" && at !== "failed") this.state.set({ at: "waiting" });
  }

  /** The call was answered: the program has ended. */
  answered(exitCode: number | null): void {
    if (this.state.value.at !== "ended") this.state.set({ at: "ended", exitCode });
  }

  faulted(code: string, message: string): void {
    this.placed = false;
    this.claiming = false;
    this.drawing = null;
    if (this.state.value.at !== "ended") this.state.set({ at: "failed", code, message });
  }

  /** Ready to attach again after a failure, as a viewer that nobody has seen before. */
  startOver(): void {
    this.viewer = crypto.getRandomValues(new Uint8Array(16));
    this.typed = new TypedLog();
    this.shown = null;
    this.drawing = null;
    this.placed = false;
    this.sentTo = 0;
    this.audience.set(null);
    this.state.set({ at: "waiting" });
  }

  private resumeAt(at: Position): void {
    if (this.placed) this.refuse("it resumed twice");
    if (this.shown === null || at.epoch !== this.shown.epoch || at.offset !== this.shown.offset) {
      this.refuse("it resumed somewhere else");
    }
    this.placeTyping(at.typed);
  }

  /** At the beginning of a call the host's number decides from where we send again. */
  private placeTyping(total: number): void {
    if (this.placed) return this.acknowledge(total, this.sentTo);
    this.acknowledge(total, this.typed.total);
    this.sentTo = total;
    this.placed = true;
  }

  private acknowledge(total: number, sentTo: number): void {
    if (total < this.typed.known || total > sentTo) {
      this.refuse("it has another count of what was typed");
    }
    this.typed.acknowledge(total);
  }

  private draw(left: number): void {
    if (left > 0) {
      this.state.set({ at: "drawing", left });
      return;
    }
    this.shown = this.drawing;
    this.drawing = null;
    this.state.set({ at: "live", resumed: false });
  }

  private mustFollow(): void {
    const { at } = this.state.value;
    if (at === "attaching" || at === "drawing" || at === "live") return;
    this.refuse("it spoke out of turn");
  }

  private mustBePlaced(): void {
    if (!this.placed) this.refuse("it did not begin with resumed or a picture");
  }

  private mustBeLive(): void {
    if (this.state.value.at !== "live") this.refuse("it cut a picture short");
  }

  private refuse(why: string): never {
    throw new ProtocolError(`The machine showed this session in a way that makes no sense: ${why}.`);
  }
}
