/** The files that vectors.json speaks of, made anew. Rule: the same bytes on every machine. */
import { createHash } from "node:crypto";

const KIB = 1024;
const MIB = KIB * KIB;

export interface Vectors {
  chunking: Record<string, {
    mod_table_1: string;
    mod_table_255: string;
    out_table_1: string;
    out_table_255: string;
    sha256_of_out_table_u64be: string;
    sha256_of_mod_table_u64be: string;
    fingerprint_of_bytes_0_63: string;
    files: Record<string, { size: number; sha256: string; chunks: [number, string][] }>;
  }>;
  crypto: {
    enc: string;
    mac_k: string;
    mac_r_unclamped: string;
    nonce: string;
    cases: { plain: string; sealed: string }[];
  };
  scrypt: {
    password: string;
    salt_hex: string;
    N: number;
    r: number;
    p: number;
    enc: string;
    mac_k: string;
    mac_r: string;
  };
  empty_tree: { bytes: string; id: string };
  zero_chunk_512k_id: string;
  quote: { name_hex: string; json_name: string }[];
}

export function readVectors(): Vectors {
  return JSON.parse(Deno.readTextFileSync(new URL("fixture/vectors.json", import.meta.url)));
}

export function vectorFile(name: string): Uint8Array {
  switch (name) {
    case "rand20m.bin":
      return prng("restic-vector-A", 20 * MIB);
    case "shift20m.bin": {
      const bytes = new Uint8Array(20 * MIB + 3);
      bytes.set([0, 1, 2]);
      bytes.set(prng("restic-vector-A", 20 * MIB), 3);
      return bytes;
    }
    case "zero6m.bin":
      return new Uint8Array(6 * MIB);
    case "ones20m.bin":
      return new Uint8Array(20 * MIB).fill(1);
    case "text9m.txt": {
      let text = "";
      for (let i = 0; i < Math.floor(9 * MIB / 58); i++) {
        text += `line ${String(i).padStart(8, "0")} the quick brown fox jumps over the lazy dog\n`;
      }
      return new TextEncoder().encode(text);
    }
    case "min-1.bin":
      return prng("restic-vector-B", 512 * KIB - 1);
    case "min.bin":
      return prng("restic-vector-B", 512 * KIB);
    case "min+1.bin":
      return prng("restic-vector-B", 512 * KIB + 1);
    case "small.txt":
      return new TextEncoder().encode("hello restic\n");
    case "empty":
      return new Uint8Array(0);
    default:
      throw new RangeError(`Unknown vector file: ${name}`);
  }
}

/** SHA-256(seed ‖ u32le(0)) ‖ SHA-256(seed ‖ u32le(1)) … */
export function prng(seed: string, sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(sizeBytes / 32) * 32);
  const input = new Uint8Array(seed.length + 4);
  new TextEncoder().encodeInto(seed, input);
  const view = new DataView(input.buffer);
  for (let i = 0; i * 32 < sizeBytes; i++) {
    view.setUint32(seed.length, i, true);
    bytes.set(createHash("sha256").update(input).digest(), i * 32);
  }
  return bytes.subarray(0, sizeBytes);
}
