/** The tables that rolling a Rabin fingerprint needs. Rule: restic's numbers; tests compare them with its own. */
import { degree, polyMod } from "./gf2.ts";
import { WINDOW_BYTES } from "./kernels.ts";

export const POLYNOMIAL_DEGREE = 53;

export interface RabinTables {
  /** b·x^53 mod P, with b also above bit 53, so that one XOR takes the top byte away. */
  mod: BigUint64Array<ArrayBuffer>;
  /** b·x^(8·63) mod P: what the byte that leaves the window is in the fingerprint, as restic has it. */
  out: BigUint64Array<ArrayBuffer>;
}

/** @throws {RangeError} unless the polynomial has degree 53 */
export function makeRabinTables(polynomial: bigint): RabinTables {
  if (degree(polynomial) !== POLYNOMIAL_DEGREE) {
    throw new RangeError(`Not a polynomial of degree 53: ${polynomial.toString(16)}`);
  }
  const mod = new BigUint64Array(256);
  const out = new BigUint64Array(256);
  for (let b = 0; b < 256; b++) {
    const top = BigInt(b) << BigInt(POLYNOMIAL_DEGREE);
    mod[b] = polyMod(top, polynomial) | top;
    let h = BigInt(b);
    for (let i = 1; i < WINDOW_BYTES; i++) h = polyMod(h << 8n, polynomial);
    out[b] = h;
  }
  return { mod, out };
}

/** The fingerprint of `bytes`, which is not rolled. */
export function fingerprint(bytes: Uint8Array, polynomial: bigint): bigint {
  let h = 0n;
  for (const byte of bytes) h = polyMod((h << 8n) | BigInt(byte), polynomial);
  return h;
}

/** The table of what leaves the window for a loop that shifts first: b·x^(8·64) mod P. */
export function outAfterShift(
  tables: RabinTables,
  polynomial: bigint,
): BigUint64Array<ArrayBuffer> {
  return tables.out.map((h) => polyMod(h << 8n, polynomial));
}
