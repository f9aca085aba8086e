// What the phone asks of a node, and what comes back, checked (PROTOCOL.md, sections 4 and 5).

import { ANY_COUNT, ANY_INT, Fields, type Range } from "./shapes";

/** A terminal has this many columns, and this many rows. */
export const TERMINAL_SIDE: Range = { min: 1, max: 1000 };
/** Names and titles longer than this are cut: they are shown in one line. */
const LINE_LIMIT = 500;

export interface Size {
  readonly cols: number;
  readonly rows: number;
}

export interface Hello {
  readonly nodeId: string;
  readonly name: string;
  readonly version: string;
  readonly grants: readonly string[];
}

export interface SessionInfo extends Size {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly alive: boolean;
  readonly createdAt: number;
  readonly viewers: number;
  readonly title: string;
  readonly exitCode: number | null;
  readonly argv: readonly string[];
  readonly cwd: string;
  /** Why its end was not seen; null where it was, or has not come. */
  readonly lost: string | null;
  /** Whether its agent was told to approve by itself. */
  readonly autoApprove: boolean;
  readonly endedAt: number | null;
}

export interface StartSession extends Size {
  readonly argv: readonly string[] | null;
  readonly kind: string;
  readonly name: string | null;
  readonly cwd: string | null;
  /** The custom command to run, instead of `argv`. */
  readonly command: string | null;
  readonly auto_approve: boolean;
}

/** A kind of session that a machine knows: its shell, or an agent. */
export interface KindInfo {
  readonly name: string;
  readonly title: string;
  readonly installed: boolean;
  /** Whether it can be told to approve by itself. */
  readonly autoApprove: boolean;
}

export interface CommandInfo {
  readonly name: string;
  readonly argv: readonly string[];
  readonly cwd: string | null;
}

export interface KindList {
  readonly kinds: readonly KindInfo[];
  readonly commands: readonly CommandInfo[];
}

/** What an attach call says about what its viewer has. */
export interface AttachParams extends Size {
  readonly session: string;
  readonly viewer: Uint8Array;
  readonly view_only: boolean;
  readonly epoch: string | null;
  readonly offset: number | null;
  readonly resizes: number | null;
  readonly typed: number;
}

/** What the host says in the stream of an attach call, besides the program's output. */
export type AttachItem =
  | ({ readonly type: "resumed" } & Beginning)
  | ({ readonly type: "picture"; readonly length: number } & Beginning)
  | ({ readonly type: "resized" } & Size)
  | { readonly type: "typed"; readonly total: number }
  | ({ readonly type: "viewers" } & Audience)
  | { readonly type: "ended"; readonly exitCode: number | null }
  | { readonly type: "unknown" };

/** Who looks at a session, and whether its size is ours to choose. */
export interface Audience {
  /** Everybody, this viewer included, in the order in which they came. */
  readonly names: readonly string[];
  readonly owner: boolean;
}

export interface Beginning extends Size {
  readonly at: Position;
  readonly title: string;
}

/** A point in a session's output, and how much of our typing it knows. */
export interface Position {
  /** Which host's counting `offset` belongs to. It is compared and sent back, nothing else. */
  readonly epoch: string;
  readonly offset: number;
  /** How many size changes there were before. */
  readonly resizes: number;
  readonly typed: number;
}

export function readHello(value: unknown): Hello {
  const fields = new Fields(value, "hello");
  return Object.freeze({
    nodeId: fields.text("node_id"),
    name: line(fields.text("name")),
    version: line(fields.text("version")),
    grants: Object.freeze(fields.texts("grants")),
  });
}

export function readSession(value: unknown, what = "session"): SessionInfo {
  const fields = new Fields(value, what);
  return Object.freeze({
    id: fields.text("id"),
    name: line(fields.text("name")),
    kind: line(fields.text("kind")),
    alive: fields.flag("alive"),
    createdAt: fields.seconds("created_at"),
    cols: fields.int("cols", TERMINAL_SIDE),
    rows: fields.int("rows", TERMINAL_SIDE),
    viewers: fields.int("viewers", ANY_COUNT),
    title: line(fields.maybe("title", fields.text) ?? ""),
    exitCode: fields.maybe("exit_code", (key) => fields.int(key, ANY_INT)),
    argv: Object.freeze(fields.texts("argv")),
    cwd: line(fields.maybe("cwd", fields.text) ?? ""),
    lost: fields.maybe("lost", (key) => line(fields.text(key))),
    autoApprove: fields.maybe("auto_approve", fields.flag) ?? false,
    endedAt: fields.maybe("ended_at", fields.seconds),
  });
}

/** The result of `kinds.list`. */
export function readKinds(value: unknown): KindList {
  const fields = new Fields(value, "kinds");
  return Object.freeze({
    kinds: Object.freeze(fields.list("kinds", readKind)),
    commands: Object.freeze(fields.list("commands", readCommand)),
  });
}

function readKind(value: unknown, what: string): KindInfo {
  const fields = new Fields(value, what);
  return Object.freeze({
    name: fields.text("name"),
    title: line(fields.text("title")),
    installed: fields.flag("installed"),
    autoApprove: fields.flag("auto_approve"),
  });
}

function readCommand(value: unknown, what: string): CommandInfo {
  const fields = new Fields(value, what);
  return Object.freeze({
    name: fields.text("name"),
    argv: Object.freeze(fields.texts("argv")),
    cwd: fields.maybe("cwd", fields.text),
  });
}

/** The value of `sessions.list`, and of each Item of `sessions.watch`. */
export function readSessions(value: unknown): readonly SessionInfo[] {
  return Object.freeze(new Fields(value, "sessions").list("sessions", readSession));
}

export function readAttachItem(value: unknown): AttachItem {
  const fields = new Fields(value, "attach");
  const type = fields.text("type");
  switch (type) {
    case "resumed":
      return { type, at: readPosition(fields), title: readTitle(fields), ...readSize(fields) };
    case "picture":
      return {
        type,
        at: readPosition(fields),
        title: readTitle(fields),
        length: fields.int("length", ANY_COUNT),
        ...readSize(fields),
      };
    case "resized":
      return { type, ...readSize(fields) };
    case "typed":
      return { type, total: fields.int("total", ANY_COUNT) };
    case "viewers":
      return {
        type,
        names: Object.freeze(fields.texts("names").map(line)),
        owner: fields.flag("owner"),
      };
    case "ended":
      return { type, exitCode: fields.maybe("exit_code", (key) => fields.int(key, ANY_INT)) };
    default:
      // A newer host may tell more; what we do not know cannot change what we show.
      return { type: "unknown" };
  }
}

function readPosition(fields: Fields): Position {
  return Object.freeze({
    epoch: fields.text("epoch"),
    offset: fields.int("offset", ANY_COUNT),
    resizes: fields.maybe("resizes", (key) => fields.int(key, ANY_COUNT)) ?? 0,
    typed: fields.int("typed", ANY_COUNT),
  });
}

function readSize(fields: Fields): Size {
  return { cols: fields.int("cols", TERMINAL_SIDE), rows: fields.int("rows", TERMINAL_SIDE) };
}

function readTitle(fields: Fields): string {
  return line(fields.maybe("title", fields.text) ?? "");
}

/** One line to show: no control characters, and not longer than anyone reads. */
export function line(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ").slice(0, LINE_LIMIT).trim();
}
