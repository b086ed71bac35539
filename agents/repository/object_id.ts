/** Names by content. Rule: an id is the SHA-256 of what it names, 64 lower-case hex digits. */
import { createHash } from "node:crypto";

export const ID_BYTES = 32;
const ID = /^[0-9a-f]{64}$/;

export function isId(text: string): boolean {
  return ID.test(text);
}

export function idOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** As people write it. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}
