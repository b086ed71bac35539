/** The polynomial that a repository cuts files by. Rule: degree 53 and irreducible, else cuts are not where restic's are. */
import { randomBytes } from "../../protocol/base/random_bytes.ts";
import { isIrreducible } from "../kernels/mod.ts";

const TOP = 1n << 53n;

/** A random one; about one in 27 that are tried is irreducible. */
export function newPolynomial(): bigint {
  for (;;) {
    const drawn = new DataView(randomBytes(8).buffer).getBigUint64(0, true);
    const polynomial = (drawn & (TOP - 1n)) | TOP | 1n;
    if (isIrreducible(polynomial)) return polynomial;
  }
}

/** Undefined for what restic would not take either. */
export function parsePolynomial(text: string): bigint | undefined {
  if (!/^[0-9a-f]{1,16}$/.test(text)) return undefined;
  const polynomial = BigInt(`0x${text}`);
  return polynomial >> 53n === 1n && isIrreducible(polynomial) ? polynomial : undefined;
}
