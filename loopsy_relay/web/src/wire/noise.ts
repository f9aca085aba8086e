// The Noise handshakes IK, IKpsk1 and XX (25519, ChaChaPoly, SHA256) as machines: no I/O.
//
// Written along the Noise specification, revision 34; names and order of steps are its own, so
// that the two can be read side by side. Published vectors hold it in place (noise.test.ts).

import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { join, sameBytes } from "./bytes";

export const KEY_LENGTH = 32;
const HASH_LENGTH = 32;
const TAG_LENGTH = 16;
const NOTHING = new Uint8Array(0);
const ZERO_KEY = new Uint8Array(KEY_LENGTH);

/** A handshake or transport message that does not open, or a step out of order. Fatal, always. */
export class NoiseError extends Error {
  override readonly name = "NoiseError";
}

export interface KeyPair {
  readonly secret: Uint8Array;
  readonly public: Uint8Array;
}

/** A fresh X25519 key pair from the browser's own source of randomness. */
export function newKeyPair(): KeyPair {
  return keyPairOf(crypto.getRandomValues(new Uint8Array(KEY_LENGTH)));
}

export function keyPairOf(secret: Uint8Array): KeyPair {
  return { secret, public: x25519.getPublicKey(secret) };
}

/** The tokens of each pattern's messages, and whether the responder's key is known beforehand. */
const PATTERNS = {
  IK: {
    responderKnown: true,
    messages: [
      ["e", "es", "s", "ss"],
      ["e", "ee", "se"],
    ],
  },
  IKpsk1: {
    responderKnown: true,
    messages: [
      ["e", "es", "s", "ss", "psk"],
      ["e", "ee", "se"],
    ],
  },
  XX: {
    responderKnown: false,
    messages: [["e"], ["e", "ee", "s", "es"], ["s", "se"]],
  },
} as const;

export type Pattern = keyof typeof PATTERNS;
type Token = "e" | "s" | "ee" | "es" | "se" | "ss" | "psk";

/** A key with its counter (section 5.1). Each direction of a connection has one. */
export class CipherState {
  private nonce = 0;

  constructor(private key: Uint8Array) {}

  encrypt(ad: Uint8Array, plaintext: Uint8Array): Uint8Array {
    return chacha20poly1305(this.key, nonceBytes(this.nonce++), ad).encrypt(plaintext);
  }

  decrypt(ad: Uint8Array, ciphertext: Uint8Array): Uint8Array {
    if (ciphertext.length < TAG_LENGTH) throw new NoiseError("A message is too short to open.");
    try {
      const plaintext = chacha20poly1305(this.key, nonceBytes(this.nonce), ad).decrypt(ciphertext);
      this.nonce++; // only now: a failed message leaves the state as it was (section 5.1)
      return plaintext;
    } catch {
      throw new NoiseError("A message does not open with our key.");
    }
  }

  /** Replace the key by REKEY(k), section 4.2. The nonce goes on counting. */
  rekey(): void {
    const last = new Uint8Array(12).fill(0xff, 4);
    this.key = chacha20poly1305(this.key, last, NOTHING).encrypt(ZERO_KEY).subarray(0, KEY_LENGTH);
  }
}

/** Both sides' keys in one running hash (section 5.2). */
class SymmetricState {
  hash: Uint8Array;
  private chainingKey: Uint8Array;
  private cipher: CipherState | null = null;

  constructor(protocolName: string) {
    const name = new TextEncoder().encode(protocolName);
    if (name.length <= HASH_LENGTH) {
      this.hash = new Uint8Array(HASH_LENGTH);
      this.hash.set(name);
    } else {
      this.hash = sha256(name);
    }
    this.chainingKey = this.hash;
  }

  mixHash(data: Uint8Array): void {
    this.hash = sha256(join(this.hash, data));
  }

  mixKey(material: Uint8Array): void {
    const [chainingKey, key] = hkdf(this.chainingKey, material);
    this.chainingKey = chainingKey;
    this.cipher = new CipherState(key);
  }

  mixKeyAndHash(material: Uint8Array): void {
    const [chainingKey, hash, key] = hkdf(this.chainingKey, material);
    this.chainingKey = chainingKey;
    this.mixHash(hash);
    this.cipher = new CipherState(key);
  }

  get hasKey(): boolean {
    return this.cipher !== null;
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.cipher ? this.cipher.encrypt(this.hash, plaintext) : plaintext;
    this.mixHash(ciphertext);
    return ciphertext;
  }

  decryptAndHash(ciphertext: Uint8Array): Uint8Array {
    const plaintext = this.cipher ? this.cipher.decrypt(this.hash, ciphertext) : ciphertext;
    this.mixHash(ciphertext);
    return plaintext;
  }

  split(): [CipherState, CipherState] {
    const [first, second] = hkdf(this.chainingKey, NOTHING);
    return [new CipherState(first), new CipherState(second)];
  }
}

export interface HandshakeOptions {
  readonly pattern: Pattern;
  readonly initiator: boolean;
  readonly prologue: Uint8Array;
  readonly ours: KeyPair;
  /** The responder's key; an IK initiator has to know it. */
  readonly theirs?: Uint8Array;
  readonly psk?: Uint8Array;
  /** Only for vectors: everyone else gets a fresh one. */
  readonly ephemeral?: KeyPair;
}

/** What a finished handshake leaves behind. */
export interface Secured {
  readonly sending: CipherState;
  readonly receiving: CipherState;
  readonly theirs: Uint8Array;
  /** Unique to this connection; both sides have the same one. */
  readonly hash: Uint8Array;
}

/** One handshake (section 5.3): `write` and `read` by turns, then `secured`. */
export class Handshake {
  private readonly symmetric: SymmetricState;
  private readonly messages: readonly (readonly Token[])[];
  private readonly ephemeral: KeyPair;
  private theirEphemeral: Uint8Array | null = null;
  private theirStatic: Uint8Array | null;
  private turn = 0;
  private broken = false;

  constructor(private readonly options: HandshakeOptions) {
    const pattern = PATTERNS[options.pattern];
    this.messages = pattern.messages;
    this.theirStatic = options.theirs ?? null;
    this.ephemeral = options.ephemeral ?? newKeyPair();
    this.symmetric = new SymmetricState(`Noise_${options.pattern}_25519_ChaChaPoly_SHA256`);
    this.symmetric.mixHash(options.prologue);
    if (pattern.responderKnown) {
      const responder = options.initiator ? this.theirStatic : options.ours.public;
      this.symmetric.mixHash(this.known(responder, "the responder's key"));
    }
  }

  get done(): boolean {
    return this.turn === this.messages.length;
  }

  /** Our next message, carrying `payload`. */
  write(payload: Uint8Array): Uint8Array {
    const parts: Uint8Array[] = [];
    for (const token of this.take("write")) {
      if (token === "e") {
        parts.push(this.ephemeral.public);
        this.mixEphemeral(this.ephemeral.public);
      } else if (token === "s") {
        parts.push(this.symmetric.encryptAndHash(this.options.ours.public));
      } else {
        this.mix(token);
      }
    }
    parts.push(this.symmetric.encryptAndHash(payload));
    this.turn++;
    return join(...parts);
  }

  /** The payload of their next message. After a NoiseError the handshake is dead. */
  read(message: Uint8Array): Uint8Array {
    const tokens = this.take("read");
    this.broken = true; // until the last byte of this message has been accepted
    let rest = message;
    const next = (length: number): Uint8Array => {
      if (rest.length < length) throw new NoiseError("A handshake message is too short.");
      const piece = rest.subarray(0, length);
      rest = rest.subarray(length);
      return piece;
    };
    for (const token of tokens) {
      if (token === "e") {
        this.theirEphemeral = next(KEY_LENGTH).slice();
        this.mixEphemeral(this.theirEphemeral);
      } else if (token === "s") {
        const length = KEY_LENGTH + (this.symmetric.hasKey ? TAG_LENGTH : 0);
        this.theirStatic = this.symmetric.decryptAndHash(next(length)).slice();
      } else {
        this.mix(token);
      }
    }
    const payload = this.symmetric.decryptAndHash(rest);
    this.broken = false;
    this.turn++;
    return payload;
  }

  /** The keys of the connection, once the last message has passed. */
  secured(): Secured {
    if (!this.done || this.broken) throw new NoiseError("The handshake is not finished.");
    const [toResponder, toInitiator] = this.symmetric.split();
    const { initiator } = this.options;
    return Object.freeze({
      sending: initiator ? toResponder : toInitiator,
      receiving: initiator ? toInitiator : toResponder,
      theirs: this.known(this.theirStatic, "their key"),
      hash: this.symmetric.hash,
    });
  }

  private take(what: "write" | "read"): readonly Token[] {
    const tokens = this.messages[this.turn];
    const ours = (this.turn % 2 === 0) === this.options.initiator;
    if (this.broken || tokens === undefined || ours !== (what === "write")) {
      throw new NoiseError(`It is not our turn to ${what} in this handshake.`);
    }
    return tokens;
  }

  private mixEphemeral(key: Uint8Array): void {
    this.symmetric.mixHash(key);
    // With a psk modifier every "e" goes into the key as well (section 9.2).
    if (this.options.pattern === "IKpsk1") this.symmetric.mixKey(key);
  }

  private mix(token: "ee" | "es" | "se" | "ss" | "psk"): void {
    const { ours, initiator } = this.options;
    switch (token) {
      case "ee":
        return this.symmetric.mixKey(this.shared(this.ephemeral, this.theirEphemeral));
      case "ss":
        return this.symmetric.mixKey(this.shared(ours, this.theirStatic));
      case "es":
        return this.symmetric.mixKey(
          initiator
            ? this.shared(this.ephemeral, this.theirStatic)
            : this.shared(ours, this.theirEphemeral),
        );
      case "se":
        return this.symmetric.mixKey(
          initiator
            ? this.shared(ours, this.theirEphemeral)
            : this.shared(this.ephemeral, this.theirStatic),
        );
      case "psk":
        return this.symmetric.mixKeyAndHash(this.known(this.options.psk ?? null, "the psk"));
    }
  }

  private shared(ours: KeyPair, theirs: Uint8Array | null): Uint8Array {
    const point = this.known(theirs, "their key");
    let secret: Uint8Array;
    try {
      secret = x25519.getSharedSecret(ours.secret, point);
    } catch {
      // The library refuses points of small order; the result would be all zeros.
      throw new NoiseError("Their key is not a usable point.");
    }
    if (sameBytes(secret, ZERO_KEY)) throw new NoiseError("Their key is not a usable point.");
    return secret;
  }

  private known(key: Uint8Array | null, what: string): Uint8Array {
    if (key === null || key.length !== KEY_LENGTH) {
      throw new NoiseError(`This handshake needs ${what} (${KEY_LENGTH} bytes).`);
    }
    return key;
  }
}

/** HKDF of section 4.3: three outputs, of which a caller may ignore the last. */
function hkdf(chainingKey: Uint8Array, material: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const temporary = hmac(sha256, chainingKey, material);
  const first = hmac(sha256, temporary, Uint8Array.of(1));
  const second = hmac(sha256, temporary, join(first, Uint8Array.of(2)));
  const third = hmac(sha256, temporary, join(second, Uint8Array.of(3)));
  return [first, second, third];
}

/** Four zero bytes, then the counter as u64, little-endian (section 12.3). */
function nonceBytes(counter: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, counter >>> 0, true);
  view.setUint32(8, Math.floor(counter / 2 ** 32), true);
  return bytes;
}
