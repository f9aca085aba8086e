// Which screen is open: written in the address's fragment, so that reload and Back work.

import { Watched } from "../watched";

export type Route =
  | { readonly screen: "sessions" }
  | { readonly screen: "new"; readonly nodeId: string }
  | { readonly screen: "terminal"; readonly nodeId: string; readonly session: string }
  | { readonly screen: "settings" };

export const SESSIONS: Route = Object.freeze({ screen: "sessions" });

export function parseRoute(hash: string): Route {
  const [screen, nodeId, session] = hash.replace(/^#\/?/, "").split("/").map(decode);
  if (screen === "settings") return { screen };
  if (screen === "new" && nodeId) return { screen, nodeId };
  if (screen === "terminal" && nodeId && session) return { screen, nodeId, session };
  return SESSIONS;
}

export function hashOf(route: Route): string {
  switch (route.screen) {
    case "sessions":
      return "#/";
    case "settings":
      return "#/settings";
    case "new":
      return `#/new/${encodeURIComponent(route.nodeId)}`;
    case "terminal":
      return `#/terminal/${encodeURIComponent(route.nodeId)}/${encodeURIComponent(route.session)}`;
  }
}

export const route = new Watched<Route>(SESSIONS);

export function go(to: Route): void {
  history.pushState({ within: true }, "", hashOf(to));
  route.set(to);
}

/** In the place of the screen that is open: Back will not return to it. */
export function replace(to: Route): void {
  history.replaceState(history.state, "", hashOf(to));
  route.set(to);
}

/** To where the user came from; to the sessions if that was not here. */
export function back(): void {
  const state = history.state as { within?: boolean } | null;
  if (state?.within) history.back();
  else replace(SESSIONS);
}

/** Follow the address; `look` sees each fragment first, and may replace it. */
export function followAddress(look: (hash: string) => void): void {
  const read = (): void => {
    look(location.hash);
    route.set(parseRoute(location.hash));
  };
  addEventListener("hashchange", read);
  addEventListener("popstate", read);
  read();
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}
