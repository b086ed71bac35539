/**
 * Codes that log one browser in. Rule: whoever knows the mesh token can make one, nobody else can; each says until when it
 * is good, and who checks it makes sure that it is used once.
 */
import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import { randomBytes } from "../protocol/base/random_bytes.ts";

export const CODE_LASTS_MS = 60 * 60_000;
/** Clocks of two processes on one machine are the same; of two machines nearly. */
const CLOCK_TOLERANCE_MS = 60_000;
const NONCE_BYTES = 16;
const SHAPE = /^([A-Za-z0-9_-]{22})\.([0-9a-z]{1,12})\.([A-Za-z0-9_-]{43})$/;

export function makeLoginCode(token: string, nowMs: number): string {
  const nonce = Buffer.from(randomBytes(NONCE_BYTES)).toString("base64url");
  const body = `${nonce}.${Math.round(nowMs).toString(36)}`;
  return `${body}.${signature(token, body)}`;
}

export function loginAddress(origin: string, code: string): string {
  return `${origin}/login?code=${code}`;
}

/** When it was made and what is its own; undefined for one that was not made with this token, or is not good now. */
export function readLoginCode(
  code: string,
  token: string,
  nowMs: number,
): { nonce: string; issuedAtMs: number } | undefined {
  const [, nonce, issued, mac] = SHAPE.exec(code) ?? [];
  if (nonce === undefined || issued === undefined || mac === undefined) return undefined;
  const right = Buffer.from(signature(token, `${nonce}.${issued}`));
  const given = Buffer.from(mac);
  if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined;
  const issuedAtMs = parseInt(issued, 36);
  const ageMs = nowMs - issuedAtMs;
  return ageMs > CODE_LASTS_MS || ageMs < -CLOCK_TOLERANCE_MS ? undefined : { nonce, issuedAtMs };
}

function signature(token: string, body: string): string {
  return createHmac("sha256", token).update(`backup-agent login\n${body}`).digest("base64url");
}
