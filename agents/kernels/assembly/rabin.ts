/**
 * Rabin fingerprints in AssemblyScript. Rule: the same positions as ../rabin_twin.ts on every input.
 *
 * Whether a chunk may end at a position depends on the 64 bytes before it only, so two halves of a span are rolled side by
 * side: one hides the other's latency, which doubles the speed.
 */
import { DATA, MOD_TABLE, OUT_TABLE } from "./memory";

const WINDOW: usize = 64;
const CUT_MASK: u64 = 0xfffff;

// @ts-ignore: decorators are AssemblyScript's
@inline
function push(d: u64, p: usize): u64 {
  return ((d << 8) | load<u8>(p)) ^ load<u64>((<usize> (d >> 45)) << 3, MOD_TABLE);
}

// @ts-ignore: decorators are AssemblyScript's
@inline
function roll(d: u64, p: usize): u64 {
  return push(d, p) ^ load<u64>((<usize> load<u8>(p - WINDOW)) << 3, OUT_TABLE);
}

/**
 * `DATA` holds 64 bytes and then `length` ≥ 1 bytes of the span. Returns after how many bytes of the span the first
 * chunk may end, 0 when nowhere.
 */
export function firstBoundary(length: u32): u32 {
  const lane: u32 = (length + 1) >> 1;
  // The lanes share a byte when the length is odd.
  const second: u32 = length - lane;
  let p: usize = DATA;
  let q: usize = DATA + second;
  let d: u64 = 0;
  let e: u64 = 0;
  for (const end = p + WINDOW; p < end; p++, q++) {
    d = push(d, p);
    e = push(e, q);
  }
  let later: u32 = 0;
  const start = p;
  for (const end = p + lane; p < end; p++, q++) {
    d = roll(d, p);
    e = roll(e, q);
    if ((d & CUT_MASK) == 0) return <u32> (p - start) + 1;
    if ((e & CUT_MASK) == 0 && later == 0) later = second + <u32> (p - start) + 1;
  }
  return later;
}
