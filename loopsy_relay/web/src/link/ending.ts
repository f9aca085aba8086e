// Why a connection ended: close codes of the relay and our own reasons as one tagged value.

/**
 * How a connection ended. Only `refused` makes further tries pointless until the user decides;
 * the relay could lie about all of them, so nothing is ever deleted because of one.
 */
export type Ending =
  | { readonly how: "refused"; readonly reason: "revoked" | "unknown_key" }
  | { readonly how: "wrong_code"; readonly triesLeft: number }
  | { readonly how: "offer_gone" }
  | { readonly how: "lost"; readonly why: Loss };

export type Loss =
  | "unreachable" // the relay did not answer at all
  | "silent" // nothing was heard for too long
  | "cut" // the connection broke
  | "node_away" // the relay is there, the machine is not connected to it
  | "too_slow" // the relay cut us off because we did not read
  | "too_many" // too many connections
  | "broken" // something came that does not open or makes no sense
  | "ended"; // the machine said goodbye

const lost = (why: Loss): Ending => Object.freeze({ how: "lost", why });

export const UNREACHABLE = lost("unreachable");
export const SILENT = lost("silent");
export const BROKEN = lost("broken");

/** What a WebSocket's close says. `opened` tells whether it had been open at all. */
export function endingOf(code: number, reason: string, opened: boolean): Ending {
  switch (code) {
    case 4401:
      return Object.freeze({ how: "refused", reason: "revoked" });
    case 4404:
    case 4411:
      return lost("node_away");
    case 4408:
      return lost("too_slow");
    case 4410:
      return endingByNode(reason);
    case 4429:
      return lost("too_many");
    default:
      return opened ? lost("cut") : UNREACHABLE;
  }
}

function endingByNode(reason: string): Ending {
  const [word, rest] = reason.split(":", 2);
  switch (word) {
    case "revoked":
    case "unknown_key":
      return Object.freeze({ how: "refused", reason: word });
    case "wrong_code": {
      const triesLeft = /^[0-9]{1,3}$/.test(rest ?? "") ? Number(rest) : 0;
      return Object.freeze({ how: "wrong_code", triesLeft });
    }
    case "offer_gone":
      return Object.freeze({ how: "offer_gone" });
    case "protocol":
      return BROKEN;
    default:
      return lost("ended");
  }
}

/** The sentence for a status line. */
export function explainLoss(why: Loss): string {
  switch (why) {
    case "unreachable":
      return "The relay does not answer. Is this device online?";
    case "silent":
      return "The connection went silent.";
    case "cut":
      return "The connection was cut.";
    case "node_away":
      return "The machine is not connected to its relay. Is it on, and is Loopsy running?";
    case "too_slow":
      return "The relay cut us off because this device did not keep up.";
    case "too_many":
      return "There are too many connections to this machine.";
    case "broken":
      return "Something came that makes no sense. Reload this page; it may be out of date.";
    case "ended":
      return "The machine ended the connection.";
  }
}
