/** Bytes for keys and nonces. Rule: secrets are drawn here only, from the system's own generator. */
import { randomBytes as draw } from "node:crypto";

/** `sizeBytes` bytes that nobody can guess. */
export function randomBytes(sizeBytes: number): Uint8Array {
  return new Uint8Array(draw(sizeBytes));
}
