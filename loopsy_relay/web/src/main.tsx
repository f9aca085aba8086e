// The page begins here: take the pair link out of the address, open the store, show the app.

import { render } from "preact";
import "./design/tokens.css";
import "./design/controls.css";
import "./design/screens.css";
import "./design/sessions.css";
import "./design/terminal.css";
import { followViewport } from "./design/viewport";
import { openPhone } from "./phone";
import { App } from "./screens/app";
import { followAddress, hashOf, SESSIONS } from "./screens/route";
import { Unavailable } from "./screens/unavailable";
import { StoreUnavailable } from "./store/store";
import { parsePairLink, type LinkTrouble, type PairLink } from "./wire/pairing";

/** The pair link in the address, if there is one. It holds a secret, so it leaves at once. */
function takeLink(hash: string): PairLink | LinkTrouble | null {
  const link = parsePairLink(hash);
  if (link === "not_a_link") return null;
  history.replaceState(history.state, "", location.pathname + hashOf(SESSIONS));
  return link;
}

async function main(): Promise<void> {
  const link = takeLink(location.hash); // before anything that could wait
  const root = document.getElementById("app");
  if (root === null) throw new Error("The page has no place for the app.");
  followViewport();
  try {
    const phone = await openPhone();
    if (link !== null) phone.follow(link);
    followAddress((hash) => {
      const opened = takeLink(hash);
      if (opened !== null) phone.follow(opened);
    });
    render(<App phone={phone} />, root);
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    render(<Unavailable message={error.message} />, root);
  }
}

void main();
