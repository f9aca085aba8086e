// Two call machines joined by a pretend wire, and everything a machine must not accept.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CALL_LIMIT, Calls, PIECE_COST, WINDOW, type CallEvent } from "./calls";
import { encode, ProtocolError } from "./codec";

function carry(from: Calls, to: Calls): CallEvent[] {
  return from.takeOutgoing().flatMap((message) => to.receive(message));
}

function joined(): { phone: Calls; node: Calls } {
  return { phone: new Calls("opener"), node: new Calls("other") };
}

test("a call is asked, streams both ways and is answered", () => {
  const { phone, node } = joined();
  const id = phone.ask("sessions.attach", { session: "s" });
  phone.data(id, Uint8Array.of(1, 2));
  phone.item(id, encode({ type: "resize" }));
  phone.end(id);
  expect(carry(phone, node)).toEqual([
    { type: "asked", id: 1, op: "sessions.attach", params: { session: "s" }, to: null },
    { type: "data", id, bytes: Uint8Array.of(1, 2) },
    { type: "item", id, value: { type: "resize" }, length: encode({ type: "resize" }).length },
    { type: "ended", id },
  ]);
  node.data(id, Uint8Array.of(3));
  node.answer(id, { done: true });
  expect(carry(node, phone)).toEqual([
    { type: "data", id, bytes: Uint8Array.of(3) },
    { type: "answered", id, result: { done: true } },
  ]);
  expect(phone.room(id)).toBe(0);
});

test("either side may ask; ids do not meet", () => {
  const { phone, node } = joined();
  expect([phone.ask("a", {}), phone.ask("b", {})]).toEqual([1, 3]);
  expect([node.ask("c", {}), node.ask("d", {})]).toEqual([2, 4]);
  expect(carry(phone, node).map((event) => event.type)).toEqual(["asked", "asked"]);
  node.fault(3, "refused", "no");
  expect(carry(node, phone).map((event) => event.type)).toEqual(["asked", "asked", "faulted"]);
});

test("what was under way when a call ended is ignored", () => {
  const { phone, node } = joined();
  const id = phone.ask("a", {});
  carry(phone, node);
  phone.drop(id);
  node.data(id, Uint8Array.of(1));
  node.answer(id, null);
  expect(carry(node, phone)).toEqual([]);
  expect(carry(phone, node)).toEqual([]);
  phone.consumed(id, 1);
  expect(phone.takeOutgoing()).toEqual([]);
});

test("newer versions may add elements, and new fault codes become internal", () => {
  const { phone, node } = joined();
  const id = phone.ask("a", {});
  carry(phone, node);
  expect(phone.receive(encode([3, id, "teapot", "short and stout", {}, "new"]))).toEqual([
    { type: "faulted", id, code: "internal", message: "short and stout" },
  ]);
});

test("a ping is answered with its number", () => {
  const { phone, node } = joined();
  phone.ping(77);
  expect(carry(phone, node)).toEqual([]);
  expect(carry(node, phone)).toEqual([{ type: "ponged", n: 77 }]);
});

test("credit bounds what is under way, and any amount arrives in the end", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 65_000 }), { maxLength: 60, size: "max" }), (lengths) => {
      const { phone, node } = joined();
      const id = phone.ask("a", {});
      carry(phone, node);
      const waiting = [...lengths];
      let unread = 0;
      let arrived = 0;
      for (let guard = 0; waiting.length > 0 || unread > 0; guard++) {
        if (guard > 10_000) throw new Error("stuck");
        while (waiting.length > 0 && waiting[0]! <= node.room(id)) node.data(id, new Uint8Array(waiting.shift()!));
        const pieces = carry(node, phone).filter((event) => event.type === "data");
        unread += pieces.reduce((sum, piece) => sum + piece.bytes.length + PIECE_COST, 0);
        expect(unread).toBeLessThanOrEqual(WINDOW);
        for (const piece of pieces) {
          phone.consumed(id, piece.bytes.length);
          arrived += piece.bytes.length;
        }
        unread = 0;
        carry(phone, node);
      }
      expect(arrived).toBe(lengths.reduce((sum, length) => sum + length, 0));
    }),
    { numRuns: 40 },
  );
});

test("a sender cannot overspend, and one that does is cut off", () => {
  const { phone, node } = joined();
  const id = phone.ask("a", {});
  carry(phone, node);
  expect(node.room(id)).toBe(WINDOW - PIECE_COST);
  expect(() => node.data(id, new Uint8Array(WINDOW))).toThrow(RangeError);
  for (let i = 0; i < 4; i++) phone.receive(encode([4, id, new Uint8Array(65_000)]));
  expect(() => phone.receive(encode([4, id, new Uint8Array(65_000)]))).toThrow(ProtocolError);
  expect(() => phone.receive(encode([9, 1]))).toThrow("ended");
});

test("the asked side answers busy beyond its limit", () => {
  const { phone, node } = joined();
  const asks = Array.from({ length: CALL_LIMIT + 1 }, (_, i) => encode([1, 2 * i + 1, "a", {}, null]));
  expect(asks.flatMap((ask) => node.receive(ask))).toHaveLength(CALL_LIMIT);
  phone.ask("a", {});
  for (let i = 1; i < CALL_LIMIT; i++) phone.ask("a", {});
  expect(() => phone.ask("a", {})).toThrow(RangeError);
});

describe("breaks the protocol:", () => {
  const bad: [string, unknown][] = [
    ["no array", { a: 1 }],
    ["an empty array", []],
    ["an unknown kind", [11, 1]],
    ["a kind that is no number", ["1", 1]],
    ["an answer to a call never opened", [2, 99, null]],
    ["data for a call that they never opened", [4, 2, new Uint8Array(1)]],
    ["an ask with an id of ours", [1, 1, "a", {}, null]],
    ["an ask without params", [1, 2, "a"]],
    ["an ask whose op is no text", [1, 2, 3, {}, null]],
    ["data that is text", [4, 1, "text"]],
    ["an item that is no document", [5, 1, new Uint8Array(0)]],
    ["a credit that is negative", [6, 1, -1]],
    ["an end by the answerer", [7, 1]],
    ["a drop by the answerer", [8, 1]],
    ["an answer without a result", [2, 1]],
    ["an id that is a fraction", [2, 1.5, null]],
    ["a ping without a number", [9]],
  ];
  test.each(bad)("%s", (_, value) => {
    const phone = new Calls("opener");
    phone.ask("a", {});
    expect(() => phone.receive(encode(value))).toThrow(ProtocolError);
  });

  test("a second ask with a used id", () => {
    const node = new Calls("other");
    node.receive(encode([1, 3, "a", {}, null]));
    expect(() => node.receive(encode([1, 3, "a", {}, null]))).toThrow(ProtocolError);
  });

  test("any bytes at all either make sense or a ProtocolError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          new Calls("other").receive(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});
