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
  expect(startParams("", " ", "")).toEqual({ argv: null, kind: "shell", name: null, cwd: null, cols: 80, rows: 24 });
  expect(startParams("b", "~/x", "make all")).toMatchObject({
    argv: ["/bin/sh", "-lc", "make all"], kind: "custom", name: "b", cwd: "~/x",
  });
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
