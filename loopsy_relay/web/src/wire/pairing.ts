// Pairing by QR code: what the link says, and the secrets that follow from it and the code.

import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { fromBase64Url } from "./bytes";
import { nodeKeyOf, OFFER_ID_LENGTH, type Approach } from "./opening";

const SECRET_LENGTH = 16;
const PSK_LENGTH = 32;
/** What the relay's tokens may look like: they are signed by it and mean nothing to us. */
const TOKEN = /^[A-Za-z0-9._~=:+/-]{1,1024}$/;
const CODE = /^[0-9]{4}$/;
const utf8 = new TextEncoder();

/** A link `#1,token,node id,secret`, read and found to be one. */
export interface PairLink {
  readonly token: string;
  readonly nodeId: string;
  readonly nodeKey: Uint8Array;
  readonly secret: Uint8Array;
}

/** Why a link is of no use: it is no pair link at all, is cut off, or is newer than this page. */
export type LinkTrouble = "not_a_link" | "damaged" | "too_new";

/** Read the fragment of a pair link, with or without its `#`. */
export function parsePairLink(fragment: string): PairLink | LinkTrouble {
  const text = fragment.startsWith("#") ? fragment.slice(1) : fragment;
  const [version, token, nodeId, secretText, ...rest] = text.split(",");
  if (version === undefined || !/^[0-9]+$/.test(version)) return "not_a_link";
  if (version !== "1") return "too_new";
  if (token === undefined || nodeId === undefined || secretText === undefined) return "damaged";
  const nodeKey = nodeKeyOf(nodeId);
  const secret = fromBase64Url(secretText);
  const whole =
    rest.length === 0 && TOKEN.test(token) && nodeKey !== null && secret?.length === SECRET_LENGTH;
  return whole ? Object.freeze({ token, nodeId, nodeKey, secret }) : "damaged";
}

/** Whether `text` is a code as the machine shows it: four ASCII digits. */
export function isCode(text: string): boolean {
  return CODE.test(text);
}

/** How to come to the node with this link and the code that the user typed. */
export function pairingApproach(secret: Uint8Array, code: string): Approach {
  if (!isCode(code)) throw new RangeError("A pairing code has four digits.");
  return Object.freeze({ how: "pairing", psk: pskOf(secret, code), offerId: offerIdOf(secret) });
}

export function pskOf(secret: Uint8Array, code: string): Uint8Array {
  return hkdf(sha256, secret, utf8.encode(code), utf8.encode("loopsy/1 pairing"), PSK_LENGTH);
}

export function offerIdOf(secret: Uint8Array): Uint8Array {
  return hkdf(sha256, secret, utf8.encode(""), utf8.encode("loopsy/1 offer"), OFFER_ID_LENGTH);
}
