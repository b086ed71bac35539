/**
 * Polynomials over GF(2) as numbers: bit i is the coefficient of x^i. Rule: plain and slow; it makes tables and checks
 * polynomials, nothing hot.
 */

/** Of 0 it is -1. */
export function degree(a: bigint): number {
  return a === 0n ? -1 : a.toString(2).length - 1;
}

/** a mod m. @throws {RangeError} for m = 0 */
export function polyMod(a: bigint, m: bigint): bigint {
  const d = degree(m);
  if (d < 0) throw new RangeError("Cannot divide by the zero polynomial");
  for (let excess = degree(a) - d; excess >= 0; excess = degree(a) - d) a ^= m << BigInt(excess);
  return a;
}

export function polyGcd(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, polyMod(a, b)];
  return a;
}

/** a² mod m. */
export function polySquareMod(a: bigint, m: bigint): bigint {
  // Squaring over GF(2) puts a zero between every two coefficients.
  return polyMod(BigInt(`0b${a.toString(2).split("").join("0")}`), m);
}

/** Ben-Or's test. */
export function isIrreducible(p: bigint): boolean {
  const d = degree(p);
  if (d < 1) return false;
  let t = 2n;
  for (let i = 1; i <= d >> 1; i++) {
    t = polySquareMod(t, p);
    if (polyGcd(p, t ^ 2n) !== 1n) return false;
  }
  return true;
}
