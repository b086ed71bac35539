/** Token auth. Rule: tokens are compared in constant time and never appear in an answer or a log. */
import { createHash, timingSafeEqual } from "node:crypto";

/** Whether an `Authorization` header carries this bearer token. */
export function hasBearerToken(header: string | undefined, token: string): boolean {
  const given = /^Bearer +(\S+) *$/i.exec(header ?? "")?.[1];
  // Hashes have one length, so neither the comparison nor its length tells anything.
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
