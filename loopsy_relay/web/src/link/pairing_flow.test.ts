// Pairing as a play: right and wrong codes, used links, reloads in between.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeNode } from "../testing/fake_node";
import { FakeStore } from "../testing/fake_store";
import { nodeKeyOf } from "../wire/opening";
import type { PairLink } from "../wire/pairing";
import { Machine } from "./machine";
import { Machines } from "./machines";
import { PairingFlow } from "./pairing_flow";

const SECRET = new Uint8Array(16).fill(8);
let redeemed: { token: string; name: string }[] = [];
let answer: () => Response = () => new Response();

beforeEach(() => {
  redeemed = [];
  answer = () => Response.json({ phoneId: "p1", bearer: "bearer-1", deviceId: "d" }, { status: 201 });
  vi.stubGlobal("navigator", { userAgent: "test" }); // Node before 21 has none
  vi.stubGlobal("fetch", async (_: URL, init: RequestInit) => {
    redeemed.push(JSON.parse(init.body as string) as { token: string; name: string });
    return answer();
  });
});
afterEach(() => void vi.unstubAllGlobals());

function world(): { node: FakeNode; store: FakeStore; machines: Machines; link: PairLink; flow: PairingFlow } {
  const node = new FakeNode();
  node.offer = { secret: SECRET, code: "0427", triesLeft: 3 };
  const store = new FakeStore();
  const machines = new Machines(store, (record) => new Machine(record, node.dial));
  const link: PairLink = { token: "t", nodeId: node.id, nodeKey: nodeKeyOf(node.id)!, secret: SECRET };
  PairingFlow.begin(link, "https://relay.example", store, machines);
  return { node, store, machines, link, flow: resumed(store, machines, node) };
}

/** What a page finds after a reload. */
function resumed(store: FakeStore, machines: Machines, node: FakeNode): PairingFlow {
  return new PairingFlow(store.pendingPairing!, store, machines, "Phone", node.dial);
}

test("the right code pairs: the machine is kept and comes online", async () => {
  const { node, store, machines, flow } = world();
  await flow.submit("0427");
  expect(flow.state.value).toEqual({ at: "paired", nodeId: node.id });
  expect(redeemed).toEqual([{ token: "t", name: "Phone" }]);
  expect(store.kept.get(node.id)).toMatchObject({ name: "kai", bearer: "bearer-1", phoneId: "p1" });
  expect(store.pendingPairing).toBeNull();
  await vi.waitFor(() => expect(machines.find(node.id)?.state.value.at).toBe("online"));
});

test("a wrong code says how many tries are left, and the next try uses the same bearer", async () => {
  const { node, flow } = world();
  await flow.submit("1111");
  expect(flow.state.value).toEqual({ at: "asking", triesLeft: 2, trouble: null });
  await flow.submit("0427");
  expect(flow.state.value.at).toBe("paired");
  expect(redeemed).toHaveLength(1);
  expect(new Set(node.lines.map((line) => line.bearer))).toEqual(new Set(["bearer-1"]));
});

test("three wrong codes burn the link, also for the right one", async () => {
  const { store, flow } = world();
  for (const code of ["1111", "2222", "3333"]) await flow.submit(code);
  expect(flow.state.value).toEqual({ at: "over", why: "burnt" });
  await flow.submit("0427");
  expect(flow.state.value.at).toBe("over");
  expect(store.pendingPairing).toBeNull();
});

test("a reload between two tries loses nothing", async () => {
  const { node, store, machines, flow } = world();
  await flow.submit("1111");
  const after = resumed(store, machines, node);
  await after.submit("0427");
  expect(after.state.value.at).toBe("paired");
  expect(redeemed).toHaveLength(1);
});

test("a reload after the node had accepted us finds the pairing done", async () => {
  const { node, store, machines, flow } = world();
  node.ask = (line) => {
    line.end(1006); // the answer to the first record is lost
    return true;
  };
  await flow.submit("0427");
  expect(flow.state.value).toMatchObject({ at: "asking", triesLeft: null });
  node.ask = () => false;
  const after = resumed(store, machines, node);
  await after.submit("0427");
  expect(after.state.value.at).toBe("paired");
});

test("a used link says so", async () => {
  const { flow } = world();
  answer = () => Response.json({ error: { code: "refused", message: "used" } }, { status: 403 });
  await flow.submit("0427");
  expect(flow.state.value).toEqual({ at: "over", why: "gone" });
});

test("a relay that is busy or away leaves the code to be tried again", async () => {
  const { flow } = world();
  answer = () => Response.json({ error: { code: "busy", message: "too many phones" } }, { status: 429 });
  await flow.submit("0427");
  expect(flow.state.value).toMatchObject({ at: "asking", trouble: "Too many phones." });
  answer = () => new Response("bad gateway", { status: 502 });
  await flow.submit("0427");
  expect(flow.state.value).toMatchObject({ at: "asking", triesLeft: null });
  answer = () => Response.json({ phoneId: "p", bearer: "not a token!" }, { status: 201 });
  await flow.submit("0427");
  expect(flow.state.value.at).toBe("asking");
});

test("forgetting deletes the keys and tells the machine", async () => {
  const { node, store, machines, flow } = world();
  await flow.submit("0427");
  const machine = machines.find(node.id)!;
  await vi.waitFor(() => expect(machine.state.value.at).toBe("online"));
  expect(await machines.forget(machine)).toBe(true);
  expect(store.kept.size).toBe(0);
  expect(machines.list.value).toEqual([]);
  expect(node.line.heard).toContainEqual(expect.objectContaining({ op: "pairing.forget" }));
});
