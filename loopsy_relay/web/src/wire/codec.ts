// Values to MessagePack bytes and back, with the limits of the protocol.

import { decode as unpack, encode as pack } from "@msgpack/msgpack";

/** A message is at most 1 MiB (PROTOCOL.md, section 1). */
export const MESSAGE_LIMIT = 1 << 20;

/** What the other side sent breaks the protocol. The connection it came from must end. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** MessagePack of `value` in its shortest form. `undefined` members of maps are left out. */
export function encode(value: unknown): Uint8Array<ArrayBuffer> {
  const bytes = pack(value, { ignoreUndefined: true });
  if (bytes.length > MESSAGE_LIMIT) {
    throw new RangeError(`A message of ${bytes.length} bytes is over the limit of ${MESSAGE_LIMIT}.`);
  }
  return bytes;
}

/**
 * The one MessagePack value that `bytes` hold, and nothing after it.
 *
 * Its shape is unknown: whoever uses it checks it (see shapes.ts). Binaries in it are views of
 * `bytes`, not copies.
 *
 * @throws ProtocolError if `bytes` are not exactly one value, or too many.
 */
export function decode(bytes: Uint8Array): unknown {
  if (bytes.length > MESSAGE_LIMIT) {
    throw new ProtocolError(`A message of ${bytes.length} bytes is over the limit.`);
  }
  try {
    return unpack(bytes);
  } catch (cause) {
    // The library throws DecodeError and RangeError, depending on where the bytes ended.
    throw new ProtocolError(`Not a MessagePack value: ${(cause as Error).message}`);
  }
}
