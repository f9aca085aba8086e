// What Python wrote down in tests/vectors, byte for byte: both implementations speak one protocol.

import { sha256 } from "@noble/hashes/sha2.js";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromHex } from "../testing/hex";
import { hex, join } from "./bytes";
import { Calls } from "./calls";
import { encode, ProtocolError } from "./codec";
import { CipherState, keyPairOf } from "./noise";
import { nodeKeyOf, Opening } from "./opening";
import { offerIdOf, pairingApproach, parsePairLink, pskOf } from "./pairing";
import { Sealed } from "./sealed";

const FOLDER = new URL("../../../../tests/vectors/", import.meta.url);
const utf8 = new TextEncoder();

/** The vectors in `name`; null in a source distribution, which carries no tests. */
function vectors<T>(name: string): T | null {
  const file = new URL(`${name}.json`, FOLDER);
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as T) : null;
}

function describeVectors<T>(name: string, body: (vectors: T) => void): void {
  const found = vectors<T>(name);
  describe(`tests/vectors/${name}.json`, () => {
    if (found === null) test.skip("is skipped: the repository's tests are not here", () => {});
    else body(found);
  });
}

interface Greeting {
  pattern: "IK" | "IKpsk1";
  phone_static: string;
  phone_ephemeral: string;
  node_public: string;
  secret: string | null;
  code: string | null;
  phone_introduction: [string, string];
  node_introduction: [string, string];
  first_message: string;
  second_message: string;
  phone_says: string;
  phone_says_sealed: string;
  node_says: string;
  node_says_sealed: string;
}

describeVectors<{ cases: Greeting[] }>("greetings", ({ cases }) => {
  test.each(cases.map((each) => [each.pattern, each] as const))("%s", (_, v) => {
    const approach =
      v.secret !== null && v.code !== null
        ? pairingApproach(fromHex(v.secret), v.code)
        : ({ how: "paired" } as const);
    const opening = new Opening(
      approach,
      keyPairOf(fromHex(v.phone_static)),
      fromHex(v.node_public),
      keyPairOf(fromHex(v.phone_ephemeral)),
    );
    const [name, version] = v.phone_introduction;
    expect(hex(opening.first({ name, version }))).toBe(v.first_message);
    const { sealed, introduction } = opening.second(fromHex(v.second_message));
    expect([introduction.name, introduction.version]).toEqual(v.node_introduction);
    expect(sealed.seal(utf8.encode(v.phone_says)).map(hex)).toEqual([v.phone_says_sealed]);
    expect(sealed.open(fromHex(v.node_says_sealed))).toEqual(utf8.encode(v.node_says));
  });
});

interface SealedVectors {
  key: string;
  messages: { size: number; record_sizes: number[]; sealed?: string; sealed_sha256: string }[];
  rekeying: { first_nonce: number; steps: { message: string; sealed: string }[] };
}

describeVectors<SealedVectors>("sealed", ({ key, messages, rekeying }) => {
  const ends = (): [Sealed, Sealed] => {
    const cipher = (): CipherState => new CipherState(fromHex(key));
    return [
      new Sealed({ sending: cipher(), receiving: cipher() }),
      new Sealed({ sending: cipher(), receiving: cipher() }),
    ];
  };

  test("messages of all sizes become the same records", () => {
    const [a, b] = ends();
    for (const { size, record_sizes, sealed, sealed_sha256 } of messages) {
      const message = Uint8Array.from({ length: size }, (_, i) => i % 251);
      const records = a.seal(message);
      expect(records.map((record) => record.length)).toEqual(record_sizes);
      expect(hex(sha256(join(...records)))).toBe(sealed_sha256);
      if (sealed) expect(hex(records[0]!)).toBe(sealed);
      const opened = records.map((record) => b.open(record)).at(-1);
      expect(hex(sha256(opened!))).toBe(hex(sha256(message)));
    }
  });

  test("the key changes at the same record, to the same key", () => {
    const [a, b] = ends();
    for (let nonce = 0; nonce < rekeying.first_nonce; nonce++) {
      b.open(a.seal(Uint8Array.of(0))[0]!);
    }
    for (const { message, sealed } of rekeying.steps) {
      expect(a.seal(utf8.encode(message)).map(hex)).toEqual([sealed]);
      expect(b.open(fromHex(sealed))).toEqual(utf8.encode(message));
    }
  }, 30_000);
});

interface CallVectors {
  messages: { value: Record<string, unknown>; encoded: string }[];
  refused: { why: string; encoded: string }[];
}

describeVectors<CallVectors>("calls", ({ messages, refused }) => {
  test.each(messages.map((each) => [each.value["type"], each] as const))("%s", (_, each) => {
    expect(hex(encode(asArray(each.value)))).toBe(each.encoded);
  });

  test.each(refused.map((each) => [each.why, each] as const))("refused: %s", (_, { encoded }) => {
    for (const side of ["opener", "other"] as const) {
      const calls = new Calls(side);
      if (side === "opener") calls.ask("a", {});
      else calls.receive(encode([1, 1, "a", {}, null]));
      expect(() => calls.receive(fromHex(encoded))).toThrow(ProtocolError);
    }
  });
});

function asArray(v: Record<string, unknown>): unknown[] {
  switch (v["type"]) {
    case "ask":
      return [1, v["id"], v["op"], v["params"], v["to"]];
    case "answer":
      return [2, v["id"], v["result"]];
    case "fault":
      return [3, v["id"], v["code"], v["message"], v["details"]];
    case "data":
      return [4, v["id"], fromHex(v["data"] as string)];
    case "item":
      return [5, v["id"], encode(v["value"])];
    case "credit":
      return [6, v["id"], v["total"]];
    case "end":
      return [7, v["id"]];
    case "drop":
      return [8, v["id"], v["lost"]];
    case "ping":
      return [9, v["number"]];
    case "pong":
      return [10, v["number"]];
    default:
      throw new Error(`A vector of a kind that this test does not know: ${String(v["type"])}`);
  }
}

interface PairingVectors {
  secret: string;
  offer_id: string;
  keys: Record<string, string>;
  link: { text: string; token: string; node: string; secret: string };
}

describeVectors<PairingVectors>("pairing", ({ secret, offer_id, keys, link }) => {
  test("the secret and the code give the same offer and keys", () => {
    expect(hex(offerIdOf(fromHex(secret)))).toBe(offer_id);
    for (const [code, key] of Object.entries(keys)) expect(hex(pskOf(fromHex(secret), code))).toBe(key);
  });

  // A node id has one spelling: a vector whose last letter has bits to spare is none of a key.
  test.skipIf(nodeKeyOf(link.node) === null)("the link is read as it was written", () => {
    const parsed = parsePairLink(new URL(link.text).hash);
    if (typeof parsed === "string") throw new Error(parsed);
    expect([parsed.token, parsed.nodeId, hex(parsed.secret)]).toEqual([link.token, link.node, link.secret]);
  });
});
