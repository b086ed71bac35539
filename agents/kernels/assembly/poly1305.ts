/**
 * Poly1305 (RFC 8439) in AssemblyScript. Rule: the same tags as ../poly1305_twin.ts on every input.
 *
 * Short messages go block by block with 32-bit words. Of long ones four blocks are multiplied side by side by r⁴, in
 * 26-bit limbs; the last four by r⁴, r³, r² and r, so that their sum is what going block by block had given.
 */
import { DATA, KEY, POWER_LAST, POWER_SAME, TAG } from "./memory";

const WORD: u64 = 0xffffffff;
const LIMB: u64 = 0x3ffffff;

// r as it is used: clamped.
let r0: u64 = 0;
let r1: u64 = 0;
let r2: u64 = 0;
let r3: u64 = 0;
let h0: u64 = 0;
let h1: u64 = 0;
let h2: u64 = 0;
let h3: u64 = 0;
let h4: u64 = 0;
let hasPowers: bool = false;

/** `KEY` holds r, which need not be clamped, and s. */
export function begin(): void {
  r0 = <u64> (load<u32>(KEY) & 0x0fffffff);
  r1 = <u64> (load<u32>(KEY, 4) & 0x0ffffffc);
  r2 = <u64> (load<u32>(KEY, 8) & 0x0ffffffc);
  r3 = <u64> (load<u32>(KEY, 12) & 0x0ffffffc);
  h0 = h1 = h2 = h3 = h4 = 0;
  hasPowers = false;
}

/** Takes `length` bytes at `DATA`: a multiple of 64, as many as fit. */
export function quads(length: u32): void {
  if (!hasPowers) makePowers();
  addQuads(DATA, DATA + length);
}

/** Takes the last `length` bytes at `DATA`, any number that fits, and leaves the tag at `TAG`. */
export function finish(length: u32): void {
  const whole: u32 = length & ~15;
  addBlocks(DATA, DATA + whole, 1);
  const rest = length - whole;
  if (rest > 0) {
    const p = DATA + whole;
    store<u8>(p + rest, 1);
    for (let i = rest + 1; i < 16; i++) store<u8>(p + i, 0);
    addBlocks(p, p + 16, 0);
  }
  // h mod 2¹³⁰ − 5: take h + 5 when that passes 2¹³⁰.
  let c = (h0 + 5) >> 32;
  c = (h1 + c) >> 32;
  c = (h2 + c) >> 32;
  c = (h3 + c) >> 32;
  const over: u64 = ((h4 + c) >> 2) * 5;
  let t = h0 + over + load<u32>(KEY, 16);
  store<u32>(TAG, <u32> t);
  t = h1 + (t >> 32) + load<u32>(KEY, 20);
  store<u32>(TAG, <u32> t, 4);
  t = h2 + (t >> 32) + load<u32>(KEY, 24);
  store<u32>(TAG, <u32> t, 8);
  t = h3 + (t >> 32) + load<u32>(KEY, 28);
  store<u32>(TAG, <u32> t, 12);
}

/** Clamping makes r₁, r₂ and r₃ multiples of 4, so that r·2¹²⁸ ≡ r + r/4 for what lies above 2¹³⁰. */
function addBlocks(p: usize, end: usize, top: u64): void {
  const s1 = r1 + (r1 >> 2);
  const s2 = r2 + (r2 >> 2);
  const s3 = r3 + (r3 >> 2);
  let a0 = h0;
  let a1 = h1;
  let a2 = h2;
  let a3 = h3;
  let a4 = h4;
  for (; p < end; p += 16) {
    let d0: u64 = a0 + <u64> load<u32>(p);
    let d1: u64 = a1 + (d0 >> 32) + <u64> load<u32>(p, 4);
    let d2: u64 = a2 + (d1 >> 32) + <u64> load<u32>(p, 8);
    let d3: u64 = a3 + (d2 >> 32) + <u64> load<u32>(p, 12);
    a4 += (d3 >> 32) + top;
    a0 = d0 & WORD;
    a1 = d1 & WORD;
    a2 = d2 & WORD;
    a3 = d3 & WORD;
    d0 = a0 * r0 + a1 * s3 + a2 * s2 + a3 * s1;
    d1 = a0 * r1 + a1 * r0 + a2 * s3 + a3 * s2 + a4 * s1;
    d2 = a0 * r2 + a1 * r1 + a2 * r0 + a3 * s3 + a4 * s2;
    d3 = a0 * r3 + a1 * r2 + a2 * r1 + a3 * r0 + a4 * s3;
    a4 *= r0;
    d1 += d0 >> 32;
    d2 += d1 >> 32;
    d3 += d2 >> 32;
    a4 += d3 >> 32;
    d0 = (d0 & WORD) + (a4 >> 2) * 5;
    a4 &= 3;
    d1 = (d1 & WORD) + (d0 >> 32);
    d2 = (d2 & WORD) + (d1 >> 32);
    d3 = (d3 & WORD) + (d2 >> 32);
    a4 += d3 >> 32;
    a0 = d0 & WORD;
    a1 = d1 & WORD;
    a2 = d2 & WORD;
    a3 = d3 & WORD;
  }
  h0 = a0;
  h1 = a1;
  h2 = a2;
  h3 = a3;
  h4 = a4;
}

/** r to r⁴ by multiplying zero blocks: h = (h + 0)·r. */
function makePowers(): void {
  const k0 = h0;
  const k1 = h1;
  const k2 = h2;
  const k3 = h3;
  const k4 = h4;
  // The sixteen bytes of the tag are free until the end, and a block of zeros is needed.
  store<u64>(TAG, 0);
  store<u64>(TAG, 0, 8);
  h0 = r0;
  h1 = r1;
  h2 = r2;
  h3 = r3;
  h4 = 0;
  for (let lane: usize = 4; lane > 0; lane--) {
    if (lane < 4) addBlocks(TAG, TAG + 16, 0);
    const l0 = <u32> (h0 & LIMB);
    const l1 = <u32> (((h0 >> 26) | (h1 << 6)) & LIMB);
    const l2 = <u32> (((h1 >> 20) | (h2 << 12)) & LIMB);
    const l3 = <u32> (((h2 >> 14) | (h3 << 18)) & LIMB);
    const l4 = <u32> ((h3 >> 8) | (h4 << 24));
    const p = POWER_LAST + ((lane - 1) << 2);
    store<u32>(p, l0);
    store<u32>(p, l1, 16);
    store<u32>(p, l2, 32);
    store<u32>(p, l3, 48);
    store<u32>(p, l4, 64);
    store<u32>(p, l1 * 5, 80);
    store<u32>(p, l2 * 5, 96);
    store<u32>(p, l3 * 5, 112);
    store<u32>(p, l4 * 5, 128);
  }
  for (let i: usize = 0; i < 144; i += 16) {
    v128.store(POWER_SAME + i, i32x4.splat(load<u32>(POWER_LAST + i)));
  }
  h0 = k0;
  h1 = k1;
  h2 = k2;
  h3 = k3;
  h4 = k4;
  hasPowers = true;
}

// @ts-ignore: decorators are AssemblyScript's
@inline
function low(a: v128, b: v128): v128 {
  return v128.extmul_low<u32>(a, b);
}

// @ts-ignore: decorators are AssemblyScript's
@inline
function high(a: v128, b: v128): v128 {
  return v128.extmul_high<u32>(a, b);
}

// @ts-ignore: decorators are AssemblyScript's
@inline
function add(a: v128, b: v128): v128 {
  return v128.add<u64>(a, b);
}

// @ts-ignore: decorators are AssemblyScript's
@inline
function five(a: v128, b: v128, c: v128, d: v128, e: v128): v128 {
  return add(add(add(a, b), add(c, d)), e);
}

// @ts-ignore: decorators are AssemblyScript's
@inline
function carry(a: v128): v128 {
  return v128.shr<u64>(a, 26);
}

function addQuads(p: usize, end: usize): void {
  const mask = i32x4.splat(0x3ffffff);
  const wide = i64x2.splat(0x3ffffff);
  const top = i32x4.splat(1 << 24);
  const zero = i32x4.splat(0);
  let v0 = i32x4.replace_lane(zero, 0, <i32> (h0 & LIMB));
  let v1 = i32x4.replace_lane(zero, 0, <i32> (((h0 >> 26) | (h1 << 6)) & LIMB));
  let v2 = i32x4.replace_lane(zero, 0, <i32> (((h1 >> 20) | (h2 << 12)) & LIMB));
  let v3 = i32x4.replace_lane(zero, 0, <i32> (((h2 >> 14) | (h3 << 18)) & LIMB));
  let v4 = i32x4.replace_lane(zero, 0, <i32> ((h3 >> 8) | (h4 << 24)));
  for (; p < end; p += 64) {
    const a = v128.load(p);
    const b = v128.load(p, 16);
    const c = v128.load(p, 32);
    const d = v128.load(p, 48);
    const ab = v128.shuffle<u32>(a, b, 0, 4, 1, 5);
    const cd = v128.shuffle<u32>(c, d, 0, 4, 1, 5);
    const ef = v128.shuffle<u32>(a, b, 2, 6, 3, 7);
    const gh = v128.shuffle<u32>(c, d, 2, 6, 3, 7);
    const w0 = v128.shuffle<u64>(ab, cd, 0, 2);
    const w1 = v128.shuffle<u64>(ab, cd, 1, 3);
    const w2 = v128.shuffle<u64>(ef, gh, 0, 2);
    const w3 = v128.shuffle<u64>(ef, gh, 1, 3);
    v0 = v128.add<u32>(v0, v128.and(w0, mask));
    v1 = v128.add<u32>(v1, v128.and(v128.or(v128.shr<u32>(w0, 26), v128.shl<u32>(w1, 6)), mask));
    v2 = v128.add<u32>(v2, v128.and(v128.or(v128.shr<u32>(w1, 20), v128.shl<u32>(w2, 12)), mask));
    v3 = v128.add<u32>(v3, v128.and(v128.or(v128.shr<u32>(w2, 14), v128.shl<u32>(w3, 18)), mask));
    v4 = v128.add<u32>(v4, v128.or(v128.shr<u32>(w3, 8), top));

    const q = p + 64 == end ? POWER_LAST : POWER_SAME;
    const x0 = v128.load(q);
    const x1 = v128.load(q, 16);
    const x2 = v128.load(q, 32);
    const x3 = v128.load(q, 48);
    const x4 = v128.load(q, 64);
    const y1 = v128.load(q, 80);
    const y2 = v128.load(q, 96);
    const y3 = v128.load(q, 112);
    const y4 = v128.load(q, 128);
    let a0 = five(low(v0, x0), low(v1, y4), low(v2, y3), low(v3, y2), low(v4, y1));
    let b0 = five(high(v0, x0), high(v1, y4), high(v2, y3), high(v3, y2), high(v4, y1));
    let a1 = five(low(v0, x1), low(v1, x0), low(v2, y4), low(v3, y3), low(v4, y2));
    let b1 = five(high(v0, x1), high(v1, x0), high(v2, y4), high(v3, y3), high(v4, y2));
    let a2 = five(low(v0, x2), low(v1, x1), low(v2, x0), low(v3, y4), low(v4, y3));
    let b2 = five(high(v0, x2), high(v1, x1), high(v2, x0), high(v3, y4), high(v4, y3));
    let a3 = five(low(v0, x3), low(v1, x2), low(v2, x1), low(v3, x0), low(v4, y4));
    let b3 = five(high(v0, x3), high(v1, x2), high(v2, x1), high(v3, x0), high(v4, y4));
    let a4 = five(low(v0, x4), low(v1, x3), low(v2, x2), low(v3, x1), low(v4, x0));
    let b4 = five(high(v0, x4), high(v1, x3), high(v2, x2), high(v3, x1), high(v4, x0));

    // Two chains of carries side by side: 0→1→2→3 and 3→4→0→1.
    a1 = add(a1, carry(a0));
    b1 = add(b1, carry(b0));
    a4 = add(a4, carry(a3));
    b4 = add(b4, carry(b3));
    a0 = v128.and(a0, wide);
    b0 = v128.and(b0, wide);
    a3 = v128.and(a3, wide);
    b3 = v128.and(b3, wide);
    a2 = add(a2, carry(a1));
    b2 = add(b2, carry(b1));
    const ca = carry(a4);
    const cb = carry(b4);
    a0 = add(a0, add(ca, v128.shl<u64>(ca, 2)));
    b0 = add(b0, add(cb, v128.shl<u64>(cb, 2)));
    a1 = v128.and(a1, wide);
    b1 = v128.and(b1, wide);
    a4 = v128.and(a4, wide);
    b4 = v128.and(b4, wide);
    a3 = add(a3, carry(a2));
    b3 = add(b3, carry(b2));
    a1 = add(a1, carry(a0));
    b1 = add(b1, carry(b0));
    a2 = v128.and(a2, wide);
    b2 = v128.and(b2, wide);
    a0 = v128.and(a0, wide);
    b0 = v128.and(b0, wide);
    a4 = add(a4, carry(a3));
    b4 = add(b4, carry(b3));
    a3 = v128.and(a3, wide);
    b3 = v128.and(b3, wide);
    v0 = v128.shuffle<u32>(a0, b0, 0, 2, 4, 6);
    v1 = v128.shuffle<u32>(a1, b1, 0, 2, 4, 6);
    v2 = v128.shuffle<u32>(a2, b2, 0, 2, 4, 6);
    v3 = v128.shuffle<u32>(a3, b3, 0, 2, 4, 6);
    v4 = v128.shuffle<u32>(a4, b4, 0, 2, 4, 6);
  }
  // The four lanes together, in 26-bit limbs, then in 32-bit words again.
  let s0 = sum(v0);
  let s1 = sum(v1);
  let s2 = sum(v2);
  let s3 = sum(v3);
  let s4 = sum(v4);
  s1 += s0 >> 26;
  s0 &= LIMB;
  s2 += s1 >> 26;
  s1 &= LIMB;
  s3 += s2 >> 26;
  s2 &= LIMB;
  s4 += s3 >> 26;
  s3 &= LIMB;
  s0 += (s4 >> 26) * 5;
  s4 &= LIMB;
  s1 += s0 >> 26;
  s0 &= LIMB;
  // s1 may have a bit more than its limb now: words are made by adding, not by joining bits.
  let t: u64 = s0 + (s1 << 26);
  h0 = t & WORD;
  t = (t >> 32) + (s2 << 20);
  h1 = t & WORD;
  t = (t >> 32) + (s3 << 14);
  h2 = t & WORD;
  t = (t >> 32) + (s4 << 8);
  h3 = t & WORD;
  h4 = t >> 32;
}

// @ts-ignore: decorators are AssemblyScript's
@inline
function sum(v: v128): u64 {
  return <u64> <u32> i32x4.extract_lane(v, 0) + <u64> <u32> i32x4.extract_lane(v, 1) +
    <u64> <u32> i32x4.extract_lane(v, 2) + <u64> <u32> i32x4.extract_lane(v, 3);
}
