// A machine against a fake node: online, cut, woken, refused; and what it never does.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { A_SESSION, FakeNode } from "../testing/fake_node";
import type { MachineRecord } from "../store/records";
import { hex } from "../wire/bytes";
import { newKeyPair } from "../wire/noise";
import { CallFault, Disconnected } from "./conversation";
import { Machine } from "./machine";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(1);

function world(): { node: FakeNode; machine: Machine; record: MachineRecord } {
  const node = new FakeNode();
  const keys = newKeyPair();
  node.contacts.add(hex(keys.public));
  node.sessions = [A_SESSION];
  const record: MachineRecord = Object.freeze({
    nodeId: node.id,
    name: "kai",
    relay: "https://relay.example",
    bearer: "bearer",
    phoneId: "p",
    phoneName: "Phone",
    secretKey: keys.secret,
    createdAt: 0,
  });
  return { node, record, machine: new Machine(record, node.dial) };
}

test("it comes online, and its sessions follow the node's", async () => {
  const { node, machine } = world();
  machine.open();
  expect(machine.state.value.at).toBe("connecting");
  await settle();
  expect(machine.state.value).toMatchObject({ at: "online", hello: { name: "kai" } });
  expect(machine.sessions.value).toMatchObject([{ id: "s1", name: "deploy", exitCode: null }]);
  node.line.item(3, { sessions: [] });
  await settle();
  expect(machine.sessions.value).toEqual([]);
  machine.close();
});

test("a cut is mended, and those who waited are told", async () => {
  const { node, machine } = world();
  node.ask = (_, { op }) => op === "never.answered";
  machine.open();
  await settle();
  const asked = machine.ask("never.answered");
  const told = expect(asked).rejects.toBeInstanceOf(Disconnected);
  node.line.end(1006);
  await told;
  expect(machine.state.value).toMatchObject({ at: "offline", because: { why: "cut" } });
  expect(machine.sessions.value).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(machine.state.value.at).toBe("online");
  expect(node.lines).toHaveLength(2);
  machine.close();
});

test("a wake-up tries at once", async () => {
  const { node, machine } = world();
  node.door = [4404, ""];
  machine.open();
  await settle();
  expect(machine.state.value).toMatchObject({ at: "offline", because: { why: "node_away" } });
  node.door = null;
  machine.wake();
  await vi.advanceTimersByTimeAsync(0);
  expect(machine.state.value.at).toBe("online");
  machine.close();
});

test("a wake-up finds out that a connection is dead", async () => {
  const { node, machine } = world();
  machine.open();
  await settle();
  const line = node.line;
  line.socket.send = () => {}; // the network is gone, and nobody has noticed
  machine.wake();
  await vi.advanceTimersByTimeAsync(5_500);
  expect(line.open).toBe(false);
  expect(machine.state.value.at).toBe("online");
  expect(node.lines).toHaveLength(2);
  machine.close();
});

test("a handshake that nobody answers is given up after ten seconds", async () => {
  const { node, machine } = world();
  node.silent = true;
  machine.open();
  await vi.advanceTimersByTimeAsync(9_999);
  expect(machine.state.value.at).toBe("connecting");
  await vi.advanceTimersByTimeAsync(1);
  expect(machine.state.value).toMatchObject({ at: "offline", because: { why: "unreachable" } });
  machine.close();
});

test.each([
  [4401, "", "revoked"],
  [4410, "revoked", "revoked"],
  [4410, "unknown_key", "unknown_key"],
])("%s %s ends the tries, and keeps the keys", async (code, word, reason) => {
  const { node, machine, record } = world();
  machine.open();
  await settle();
  node.line.end(code, word);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(machine.state.value).toEqual({ at: "refused", reason });
  expect(node.lines).toHaveLength(1);
  expect(machine.record).toBe(record);
  machine.open(); // the user decides to try again
  await settle();
  expect(machine.state.value.at).toBe("online");
  machine.close();
});

test("somebody else with the node's address is not believed", async () => {
  const { machine } = world();
  const impostor = new FakeNode();
  const fooled = new Machine(machine.record, impostor.dial);
  fooled.open();
  const quiet = vi.spyOn(console, "warn").mockImplementation(() => {});
  await vi.advanceTimersByTimeAsync(0); // it cannot read our first message, and answers something
  expect(fooled.state.value).toMatchObject({ at: "offline", because: { why: "broken" } });
  quiet.mockRestore();
  fooled.close();
});

test("a record that was tampered with ends the connection", async () => {
  const { node, machine } = world();
  const quiet = vi.spyOn(console, "warn").mockImplementation(() => {});
  machine.open();
  await settle();
  node.line.deliver(new Uint8Array(80));
  await vi.advanceTimersByTimeAsync(0);
  expect(machine.state.value).toMatchObject({ at: "offline", because: { why: "broken" } });
  quiet.mockRestore();
  machine.close();
});

test("a fault speaks with its code", async () => {
  const { machine } = world();
  machine.open();
  await settle();
  await expect(machine.ask("teapot")).rejects.toMatchObject(new CallFault("bad_request", "The fake node does not know teapot."));
  machine.close();
  await expect(machine.ask("node.hello")).rejects.toBeInstanceOf(Disconnected);
});
