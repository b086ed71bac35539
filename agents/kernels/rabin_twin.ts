/** The boundary scanner in TypeScript: the oracle, and what works where WASM does not. Rule: as simple as it can be. */
import { type BoundaryScanner, CUT_BITS, WINDOW_BYTES } from "./kernels.ts";
import { makeRabinTables, outAfterShift, POLYNOMIAL_DEGREE } from "./rabin_tables.ts";

const CUT_MASK = 2 ** CUT_BITS - 1;
/** The fingerprint's top byte begins at bit 45, which is bit 13 of its upper half. */
const TOP_SHIFT = POLYNOMIAL_DEGREE - 8 - 32;

/** A fingerprint as two halves of 32 bits, since numbers have 53 bits for doubles and 32 for shifts. */
export function createTwinScanner(polynomial: bigint): BoundaryScanner {
  const tables = makeRabinTables(polynomial);
  const [modLow, modHigh] = halves(tables.mod);
  const [outLow, outHigh] = halves(outAfterShift(tables, polynomial));

  return {
    findFirst(bytes, from, to) {
      let low = 0;
      let high = 0;
      for (let at = from - WINDOW_BYTES; at < from; at++) {
        const top = high >>> TOP_SHIFT;
        high = ((high << 8) | (low >>> 24)) ^ modHigh[top]!;
        low = ((low << 8) | bytes[at]!) ^ modLow[top]!;
      }
      for (let at = from; at < to; at++) {
        const top = high >>> TOP_SHIFT;
        const gone = bytes[at - WINDOW_BYTES]!;
        high = ((high << 8) | (low >>> 24)) ^ modHigh[top]! ^ outHigh[gone]!;
        low = ((low << 8) | bytes[at]!) ^ modLow[top]! ^ outLow[gone]!;
        if ((low & CUT_MASK) === 0) return at + 1;
      }
      return -1;
    },
  };
}

function halves(table: BigUint64Array): [low: Int32Array, high: Int32Array] {
  const low = new Int32Array(table.length);
  const high = new Int32Array(table.length);
  table.forEach((value, i) => {
    low[i] = Number(value & 0xffffffffn);
    high[i] = Number(value >> 32n);
  });
  return [low, high];
}
