/** How often somebody may do something. Rule: each key has its own allowance, and the table of keys is bounded. */
import type { Clock } from "./clock.ts";

export interface RateLimit {
  /** In the long run. */
  perSecond: number;
  /** At once after a pause. */
  burst: number;
}

export interface RateLimiter {
  /** Takes one from the key's allowance: 0 when there was one, otherwise ms until there is. */
  take(key: string): number;
}

/** Keys remembered; the one unused for longest is forgotten first. */
const KEYS_MAX = 10_000;

export function createRateLimiter(
  clock: Pick<Clock, "monotonicMs">,
  { perSecond, burst }: RateLimit,
  keysMax: number = KEYS_MAX,
): RateLimiter {
  const buckets = new Map<string, { tokens: number; atMs: number }>();
  return {
    take(key) {
      const nowMs = clock.monotonicMs();
      const { tokens, atMs } = buckets.get(key) ?? { tokens: burst, atMs: nowMs };
      const filled = Math.min(burst, tokens + ((nowMs - atMs) / 1000) * perSecond);
      const isAllowed = filled >= 1;
      buckets.delete(key);
      buckets.set(key, { tokens: isAllowed ? filled - 1 : filled, atMs: nowMs });
      const [oldest] = buckets.keys();
      if (buckets.size > keysMax && oldest !== undefined) buckets.delete(oldest);
      return isAllowed ? 0 : Math.ceil(((1 - filled) / perSecond) * 1000);
    },
  };
}
