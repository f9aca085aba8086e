// How the phone opens a connection to a node: the first message, and what the second must be.

import { fromBase32, join } from "./bytes";
import { decode, encode, ProtocolError } from "./codec";
import { Handshake, KEY_LENGTH, type KeyPair, type Pattern } from "./noise";
import { Sealed } from "./sealed";

const PROTOCOL = new TextEncoder().encode("loopsy/1");
export const OFFER_ID_LENGTH = 16;
/** Names and versions in an introduction have at most this many characters. */
export const INTRODUCTION_LIMIT = 64;

/** What each side says about itself inside the handshake. */
export interface Introduction {
  readonly name: string;
  readonly version: string;
}

/** With which proof we come: we are paired already, or we pair now. */
export type Approach =
  | { readonly how: "paired" }
  | { readonly how: "pairing"; readonly psk: Uint8Array; readonly offerId: Uint8Array };

export interface Opened {
  readonly sealed: Sealed;
  readonly introduction: Introduction;
}

/** The first two messages of a connection, from the initiator's side. */
export class Opening {
  private readonly handshake: Handshake;
  private readonly greeting: Uint8Array;

  /**
   * `nodeKey` is the node's public key: whoever answers has to prove that it is theirs.
   * `ephemeral` is only for vectors: everyone else gets a fresh one.
   */
  constructor(approach: Approach, ours: KeyPair, nodeKey: Uint8Array, ephemeral?: KeyPair) {
    const pairing = approach.how === "pairing";
    const kind = Uint8Array.of(pairing ? 2 : 1);
    const offerId = pairing ? approach.offerId : new Uint8Array(0);
    const pattern: Pattern = pairing ? "IKpsk1" : "IK";
    this.greeting = join(kind, offerId);
    this.handshake = new Handshake({
      pattern,
      initiator: true,
      prologue: prologue(kind, nodeKey, offerId),
      ours,
      theirs: nodeKey,
      ...(pairing ? { psk: approach.psk } : {}),
      ...(ephemeral ? { ephemeral } : {}),
    });
  }

  /** The first message of the transport. */
  first(introduction: Introduction): Uint8Array {
    return join(this.greeting, this.handshake.write(encodeIntroduction(introduction)));
  }

  /**
   * What the responder's answer makes of us.
   *
   * @throws NoiseError: it was not the node, or not for us. ProtocolError: it makes no sense.
   */
  second(message: Uint8Array): Opened {
    const introduction = decodeIntroduction(this.handshake.read(message));
    return Object.freeze({ sealed: new Sealed(this.handshake.secured()), introduction });
  }
}

export function prologue(
  kind: Uint8Array,
  responder: Uint8Array,
  offerId: Uint8Array,
): Uint8Array {
  return join(PROTOCOL, kind, responder, offerId);
}

export function encodeIntroduction({ name, version }: Introduction): Uint8Array {
  const short = (text: string): string => Array.from(text).slice(0, INTRODUCTION_LIMIT).join("");
  return encode([short(name), short(version)]);
}

export function decodeIntroduction(bytes: Uint8Array): Introduction {
  const value = decode(bytes);
  const [name, version] = Array.isArray(value) ? (value as unknown[]) : [];
  if (!isShortText(name) || !isShortText(version)) {
    throw new ProtocolError("An introduction is not a name and a version.");
  }
  return Object.freeze({ name, version });
}

/** The public key that a node id spells, or null if it is none. */
export function nodeKeyOf(nodeId: string): Uint8Array | null {
  const key = fromBase32(nodeId);
  return key?.length === KEY_LENGTH ? key : null;
}

function isShortText(value: unknown): value is string {
  return typeof value === "string" && Array.from(value).length <= INTRODUCTION_LIMIT;
}
