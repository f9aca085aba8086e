// The handshakes against published vectors, and what they must refuse.

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromHex } from "../testing/hex";
import { hex } from "./bytes";
import { CipherState, Handshake, keyPairOf, newKeyPair, NoiseError, type Pattern } from "./noise";

interface Vector {
  protocol_name: string;
  init_prologue: string;
  init_static: string;
  init_ephemeral: string;
  init_remote_static?: string;
  init_psks?: string[];
  resp_prologue: string;
  resp_static: string;
  resp_ephemeral: string;
  resp_psks?: string[];
  handshake_hash: string;
  messages: { payload: string; ciphertext: string }[];
}

// They lie beside the repository on machines that have them, and are not ours to copy.
const PUBLISHED = new URL("../../../../../shared/vectors/noise.json", import.meta.url);
const NOTHING = new Uint8Array(0);

function published(): Vector[] {
  if (!existsSync(PUBLISHED)) return [];
  return (JSON.parse(readFileSync(PUBLISHED, "utf8")) as { vectors: Vector[] }).vectors;
}

function pair(pattern: Pattern): [Handshake, Handshake] {
  const node = newKeyPair();
  const common = { pattern, prologue: NOTHING, psk: new Uint8Array(32).fill(7) };
  return [
    new Handshake({ ...common, initiator: true, ours: newKeyPair(), theirs: node.public }),
    new Handshake({ ...common, initiator: false, ours: node }),
  ];
}

describe("published vectors", () => {
  test.skipIf(published().length > 0)("are skipped: shared/vectors/noise.json is not here", () => {});

  test.each(published().map((vector) => [vector.protocol_name, vector] as const))("%s", (name, v) => {
    const pattern = name.split("_")[1] as Pattern;
    const initiator = new Handshake({
      pattern,
      initiator: true,
      prologue: fromHex(v.init_prologue),
      ours: keyPairOf(fromHex(v.init_static)),
      ephemeral: keyPairOf(fromHex(v.init_ephemeral)),
      ...(v.init_remote_static ? { theirs: fromHex(v.init_remote_static) } : {}),
      ...(v.init_psks?.[0] ? { psk: fromHex(v.init_psks[0]) } : {}),
    });
    const responder = new Handshake({
      pattern,
      initiator: false,
      prologue: fromHex(v.resp_prologue),
      ours: keyPairOf(fromHex(v.resp_static)),
      ephemeral: keyPairOf(fromHex(v.resp_ephemeral)),
      ...(v.resp_psks?.[0] ? { psk: fromHex(v.resp_psks[0]) } : {}),
    });
    const messages = [...v.messages];
    let writer = initiator;
    let reader = responder;
    while (!initiator.done) {
      const message = messages.shift()!;
      const sent = writer.write(fromHex(message.payload));
      expect(hex(sent)).toBe(message.ciphertext);
      expect(hex(reader.read(sent))).toBe(message.payload);
      [writer, reader] = [reader, writer];
    }
    const one = initiator.secured();
    const two = responder.secured();
    expect(hex(one.hash)).toBe(v.handshake_hash);
    expect(hex(two.hash)).toBe(v.handshake_hash);
    // Transport messages go on alternating from whoever is next.
    let [from, to] = writer === initiator ? [one, two] : [two, one];
    for (const message of messages) {
      const sent = from.sending.encrypt(NOTHING, fromHex(message.payload));
      expect(hex(sent)).toBe(message.ciphertext);
      expect(hex(to.receiving.decrypt(NOTHING, sent))).toBe(message.payload);
      [from, to] = [to, from];
    }
  });
});

describe.each(["IK", "IKpsk1", "XX"] as const)("%s", (pattern) => {
  test("both sides end with each other's key and one hash", () => {
    const [a, b] = pair(pattern);
    const turns = pattern === "XX" ? 3 : 2;
    for (let turn = 0; turn < turns; turn++) {
      const [from, to] = turn % 2 === 0 ? [a, b] : [b, a];
      to.read(from.write(Uint8Array.of(turn)));
    }
    expect(hex(a.secured().hash)).toBe(hex(b.secured().hash));
  });

  test("a step out of order is refused", () => {
    const [a, b] = pair(pattern);
    expect(() => a.read(new Uint8Array(200))).toThrow(NoiseError);
    expect(() => b.write(NOTHING)).toThrow(NoiseError);
    expect(() => a.secured()).toThrow(NoiseError);
    a.write(NOTHING);
    expect(() => a.write(NOTHING)).toThrow(NoiseError);
  });

  test("a message that is cut short is refused, and so is everything after it", () => {
    const [a, b] = pair(pattern);
    const message = a.write(NOTHING);
    expect(() => b.read(message.subarray(0, 31))).toThrow(NoiseError);
    expect(() => b.read(message)).toThrow(NoiseError);
  });
});

test("a wrong psk fails at the payload of message 1", () => {
  const node = newKeyPair();
  const common = { pattern: "IKpsk1", prologue: NOTHING } as const;
  const a = new Handshake({
    ...common, initiator: true, ours: newKeyPair(), theirs: node.public, psk: new Uint8Array(32),
  });
  const b = new Handshake({ ...common, initiator: false, ours: node, psk: new Uint8Array(32).fill(1) });
  expect(() => b.read(a.write(NOTHING))).toThrow(NoiseError);
});

test("a point of small order is refused", () => {
  const [, b] = pair("IK");
  expect(() => b.read(new Uint8Array(96))).toThrow(NoiseError);
});

test("a failed message leaves the counter where it was", () => {
  const key = new Uint8Array(32).fill(3);
  const [a, b] = [new CipherState(key), new CipherState(key)];
  const sent = a.encrypt(NOTHING, Uint8Array.of(1, 2, 3));
  expect(() => b.decrypt(NOTHING, sent.map((byte) => byte ^ 1))).toThrow(NoiseError);
  expect(b.decrypt(NOTHING, sent)).toEqual(Uint8Array.of(1, 2, 3));
});

test("rekeying gives both sides the same new key", () => {
  const key = new Uint8Array(32).fill(3);
  const [a, b] = [new CipherState(key), new CipherState(key)];
  a.rekey();
  expect(() => b.decrypt(NOTHING, a.encrypt(NOTHING, Uint8Array.of(1)))).toThrow(NoiseError);
  b.rekey();
  a.encrypt(NOTHING, NOTHING);
});
