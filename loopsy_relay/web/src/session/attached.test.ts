// Attached against a fake host, with cuts everywhere: nothing is lost and nothing comes twice.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FakeHost, type FakeCall } from "../testing/fake_host";
import { ProtocolError } from "../wire/codec";
import type { Size } from "../wire/operations";
import { Attached, OFFLINE_LIMIT, ONLINE_LIMIT, type Line, type Screen } from "./attached";

/** A screen that is written down. */
class Paper implements Screen {
  shown: number[] = [];
  size: Size = { cols: 0, rows: 0 };
  name = "";

  reset(size: Size): void {
    this.shown = [];
    this.size = size;
  }

  resize(size: Size): void {
    this.size = size;
  }

  write(bytes: Uint8Array, done: () => void): void {
    this.shown.push(...bytes);
    done();
  }

  title(title: string): void {
    this.name = title;
  }
}

function lineTo(call: FakeCall | null, room = 65_000): Line & { items: unknown[] } {
  const items: unknown[] = [];
  return {
    items,
    room: () => (call ? room : 0),
    data: (bytes) => call?.type(bytes),
    item: (value) => {
      items.push(value);
      return true;
    },
  };
}

function deliver(call: FakeCall, attached: Attached, most = 1000): boolean {
  const piece = call.next(most);
  if (piece === null) return false;
  if ("item" in piece) attached.item(piece.item);
  else attached.data(piece.data, () => call.give(piece.data.length));
  return true;
}

function deliverAll(call: FakeCall, attached: Attached): void {
  while (deliver(call, attached));
}

const NOWHERE: Line = { room: () => 1000, data: () => {}, item: () => true };
const WISH: Size = { cols: 50, rows: 30 };
const utf8 = new TextEncoder();

type Step =
  | { do: "print"; bytes: Uint8Array }
  | { do: "type"; bytes: Uint8Array }
  | { do: "deliver"; pieces: number; most: number }
  | { do: "send"; room: number }
  | { do: "cut"; lost: number }
  | { do: "connect" }
  | { do: "lag" }
  | { do: "forgetLog" }
  | { do: "tell" }
  | { do: "resize"; size: Size };

const small = fc.uint8Array({ minLength: 1, maxLength: 40 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("print" as const), bytes: small }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("type" as const), bytes: small }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("deliver" as const),
      pieces: fc.integer({ min: 1, max: 4 }),
      most: fc.integer({ min: 1, max: 30 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("send" as const), room: fc.integer({ min: 0, max: 30 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("cut" as const), lost: fc.nat(30) }) },
  { weight: 4, arbitrary: fc.constant({ do: "connect" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "lag" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "forgetLog" as const }) },
  { weight: 2, arbitrary: fc.constant({ do: "tell" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("resize" as const),
      size: fc.record({ cols: fc.integer({ min: 1, max: 200 }), rows: fc.integer({ min: 1, max: 90 }) }),
    }),
  },
);

test("whatever is cut wherever, output and typing arrive once and in order", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const host = new FakeHost();
      const paper = new Paper();
      const attached = new Attached("s", paper, WISH);
      const typed: number[] = [];
      let call: FakeCall | null = null;
      const connect = (): void => {
        if (call) return;
        call = host.attach(attached.begin(false));
      };
      for (const each of steps) {
        if (each.do === "print") host.print(each.bytes);
        if (each.do === "type") {
          expect(attached.type(each.bytes)).toBe("kept");
          typed.push(...each.bytes);
        }
        if (each.do === "deliver" && call) for (let i = 0; i < each.pieces; i++) deliver(call, attached, each.most);
        if (each.do === "send") attached.send(bounded(lineTo(call), each.room));
        if (each.do === "cut" && call) {
          attached.send(bounded(NOWHERE, each.lost)); // sent, but the cut comes before it arrives
          call = null;
          attached.cut();
        }
        if (each.do === "connect") connect();
        if (each.do === "lag") (call as FakeCall | null)?.lag();
        if (each.do === "forgetLog") host.logStart = host.log.length;
        if (each.do === "tell") (call as FakeCall | null)?.tell();
        if (each.do === "resize") host.resize(each.size);
      }
      connect();
      deliverAll(call!, attached);
      attached.send(lineTo(call));
      expect(paper.shown).toEqual(host.log);
      expect(paper.size).toEqual(host.size);
      expect(host.received).toEqual(typed);
      expect(attached.state.value.at).toBe("live");
    }),
    { numRuns: 400 },
  );
});

/** A line on which only so much fits now. */
function bounded(line: Line, room: number): Line {
  let left = room;
  return {
    room: () => Math.min(left, line.room()),
    data: (bytes) => {
      left -= bytes.length;
      line.data(bytes);
    },
    item: (value) => line.item(value),
  };
}

test("bytes that were sent but lost on the way are sent again, others are not", () => {
  const host = new FakeHost();
  const attached = new Attached("s", new Paper(), WISH);
  const first = host.attach(attached.begin(false));
  deliverAll(first, attached);
  attached.type(utf8.encode("arrives,"));
  attached.send(lineTo(first));
  attached.type(utf8.encode("lost,"));
  attached.send(NOWHERE);
  attached.cut();
  attached.type(utf8.encode("offline"));
  const second = host.attach(attached.begin(false));
  deliverAll(second, attached);
  attached.send(lineTo(second));
  expect(new TextDecoder().decode(Uint8Array.from(host.received))).toBe("arrives,lost,offline");
});

test("half a picture is not resumed from", () => {
  const host = new FakeHost();
  host.print(utf8.encode("0123456789"));
  const attached = new Attached("s", new Paper(), WISH);
  const call = host.attach(attached.begin(false));
  deliver(call, attached);
  deliver(call, attached, 4);
  expect(attached.state.value).toEqual({ at: "drawing", left: 6 });
  attached.cut();
  expect(attached.begin(false)).toMatchObject({ epoch: null, offset: null });
});

test("a later picture does not make us type again what is under way", () => {
  const host = new FakeHost();
  const attached = new Attached("s", new Paper(), WISH);
  const call = host.attach(attached.begin(false));
  deliverAll(call, attached);
  attached.type(utf8.encode("once"));
  call.lag(); // the picture was drawn before the typing arrived
  attached.send(lineTo(call));
  deliverAll(call, attached);
  attached.send(lineTo(call));
  expect(host.received).toHaveLength(4);
});

test("typing is bounded, whole pieces only, and says so", () => {
  const host = new FakeHost();
  const attached = new Attached("s", new Paper(), WISH);
  expect(attached.type(new Uint8Array(OFFLINE_LIMIT))).toBe("kept");
  expect(attached.type(Uint8Array.of(1))).toBe("full");
  const call = host.attach(attached.begin(false));
  deliverAll(call, attached);
  attached.send(lineTo(call));
  expect(attached.type(new Uint8Array(OFFLINE_LIMIT))).toBe("kept");
  expect(attached.type(new Uint8Array(ONLINE_LIMIT))).toBe("full");
  attached.send(lineTo(call));
  attached.cut();
  // What was sent but not acknowledged does not use up the room for typing offline.
  expect(attached.type(new Uint8Array(OFFLINE_LIMIT))).toBe("kept");
  expect(attached.type(Uint8Array.of(1))).toBe("full");
});

test("only the last wish for a size is sent, and only when it is a new one", () => {
  const host = new FakeHost();
  const attached = new Attached("s", new Paper(), WISH);
  const call = host.attach(attached.begin(false));
  const line = lineTo(call);
  attached.wish({ cols: 10, rows: 10 });
  attached.wish({ cols: 20, rows: 20 });
  attached.send(line);
  expect(line.items).toEqual([]);
  deliverAll(call, attached);
  attached.send(line);
  attached.send(line);
  expect(line.items).toEqual([{ type: "resize", cols: 20, rows: 20 }]);
});

test("who looks is what the host said last, also while the connection is cut", () => {
  const host = new FakeHost();
  const attached = new Attached("s", new Paper(), WISH);
  const call = host.attach(attached.begin(false));
  expect(attached.audience.value).toBeNull();
  call.company(["desk", "Phone"], false);
  deliverAll(call, attached);
  expect(attached.audience.value).toEqual({ names: ["desk", "Phone"], owner: false });
  call.company(["Phone"], true);
  deliverAll(call, attached);
  attached.cut();
  expect(attached.audience.value).toEqual({ names: ["Phone"], owner: true });
  attached.startOver();
  expect(attached.audience.value).toBeNull();
});

test("a claim is sent once, with the size that fits now, and instead of a wish", () => {
  const host = new FakeHost();
  const attached = new Attached("s", new Paper(), WISH);
  const call = host.attach(attached.begin(false));
  deliverAll(call, attached);
  const line = lineTo(call);
  attached.claim();
  attached.wish({ cols: 20, rows: 20 });
  attached.send({ ...line, item: () => false }); // there is no room for it now
  attached.send(line);
  attached.send(line);
  expect(line.items).toEqual([{ type: "claim", cols: 20, rows: 20 }]);
  attached.wish({ cols: 21, rows: 20 });
  attached.send(line);
  expect(line.items[1]).toEqual({ type: "resize", cols: 21, rows: 20 });
});

test("a claim that could not be sent before a cut is not made later", () => {
  const host = new FakeHost();
  const attached = new Attached("s", new Paper(), WISH);
  deliverAll(host.attach(attached.begin(false)), attached);
  attached.claim();
  attached.cut();
  attached.claim();
  const second = host.attach(attached.begin(false));
  deliverAll(second, attached);
  const line = lineTo(second);
  attached.send(line);
  expect(line.items).toEqual([]);
});

test("the end is shown after all output, and nothing can be typed afterwards", () => {
  const host = new FakeHost();
  host.print(utf8.encode("bye"));
  host.exitCode = 3;
  const paper = new Paper();
  const attached = new Attached("s", paper, WISH);
  deliverAll(host.attach(attached.begin(false)), attached);
  expect(attached.state.value).toEqual({ at: "ended", exitCode: 3 });
  expect(paper.shown).toHaveLength(3);
  expect(attached.type(Uint8Array.of(1))).toBe("over");
  attached.answered(3);
  attached.cut();
  expect(attached.state.value.at).toBe("ended");
});

describe("is refused:", () => {
  const place = { epoch: "e", offset: 5, typed: 0, cols: 80, rows: 24, title: "" };
  const cases: [string, (attached: Attached) => void][] = [
    ["output before a beginning", (a) => a.data(Uint8Array.of(1), () => {})],
    ["resuming what we never had", (a) => a.item({ type: "resumed", ...place })],
    ["more typing than there was", (a) => a.item({ type: "picture", ...place, typed: 1, length: 0 })],
    ["a size of zero", (a) => a.item({ type: "picture", ...place, cols: 0, length: 0 })],
    ["an end in the middle of a picture", (a) => {
      a.item({ type: "picture", ...place, length: 9 });
      a.item({ type: "ended", exit_code: 0 });
    }],
    ["a picture within a picture", (a) => {
      a.item({ type: "picture", ...place, length: 9 });
      a.item({ type: "picture", ...place, length: 9 });
    }],
    ["output after the end", (a) => {
      a.item({ type: "picture", ...place, length: 0 });
      a.item({ type: "ended", exit_code: 0 });
      a.data(Uint8Array.of(1), () => {});
    }],
    ["viewers that are no names", (a) => a.item({ type: "viewers", names: [7], owner: true })],
    ["an item without a type", (a) => a.item({})],
    ["an item that is text", (a) => a.item("resumed")],
  ];
  test.each(cases)("%s", (_, play) => {
    const attached = new Attached("s", new Paper(), WISH);
    attached.begin(false);
    expect(() => play(attached)).toThrow(ProtocolError);
  });
});
