/**
 * Rabin fingerprints in AssemblyScript. Rule: the same positions as ../rabin_twin.ts on every input.
 *
 * Whether a chunk may end at a position depends on the 64 bytes before it only, so four parts of a span are rolled side
 * by side: they hide each other's latency, which triples the speed.
 */
import { DATA, MOD_TABLE, OUT_TABLE } from "./memory";

const WINDOW: usize = 64;
const CUT_MASK: u64 = 0xfffff;
const LANES: u32 = 4;

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
  const lane: u32 = (length + LANES - 1) / LANES;
  // Lanes share bytes when the length is no multiple of their number.
  const second: u32 = min(lane, length - lane);
  const third: u32 = min(2 * lane, length - lane);
  const fourth: u32 = length - lane;
  let p: usize = DATA;
  let q: usize = DATA + second;
  let r: usize = DATA + third;
  let s: usize = DATA + fourth;
  let a: u64 = 0;
  let b: u64 = 0;
  let c: u64 = 0;
  let d: u64 = 0;
  for (const end = p + WINDOW; p < end; p++, q++, r++, s++) {
    a = push(a, p);
    b = push(b, q);
    c = push(c, r);
    d = push(d, s);
  }
  let inSecond: u32 = 0;
  let inThird: u32 = 0;
  let inFourth: u32 = 0;
  const start = p;
  for (const end = p + lane; p < end; p++, q++, r++, s++) {
    a = roll(a, p);
    b = roll(b, q);
    c = roll(c, r);
    d = roll(d, s);
    if ((a & CUT_MASK) == 0) return <u32> (p - start) + 1;
    if ((b & CUT_MASK) == 0 && inSecond == 0) inSecond = second + <u32> (p - start) + 1;
    if ((c & CUT_MASK) == 0 && inThird == 0) inThird = third + <u32> (p - start) + 1;
    if ((d & CUT_MASK) == 0 && inFourth == 0) inFourth = fourth + <u32> (p - start) + 1;
  }
  if (inSecond > 0) return inSecond;
  return inThird > 0 ? inThird : inFourth;
}
