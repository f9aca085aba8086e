// @vitest-environment happy-dom
// Each screen is drawn once, with a phone that is made up, and looked at through its test ids.

import { render } from "preact";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Machine } from "../link/machine";
import { Machines } from "../link/machines";
import { PairingFlow } from "../link/pairing_flow";
import type { Phone } from "../phone";
import { DEFAULT_SETTINGS, type Settings } from "../store/settings";
import { A_SESSION, FakeNode } from "../testing/fake_node";
import { FakeStore } from "../testing/fake_store";
import { Watched } from "../watched";
import { hex, toBase64Url } from "../wire/bytes";
import { newKeyPair } from "../wire/noise";
import type { LinkTrouble } from "../wire/pairing";
import { age } from "./age";
import { App } from "./app";
import { startParams } from "./new_session";
import { hashOf, parseRoute, replace, SESSIONS } from "./route";
import { Unavailable } from "./unavailable";

const KINDS = {
  kinds: [
    { name: "shell", title: "Shell", installed: true, auto_approve: false },
    { name: "codex", title: "Codex", installed: false, auto_approve: true },
    { name: "claude", title: "Claude Code", installed: true, auto_approve: true },
  ],
  commands: [{ name: "deploy", argv: ["make", "deploy"], cwd: null }],
};
const SECRET = new Uint8Array(16).fill(8);
let root: HTMLElement;

beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
  replace(SESSIONS);
});
afterEach(() => {
  render(null, root);
  root.remove();
});

const find = (id: string): HTMLElement | null => root.querySelector(`[data-testid="${id}"]`);
const shown = (id: string): Promise<HTMLElement> =>
  vi.waitFor(() => {
    const element = find(id);
    if (!element) throw new Error(`There is no ${id}: ${root.textContent}`);
    return element;
  });

function phoneWith(node: FakeNode): Phone & { readonly store: FakeStore } {
  const store = new FakeStore();
  const machines = new Machines(store, (record) => new Machine(record, node.dial));
  const settings = new Watched<Settings>(DEFAULT_SETTINGS);
  const pairing = new Watched<PairingFlow | LinkTrouble | null>(null);
  return {
    store,
    machines,
    settings,
    dark: new Watched(true),
    pairing,
    saveSettings: (changed) => settings.set(changed),
    follow: (link) => {
      pairing.set(typeof link === "string" ? link : PairingFlow.begin(link, location.origin, store, machines));
    },
  };
}

async function paired(node: FakeNode): Promise<Phone & { readonly store: FakeStore }> {
  const phone = phoneWith(node);
  const keys = newKeyPair();
  node.contacts.add(hex(keys.public));
  await phone.machines.add({
    nodeId: node.id,
    name: "kai",
    relay: "https://relay.example",
    bearer: "b",
    phoneId: "p",
    phoneName: "Phone",
    secretKey: keys.secret,
    createdAt: 0,
  });
  return phone;
}

test("a phone without machines is told how to begin, and takes a pasted link", async () => {
  const node = new FakeNode();
  render(<App phone={phoneWith(node)} />, root);
  expect(find("welcome")!.textContent).toContain("loopsy mobile pair");
  const input = find("pair-link") as HTMLInputElement;
  input.value = "nonsense";
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await vi.waitFor(() => expect(root.textContent).toContain("That is no pairing link"));
  input.value = `${location.origin}/app#1,token,${node.id},${toBase64Url(SECRET)}`;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await shown("pair-code");
});

test("pairing asks for four digits and nothing else", async () => {
  const phone = phoneWith(new FakeNode());
  render(<App phone={phone} />, root);
  phone.follow({ token: "t", nodeId: "n", nodeKey: new Uint8Array(32), secret: SECRET });
  const input = (await shown("pair-code")) as HTMLInputElement;
  expect([input.inputMode, input.getAttribute("autocomplete")]).toEqual(["numeric", "one-time-code"]);
  const submit = find("pair-submit") as HTMLButtonElement;
  input.value = "12a";
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await vi.waitFor(() => expect(input.value).toBe("12"));
  expect(submit.disabled).toBe(true);
  input.value = "1234";
  input.dispatchEvent(new Event("input", { bubbles: true }));
  await vi.waitFor(() => expect(submit.disabled).toBe(false));
});

test("a damaged link says what to do", async () => {
  const phone = phoneWith(new FakeNode());
  phone.follow("damaged");
  render(<App phone={phone} />, root);
  expect(find("pair-error")!.textContent).toContain("loopsy mobile pair");
});

test("sessions are listed live", async () => {
  const node = new FakeNode();
  node.sessions = [A_SESSION, { ...A_SESSION, id: "s2", name: "build", alive: false, exit_code: 2 }];
  const phone = await paired(node);
  render(<App phone={phone} />, root);
  await shown("session-row");
  expect(root.querySelectorAll('[data-testid="session-row"]')).toHaveLength(2);
  expect(root.textContent).toContain("make deploy");
  expect(root.textContent).toContain("exit 2");
  node.line.item(3, { sessions: [] });
  await vi.waitFor(() => expect(root.textContent).toContain("No sessions yet"));
});

test("a phone that may only look is offered nothing else", async () => {
  const node = new FakeNode();
  node.grants = ["view"];
  node.sessions = [A_SESSION];
  render(<App phone={await paired(node)} />, root);
  await shown("session-row");
  expect(find("new-session")).toBeNull();
  expect(find("session-menu")).toBeNull();
});

test("a revoked phone sees it at once, and keeps its keys until its user decides", async () => {
  const node = new FakeNode();
  node.sessions = [A_SESSION];
  const phone = await paired(node);
  render(<App phone={phone} />, root);
  await shown("session-row");
  node.line.end(4401);
  expect((await shown("refused")).textContent).toContain("This machine no longer accepts this phone");
  expect(phone.store.kept.size).toBe(1);
});

test("a new session asks for nothing that is not needed", async () => {
  const node = new FakeNode();
  const phone = await paired(node);
  replace({ screen: "new", nodeId: node.id });
  render(<App phone={phone} />, root);
  await vi.waitFor(() => expect((find("start-session") as HTMLButtonElement).disabled).toBe(false));
  const nothing = { kind: "shell", line: "", name: "", cwd: " ", approve: false };
  expect(startParams(nothing)).toEqual({
    argv: null, kind: "shell", name: null, cwd: null, cols: 80, rows: 24,
    command: null, auto_approve: false,
  });
  expect(startParams({ kind: "custom", line: "make all", name: "b", cwd: "~/x", approve: false })).toMatchObject({
    argv: ["/bin/sh", "-lc", "make all"], kind: "custom", name: "b", cwd: "~/x", command: null,
  });
  expect(startParams({ ...nothing, kind: "custom", command: "deploy" })).toMatchObject({
    argv: null, kind: "custom", command: "deploy",
  });
});

/** What the node was asked to start. */
function started(node: FakeNode): Record<string, unknown>[] {
  const asked: Record<string, unknown>[] = [];
  node.ask = (line, { id, op, params }) => {
    if (op === "sessions.start") asked.push(params as Record<string, unknown>);
    if (op === "kinds.list") line.calls.answer(id, KINDS);
    return op === "kinds.list" || op === "sessions.start";
  };
  return asked;
}

async function choose(kind: string): Promise<void> {
  const radio = (await shown(`kind-${kind}`)) as HTMLInputElement;
  radio.checked = true;
  radio.dispatchEvent(new Event("change", { bubbles: true }));
}

test("kinds that are not installed are shown and cannot be chosen; commands start with a tap", async () => {
  const node = new FakeNode();
  const asked = started(node);
  const phone = await paired(node);
  replace({ screen: "new", nodeId: node.id });
  render(<App phone={phone} />, root);
  expect(((await shown("kind-codex")) as HTMLInputElement).disabled).toBe(true);
  expect((find("kind-claude") as HTMLInputElement).disabled).toBe(false);
  expect([...root.querySelectorAll<HTMLInputElement>('input[name="kind"]')].map(({ value }) => value)).toEqual([
    "shell", "claude", "custom", "codex",
  ]);
  find("command")!.click();
  await vi.waitFor(() => expect(asked).toMatchObject([{ kind: "custom", command: "deploy", argv: null }]));
});

test("an agent that asks nothing waits for the machine's user, and the wait can be ended", async () => {
  const node = new FakeNode();
  node.grants = ["view", "type", "approve"];
  const asked = started(node);
  const phone = await paired(node);
  replace({ screen: "new", nodeId: node.id });
  render(<App phone={phone} />, root);
  await choose("claude");
  const approve = (await shown("auto-approve")) as HTMLInputElement;
  expect(approve.checked).toBe(false);
  approve.click();
  await vi.waitFor(() => expect(approve.checked).toBe(true));
  find("start-session")!.click();
  expect((await shown("confirming")).textContent).toContain("loopsy approve");
  expect(asked).toMatchObject([{ kind: "claude", auto_approve: true }]);
  find("cancel-start")!.click();
  await shown("start-session");
  expect(node.line.heard.some(({ type }) => type === "dropped")).toBe(true);
  expect(find("start-error")).toBeNull();
});

test("who may not have agents approve by themselves is not offered it, and a refusal is a sentence", async () => {
  const node = new FakeNode();
  const asked = started(node);
  const { ask } = node;
  node.ask = (line, call) => {
    const known = ask(line, call);
    if (call.op === "sessions.start") line.calls.fault(call.id, "refused", "this machine's user has said no");
    return known;
  };
  const phone = await paired(node);
  replace({ screen: "new", nodeId: node.id });
  render(<App phone={phone} />, root);
  await choose("claude");
  await vi.waitFor(() => expect((find("kind-claude") as HTMLInputElement).checked).toBe(true));
  expect(find("auto-approve")).toBeNull();
  find("start-session")!.click();
  expect((await shown("start-error")).textContent).toBe("This machine's user has said no.");
  expect(asked).toMatchObject([{ kind: "claude", auto_approve: false }]);
});

test("a lost session says why, an agent's says what it may do, and both when", async () => {
  const node = new FakeNode();
  const ended_at = Date.now() / 1000 - 300;
  node.sessions = [
    { ...A_SESSION, kind: "claude", auto_approve: true },
    { ...A_SESSION, id: "s2", alive: false, lost: "its host had ended first", ended_at },
  ];
  render(<App phone={await paired(node)} />, root);
  await shown("session-row");
  expect(root.textContent).toContain("claudeauto-approve");
  expect(root.textContent).toContain("lost: its host had ended first");
  expect(root.textContent).toContain("5 min ago");
  expect(find("exit")!.textContent).toBe("lost");
});

test("settings stay within their limits", async () => {
  const phone = await paired(new FakeNode());
  replace({ screen: "settings" });
  render(<App phone={phone} />, root);
  const scrollback = (await shown("scrollback")) as HTMLInputElement;
  scrollback.value = "9000000";
  scrollback.dispatchEvent(new Event("change", { bubbles: true }));
  expect(phone.settings.value.scrollback).toBe(500_000);
  expect(find("forget")).not.toBeNull();
});

test("without storage the page says so", () => {
  render(<Unavailable message="Private window." />, root);
  expect(find("unavailable")!.textContent).toContain("Private window.");
});

test("routes survive the address bar", () => {
  const routes = [
    SESSIONS,
    { screen: "settings" },
    { screen: "new", nodeId: "abc" },
    { screen: "terminal", nodeId: "abc", session: "a/b #1" },
  ] as const;
  for (const route of routes) expect(parseRoute(hashOf(route))).toEqual(route);
  expect(parseRoute("#/terminal/%E0%A4%A/x")).toEqual(SESSIONS);
  expect(parseRoute("#1,2,3,4")).toEqual(SESSIONS);
});

test("ages are short", () => {
  expect([0, 59, 60, 7200, 200_000, -5].map((seconds) => age(1000 - seconds, 1000))).toEqual([
    "now", "now", "1 min", "2 h", "2 d", "now",
  ]);
});
