// Turning a pair token into a bearer at the relay: once, over HTTP.

import { Fields } from "../wire/shapes";
import type { Redeemed } from "../store/records";

const REDEEM_WITHIN = 10_000;
/** A bearer becomes part of a WebSocket subprotocol, where browsers accept no other characters. */
const BEARER = /^[A-Za-z0-9._~-]{1,512}$/;

/** Why the relay gave us no bearer. */
export type RedeemTrouble =
  | "offer_gone" // used, expired or never issued
  | "busy" // too many tries from this address
  | "unreachable";

/** A bearer for `token`, or the reason why there is none. Never rejects. */
export async function redeem(
  relay: string,
  token: string,
  name: string,
): Promise<Redeemed | RedeemTrouble> {
  let response: Response;
  try {
    response = await fetch(new URL("/api/v1/pair/redeem", relay), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token, name }),
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(REDEEM_WITHIN),
    });
  } catch {
    return "unreachable";
  }
  if (response.status === 429) return "busy";
  if (response.status >= 500) return "unreachable";
  if (!response.ok) return "offer_gone";
  try {
    const fields = new Fields(await response.json(), "redeemed");
    const bearer = fields.text("bearer");
    if (!BEARER.test(bearer)) return "unreachable";
    return Object.freeze({ phoneId: fields.text("phoneId"), bearer });
  } catch {
    return "unreachable"; // something in between answered for the relay
  }
}
