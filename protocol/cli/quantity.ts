/** Amounts as people type them: sizes, rates, durations. Rule: text in, plain numbers out; a unit is never guessed. */

const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/**
 * Bytes for `500`, `500K`, `8MB`, `1.5GiB`; K, M, G, T are powers of 1000, Ki, Mi, Gi, Ti of 1024, in any case.
 * Undefined when the text is not a size.
 */
export function parseSizeBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?$/i.exec(text.trim());
  if (match === null) return undefined;
  const sizeBytes = Math.round(Number(match[1]) * UNIT_BYTES[(match[2] ?? "").toLowerCase()]!);
  return Number.isSafeInteger(sizeBytes) ? sizeBytes : undefined;
}

/** Bytes per second for a size with or without `/s`; at least 1. Undefined when the text is not a rate. */
export function parseRateBytesPerSecond(text: string): number | undefined {
  const bytesPerSecond = parseSizeBytes(text.trim().replace(/\/s$|ps$/i, ""));
  return bytesPerSecond === undefined || bytesPerSecond < 1 ? undefined : bytesPerSecond;
}

/** Milliseconds for `500ms`, `30s`, `5m`, `1h30m`, `2d`, or plain `0`. Undefined when the text is not a duration. */
export function parseDurationMs(text: string): number | undefined {
  const compact = text.trim().toLowerCase();
  if (compact === "0") return 0;
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(compact)) return undefined;
  let totalMs = 0;
  let lastUnitMs = Infinity;
  for (const [, amount, unit] of compact.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    const unitMs = UNIT_MS[unit!]!;
    if (unitMs >= lastUnitMs) return undefined;
    lastUnitMs = unitMs;
    totalMs += Number(amount) * unitMs;
  }
  return Number.isSafeInteger(Math.round(totalMs)) ? Math.round(totalMs) : undefined;
}

/** One `--limit`: a rate for one destination, or for each when `destination` is absent. */
export interface RateLimit {
  destination?: string;
  bytesPerSecond: number;
}

/** Reads `[DEST=]RATE`. DEST may itself hold `=`: the last one parts it from the rate. */
export function parseRateLimit(text: string): RateLimit | undefined {
  const at = text.lastIndexOf("=");
  const bytesPerSecond = parseRateBytesPerSecond(text.slice(at + 1));
  if (bytesPerSecond === undefined || at === 0) return undefined;
  return at < 0 ? { bytesPerSecond } : { destination: text.slice(0, at), bytesPerSecond };
}
