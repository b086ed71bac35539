/** From a password to a key, by scrypt. Rule: never weaker than N = 32768, r = 8, and what a file says is believed only within limits. */
import { scryptSync } from "node:crypto";
import type { Clock } from "../../protocol/base/clock.ts";
import { randomBytes } from "../../protocol/base/random_bytes.ts";
import type { KeyMaterial } from "./sealing_key.ts";

export interface KdfParameters {
  N: number;
  r: number;
  p: number;
}

export const SALT_BYTES = 64;
const WEAKEST: KdfParameters = { N: 32768, r: 8, p: 1 };
/** As restic: a key may take so long to derive. */
const CALIBRATE_MS = 500;
const P_MAX = 8;
/** What a key file may ask for; restic's own ask for 32 MiB. */
const MEMORY_MAX_BYTES = 1 << 30;
const WORK_MAX = 2 ** 32;

/** True for what scrypt can do and this machine should. */
export function areSane({ N, r, p }: KdfParameters): boolean {
  const whole = [N, r, p].every((value) => Number.isSafeInteger(value) && value > 0);
  if (!whole || N < 2 || !Number.isInteger(Math.log2(N))) return false;
  return 128 * N * r <= MEMORY_MAX_BYTES && 128 * r * p <= MEMORY_MAX_BYTES &&
    N * r * p <= WORK_MAX;
}

/** @throws {RangeError} for parameters that are not sane */
export function deriveKey(
  password: string,
  salt: Uint8Array,
  parameters: KdfParameters,
): KeyMaterial {
  if (!areSane(parameters)) throw new RangeError(`Not for scrypt: ${JSON.stringify(parameters)}`);
  const { N, r, p } = parameters;
  const maxmem = 128 * N * r + 128 * r * p + (1 << 20);
  const key = new Uint8Array(
    scryptSync(new TextEncoder().encode(password), salt, 64, { N, r, p, maxmem }),
  );
  return { encrypt: key.slice(0, 32), macK: key.slice(32, 48), macR: key.slice(48, 64) };
}

/** As many lanes as this machine does in half a second, at most 8. */
export function calibrate(clock: Clock): KdfParameters {
  const startedAtMs = clock.monotonicMs();
  deriveKey("calibrate", randomBytes(SALT_BYTES), WEAKEST);
  const oneMs = Math.max(1, clock.monotonicMs() - startedAtMs);
  const p = Math.min(P_MAX, Math.max(1, Math.floor(CALIBRATE_MS / oneMs)));
  return { ...WEAKEST, p };
}
