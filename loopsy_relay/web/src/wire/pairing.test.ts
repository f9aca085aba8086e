// Pair links: one spelling is read, every other is refused with a reason.

import fc from "fast-check";
import { expect, test } from "vitest";
import { fromBase32, fromBase64Url, hex, toBase32, toBase64Url } from "./bytes";
import { isCode, offerIdOf, parsePairLink, pskOf } from "./pairing";

const key = new Uint8Array(32).fill(5);
const secret = new Uint8Array(16).fill(9);
const nodeId = toBase32(key);
const spelled = toBase64Url(secret);

test("a link is read, with and without its #", () => {
  const wanted = { token: "a.b-c_1", nodeId, nodeKey: key, secret };
  expect(parsePairLink(`#1,a.b-c_1,${nodeId},${spelled}`)).toEqual(wanted);
  expect(parsePairLink(`1,a.b-c_1,${nodeId},${spelled}`)).toEqual(wanted);
});

test.each([
  ["", "not_a_link"],
  ["#/settings", "not_a_link"],
  ["#", "not_a_link"],
  [`#2,token,${nodeId},${spelled}`, "too_new"],
  ["#1,token", "damaged"],
  [`#1,token,${nodeId},${spelled},more`, "damaged"],
  [`#1,,${nodeId},${spelled}`, "damaged"],
  [`#1,to ken,${nodeId},${spelled}`, "damaged"],
  [`#1,token,${nodeId.toUpperCase()},${spelled}`, "damaged"],
  [`#1,token,${nodeId.slice(1)},${spelled}`, "damaged"],
  [`#1,token,${nodeId},${spelled.slice(1)}`, "damaged"],
  [`#1,token,${nodeId},${spelled}==`, "damaged"],
  // The last letter has bits to spare; a second spelling of the same key is not accepted.
  [`#1,token,${nodeId.slice(0, -1)}7,${spelled}`, "damaged"],
])("%s is %s", (fragment, trouble) => {
  expect(parsePairLink(fragment)).toBe(trouble);
});

test("any key and secret survive their spelling, and nothing else makes the parser fall over", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      expect(fromBase32(toBase32(bytes))).toEqual(bytes);
      expect(fromBase64Url(toBase64Url(bytes))).toEqual(bytes);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => void parsePairLink(text)));
});

test("a code is four ASCII digits", () => {
  expect(["0000", "1234"].every(isCode)).toBe(true);
  expect(["", "123", "12345", "12a4", "١٢٣٤", " 1234"].some(isCode)).toBe(false);
});

test("another code gives another key, and the offer id does not depend on it", () => {
  expect(hex(pskOf(secret, "1234"))).not.toBe(hex(pskOf(secret, "1235")));
  expect(offerIdOf(secret)).toHaveLength(16);
});
