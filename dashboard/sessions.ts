/**
 * Who is logged in. Rule: a login code works once, and only for the start of the dashboard it was made in; sessions are kept
 * as hashes, and compared in constant time.
 */
import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "../protocol/base/clock.ts";
import { randomBytes } from "../protocol/base/random_bytes.ts";
import { CODE_LASTS_MS, makeLoginCode, readLoginCode } from "./login_code.ts";

export const SESSION_LASTS_MS = 7 * 24 * 60 * 60_000;
/** The oldest go first. */
const SESSIONS_MAX = 1_000;
const USED_MAX = 10_000;
const SECRET_BYTES = 32;

export interface Sessions {
  mintCode(): string;
  /** The session's secret; undefined for a code that is wrong, used or too old. */
  redeem(code: string): string | undefined;
  /** Names the session of this secret, without telling it; undefined: there is none. */
  find(secret: string): string | undefined;
  /** Its name, when there was one. */
  end(secret: string): string | undefined;
}

interface Kept {
  digest: Uint8Array;
  endsAtMs: number;
}

export function createSessions(
  token: string,
  clock: Pick<Clock, "nowMs" | "monotonicMs">,
): Sessions {
  // Codes of before this start may have been used there, and nobody remembers.
  const startedAtMs = Math.round(clock.nowMs());
  /** What is each used code's own, until it would be too old anyway. */
  const used = new Map<string, number>();
  let sessions: Kept[] = [];

  /** All are looked at, so how long it takes says nothing. */
  function match(secret: string): Kept | undefined {
    const digest = digestOf(secret);
    const nowMs = clock.monotonicMs();
    let found: Kept | undefined;
    for (const one of sessions) {
      if (timingSafeEqual(one.digest, digest) && one.endsAtMs > nowMs) found = one;
    }
    return found;
  }

  function forgetOld(): void {
    const nowMs = clock.monotonicMs();
    for (const [nonce, untilMs] of used) if (untilMs < nowMs) used.delete(nonce);
    const alive = sessions.filter((one) => one.endsAtMs > nowMs);
    sessions = alive.slice(-(SESSIONS_MAX - 1));
  }

  return {
    mintCode: () => makeLoginCode(token, clock.nowMs()),
    redeem(code) {
      const read = readLoginCode(code, token, clock.nowMs());
      if (read === undefined || read.issuedAtMs < startedAtMs || used.has(read.nonce)) {
        return undefined;
      }
      forgetOld();
      // Only who knows the token makes codes, so this is never reached by guessing.
      if (used.size >= USED_MAX) return undefined;
      used.set(read.nonce, clock.monotonicMs() + 2 * CODE_LASTS_MS);
      const secret = Buffer.from(randomBytes(SECRET_BYTES)).toString("base64url");
      sessions.push({
        digest: digestOf(secret),
        endsAtMs: clock.monotonicMs() + SESSION_LASTS_MS,
      });
      return secret;
    },
    find(secret) {
      const known = match(secret);
      return known && nameOf(known);
    },
    end(secret) {
      const known = match(secret);
      sessions = sessions.filter((one) => one !== known);
      return known && nameOf(known);
    },
  };
}

function nameOf({ digest }: Kept): string {
  return Buffer.from(digest).toString("hex");
}

function digestOf(secret: string): Uint8Array {
  return createHash("sha256").update(secret).digest();
}
