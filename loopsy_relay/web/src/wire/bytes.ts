// Bytes joined, compared, and written as text: hex, base32 for node ids, base64url for secrets.

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

export function join(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Whether two byte strings are equal, in a time that does not tell where they differ. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number);
  return difference === 0;
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes that `text` spells in lowercase, unpadded base32, or null if it does not. */
export function fromBase32(text: string): Uint8Array | null {
  return unspell(text, BASE32, 5);
}

export function toBase32(bytes: Uint8Array): string {
  return spell(bytes, BASE32, 5);
}

/** The bytes that `text` spells in unpadded base64url, or null if it does not. */
export function fromBase64Url(text: string): Uint8Array | null {
  return unspell(text, BASE64URL, 6);
}

export function toBase64Url(bytes: Uint8Array): string {
  return spell(bytes, BASE64URL, 6);
}

function spell(bytes: Uint8Array, alphabet: string, bitsPerLetter: number): string {
  let text = "";
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= bitsPerLetter) {
      bits -= bitsPerLetter;
      text += alphabet[held >> bits];
      held &= (1 << bits) - 1;
    }
  }
  return bits > 0 ? text + alphabet[held << (bitsPerLetter - bits)] : text;
}

function unspell(text: string, alphabet: string, bitsPerLetter: number): Uint8Array | null {
  const bytes = new Uint8Array(Math.floor((text.length * bitsPerLetter) / 8));
  let held = 0;
  let bits = 0;
  let at = 0;
  for (const letter of text) {
    const value = alphabet.indexOf(letter);
    if (value < 0) return null;
    held = (held << bitsPerLetter) | value;
    bits += bitsPerLetter;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = held >> bits;
      held &= (1 << bits) - 1;
    }
  }
  // One spelling per value: no letter too many, and no bits set in the last one's rest.
  return bits < bitsPerLetter && held === 0 ? bytes : null;
}
