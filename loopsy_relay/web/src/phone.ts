// The composition root: what this phone keeps, which machines it knows, how its user likes it.

import { watchTheme } from "./design/theme";
import { Machines } from "./link/machines";
import { PairingFlow } from "./link/pairing_flow";
import { onWake } from "./link/reconnect";
import type { Settings } from "./store/settings";
import { openStore, type Store } from "./store/store";
import { Watched } from "./watched";
import type { LinkTrouble, PairLink } from "./wire/pairing";

export interface Phone {
  readonly store: Store;
  readonly machines: Machines;
  readonly settings: Watched<Settings>;
  /** Whether the page is dark now. */
  readonly dark: Watched<boolean>;
  /** A pairing under way, or a link that was of no use. */
  readonly pairing: Watched<PairingFlow | LinkTrouble | null>;
  saveSettings(settings: Settings): void;
  /** A pair link was opened or pasted. */
  follow(link: PairLink | LinkTrouble): void;
}

/** Open everything. Rejects with StoreUnavailable where nothing can be kept. */
export async function openPhone(): Promise<Phone> {
  const store = await openStore();
  const settings = new Watched(await store.settings());
  const dark = watchTheme(settings);
  const machines = new Machines(store);
  await machines.load();
  onWake(() => machines.wake());

  const pairing = new Watched<PairingFlow | LinkTrouble | null>(null);
  const begin = (flow: PairingFlow): void => {
    pairing.set(flow);
    flow.state.watch((state) => {
      if (state.at === "paired" && pairing.value === flow) pairing.set(null);
    });
  };
  const pending = await store.pending();
  if (pending !== null) begin(new PairingFlow(pending, store, machines));

  return Object.freeze<Phone>({
    store,
    machines,
    settings,
    dark,
    pairing,
    saveSettings: (changed) => {
      settings.set(changed);
      void store.saveSettings(changed);
    },
    follow: (link) => {
      if (typeof link === "string") pairing.set(link);
      else begin(PairingFlow.begin(link, location.origin, store, machines));
    },
  });
}
