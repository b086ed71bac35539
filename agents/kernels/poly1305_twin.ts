/**
 * Poly1305 (RFC 8439) in TypeScript: the oracle, and what works where WASM does not. Rule: limbs of 13 bits, so that every
 * sum of products is exact in a double.
 */

const LIMBS = 10;
const LIMB_BITS = 13;
const LIMB_MASK = 2 ** LIMB_BITS - 1;
const BLOCK_BYTES = 16;

export function poly1305Twin(key: Uint8Array, message: Uint8Array, tag: Uint8Array): void {
  const block = new Uint8Array(BLOCK_BYTES + 1);
  block.set(key.subarray(0, BLOCK_BYTES));
  for (const i of [3, 7, 11, 15]) block[i]! &= 0x0f;
  for (const i of [4, 8, 12]) block[i]! &= 0xfc;
  const r = limbsOf(block);
  const h = new Float64Array(LIMBS);
  const product = new Float64Array(LIMBS);

  for (let at = 0; at < message.length; at += BLOCK_BYTES) {
    const part = message.subarray(at, at + BLOCK_BYTES);
    block.fill(0);
    block.set(part);
    block[part.length] = 1;
    const m = limbsOf(block);
    for (let i = 0; i < LIMBS; i++) h[i]! += m[i]!;
    for (let i = 0; i < LIMBS; i++) {
      let sum = 0;
      // What passes 2¹³⁰ comes back five times.
      for (let j = 0; j <= i; j++) sum += h[j]! * r[i - j]!;
      for (let j = i + 1; j < LIMBS; j++) sum += 5 * h[j]! * r[LIMBS + i - j]!;
      product[i] = sum;
    }
    carry(product);
    carry(product);
    h.set(product);
  }

  let value = 0n;
  for (let i = LIMBS - 1; i >= 0; i--) value = (value << BigInt(LIMB_BITS)) + BigInt(h[i]!);
  value %= 2n ** 130n - 5n;
  for (let i = BLOCK_BYTES - 1, s = 0n; i >= 0; i--) {
    s = (s << 8n) | BigInt(key[BLOCK_BYTES + i]!);
    if (i === 0) value += s;
  }
  for (let i = 0; i < BLOCK_BYTES; i++) tag[i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

function limbsOf(block: Uint8Array): Float64Array {
  const limbs = new Float64Array(LIMBS);
  for (let i = 0; i < LIMBS; i++) {
    const bit = i * LIMB_BITS;
    const at = bit >> 3;
    const word = block[at]! | ((block[at + 1] ?? 0) << 8) | ((block[at + 2] ?? 0) << 16);
    limbs[i] = (word >> (bit & 7)) & LIMB_MASK;
  }
  return limbs;
}

function carry(limbs: Float64Array): void {
  let over = 0;
  for (let i = 0; i < LIMBS; i++) {
    const sum = limbs[i]! + over;
    over = Math.floor(sum / 2 ** LIMB_BITS);
    limbs[i] = sum - over * 2 ** LIMB_BITS;
  }
  limbs[0]! += over * 5;
}
