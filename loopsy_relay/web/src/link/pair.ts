// Pairing with a node: the code is tried over a connection of its own, and says how it went.

import type { PendingPairing, Redeemed } from "../store/records";
import { VERSION } from "../version";
import { keyPairOf } from "../wire/noise";
import { nodeKeyOf, Opening, type Approach } from "../wire/opening";
import { readHello, type Hello } from "../wire/operations";
import { pairingApproach } from "../wire/pairing";
import { Connection, dialRelay, type Dial } from "./connection";
import { BROKEN, type Ending } from "./ending";

export type PairOutcome =
  | { readonly how: "paired"; readonly hello: Hello }
  /** The relay does not know our bearer (any more): the link has been used up. */
  | Ending;

/** A pairing whose token has been redeemed. */
export type ReadyPairing = PendingPairing & { readonly redeemed: Redeemed };

/** Try `code`: one connection, one handshake. Never rejects. */
export async function tryCode(
  pairing: ReadyPairing,
  code: string,
  phoneName: string,
  dial: Dial = dialRelay,
): Promise<PairOutcome> {
  const outcome = await knock(pairing, pairingApproach(pairing.secret, code), phoneName, dial);
  if (outcome.how !== "offer_gone") return outcome;
  // Perhaps an earlier try succeeded, and only its answer was lost: then the node knows our key.
  const again = await knock(pairing, { how: "paired" }, phoneName, dial);
  return again.how === "paired" ? again : outcome;
}

function knock(
  pairing: ReadyPairing,
  approach: Approach,
  phoneName: string,
  dial: Dial,
): Promise<PairOutcome> {
  const nodeKey = nodeKeyOf(pairing.nodeId);
  if (nodeKey === null) return Promise.resolve({ how: "offer_gone" });
  const opening = new Opening(approach, keyPairOf(pairing.secretKey), nodeKey);
  const introduction = { name: phoneName, version: VERSION };
  return new Promise((resolve) => {
    const socket = dial(pairing.relay, pairing.redeemed.bearer);
    const connection = new Connection(socket, opening, introduction, {
      opened: async (conversation) => {
        try {
          // The node stores us only once it has opened this first record.
          const hello = readHello(await conversation.ask("node.hello"));
          resolve({ how: "paired", hello });
        } catch {
          resolve(BROKEN); // unless `closed` knows better, and has said so before
        }
        connection.close();
      },
      closed: resolve,
    });
  });
}

/** A name by which this device can be told from others, as far as a browser tells. */
export function guessPhoneName(agent: string): string {
  const device =
    /iPhone|iPad/.exec(agent)?.[0] ??
    (/Android/.test(agent) ? "Android" : null) ??
    (/Macintosh/.test(agent) ? "Mac" : null) ??
    (/Windows/.test(agent) ? "Windows" : null) ??
    (/CrOS/.test(agent) ? "Chromebook" : null) ??
    (/Linux/.test(agent) ? "Linux" : "Device");
  const browser = /Firefox|FxiOS/.test(agent)
    ? "Firefox"
    : /Edg/.test(agent)
      ? "Edge"
      : /Chrome|CriOS/.test(agent)
        ? "Chrome"
        : /Safari/.test(agent)
          ? "Safari"
          : "browser";
  return `${device} (${browser})`;
}
