// A session on screen: title and status above, the terminal, the key bar below. Loaded lazily.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Machine } from "../link/machine";
import { NO_MODIFIERS } from "../session/keys";
import { Stage } from "../session/stage";
import type { AttachState } from "../session/attached";
import { Watched } from "../watched";
import type { Audience } from "../wire/operations";
import { usePhone, useWatched } from "./hooks";
import { BackIcon, FitIcon } from "./icons";
import { describe, type Dot } from "./machine_words";
import { back } from "./route";
import { exit } from "./session_row";
import { KeyBar } from "./key_bar";
import { useCompanyNotice, Viewers } from "./viewers";
import { sentence } from "./words";

/** How long "Resumed" is shown before it is simply connected, in milliseconds. */
const RESUMED_FOR = 3_000;

const NO_TITLE = new Watched("");
const WAITING = new Watched<AttachState>({ at: "waiting" });
const NOBODY = new Watched<Audience | null>(null);
const NOT_FULL = new Watched(false);
const NO_KEYS = new Watched(NO_MODIFIERS);

export function TerminalView(props: {
  readonly machine: Machine;
  readonly session: string;
}): JSX.Element {
  const { machine, session } = props;
  const phone = usePhone();
  const settings = useWatched(phone.settings);
  const dark = useWatched(phone.dark);
  const machineState = useWatched(machine.state);
  const sessions = useWatched(machine.sessions);
  const frame = useRef<HTMLDivElement>(null);
  const [stage, setStage] = useState<Stage | null>(null);
  const options = { scrollback: settings.scrollback, fontSize: settings.fontSize, dark };

  useEffect(() => {
    if (frame.current === null) return undefined;
    const opened = new Stage(machine, session, frame.current, options);
    setStage(opened);
    // A phone's keyboard comes when its user taps, not before.
    if (matchMedia("(pointer: fine)").matches) opened.focus();
    return () => opened.close();
  }, [machine, session]);
  useEffect(() => stage?.apply(options), [stage, settings, dark]);

  const title = useWatched(stage?.title ?? NO_TITLE);
  const state = useWatched(stage?.viewing.state ?? WAITING);
  const audience = useWatched(stage?.viewing.audience ?? NOBODY);
  const notice = useCompanyNotice(audience);
  const full = useWatched(stage?.viewing.full ?? NOT_FULL);
  const modifiers = useWatched(stage?.modifiers ?? NO_KEYS);
  const info = sessions?.find(({ id }) => id === session);
  const status = useStatus(state, machine, machineState);
  const viewOnly = machineState.at === "online" && !machineState.hello.grants.includes("type");
  const borrowed = state.at === "live" && audience !== null && !audience.owner;
  useDocumentTitle(title || info?.name || "Terminal");

  return (
    <main class="screen terminal-screen">
      <header class="bar">
        <button type="button" class="icon-button" aria-label="Back" data-testid="back" onClick={back}>
          <BackIcon />
        </button>
        <div class="bar-text">
          <h1 class="bar-title" data-testid="title">
            <bdi>{title || info?.name || "Terminal"}</bdi>
          </h1>
          <p class="quiet small status" role="status" data-testid="status" data-state={status.name}>
            <span class="status-text">
              <span class={`dot ${status.dot}`} />{" "}
              {status.name === "connected" && notice ? notice : status.text}
              {viewOnly && " · view only"}
            </span>
            {state.at === "live" && <Viewers audience={audience} />}
          </p>
        </div>
        {borrowed && !viewOnly && (
          <button
            type="button"
            class="button compact"
            aria-label="Fit to this screen"
            data-testid="claim"
            onClick={() => stage?.claim()}
          >
            <FitIcon />
            Fit<span class="wide-only"> to this screen</span>
          </button>
        )}
      </header>
      {/* The terminal may be smaller than its frame: a tap beside it means it all the same. */}
      <div ref={frame} class={borrowed ? "frame borrowed" : "frame"} data-testid="terminal" onClick={() => stage?.focus()} />
      {full && (
        <p class="note bad" role="alert" data-testid="typing-full">
          Too much is waiting to be sent; what you type now is thrown away.
        </p>
      )}
      {state.at === "ended" && (
        <p class="note" data-testid="ended">
          {info?.lost ? `Lost: ${sentence(info.lost)}` : `The program has ended (${exit(state)}).`}
        </p>
      )}
      {state.at === "failed" && (
        <p class="note bad" role="alert" data-testid="attach-error">
          <span>{failure(state)}</span>
          {state.code !== "not_found" && (
            <button type="button" class="button compact" onClick={() => stage?.viewing.retry()}>
              Try again
            </button>
          )}
        </p>
      )}
      {!viewOnly && state.at !== "ended" && state.at !== "failed" && (
        <KeyBar
          modifiers={modifiers}
          onModifiers={(changed) => stage?.modifiers.set(changed)}
          onKey={(key) => stage?.tap(key)}
        />
      )}
    </main>
  );
}

interface Status {
  readonly name: "connecting" | "connected" | "resumed" | "reconnecting" | "ended" | "failed";
  readonly text: string;
  readonly dot: Dot;
}

function useStatus(
  state: AttachState,
  machine: Machine,
  machineState: Machine["state"]["value"],
): Status {
  const [shown, setShown] = useState(false);
  const [fresh, setFresh] = useState(false);
  useEffect(() => {
    if (state.at === "live") setShown(true);
    if (state.at !== "live" || !state.resumed) return undefined;
    setFresh(true);
    const timer = setTimeout(() => setFresh(false), RESUMED_FOR);
    return () => {
      clearTimeout(timer);
      setFresh(false);
    };
  }, [state]);
  switch (state.at) {
    case "live":
      return fresh
        ? { name: "resumed", text: `Resumed · ${machine.name}`, dot: "good" }
        : { name: "connected", text: `Connected · ${machine.name}`, dot: "good" };
    case "ended":
      return { name: "ended", text: "Ended", dot: "off" };
    case "failed":
      return { name: "failed", text: "Not shown", dot: "bad" };
    case "waiting":
    case "attaching":
    case "drawing": {
      const { long } = describe(machineState);
      if (!shown) return { name: "connecting", text: long ?? "Connecting…", dot: "busy" };
      return { name: "reconnecting", text: long ?? "Reconnecting…", dot: "busy" };
    }
  }
}

function failure({ code, message }: { readonly code: string; readonly message: string }): string {
  if (code === "not_found") return "This session is gone: it was removed on the machine.";
  return sentence(message);
}

function useDocumentTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Loopsy`;
    return () => {
      document.title = "Loopsy";
    };
  }, [title]);
}

// What is drawn on: tests of pictures write to it directly.
export { Emulator } from "../session/emulator";
