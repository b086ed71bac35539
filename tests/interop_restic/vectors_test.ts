import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createKernels, createTwinKernels } from "../../agents/kernels/mod.ts";
import { fingerprint, makeRabinTables } from "../../agents/kernels/rabin_tables.ts";
import { Chunker, CutSelector, findFitRuns } from "../../agents/repository/chunker.ts";
import { goString } from "../../agents/repository/go_json.ts";
import { goQuote, goUnquote } from "../../agents/repository/go_quote.ts";
import { deriveKey } from "../../agents/repository/kdf.ts";
import { idOf } from "../../agents/repository/object_id.ts";
import { SealingKey } from "../../agents/repository/sealing_key.ts";
import { readVectors, vectorFile } from "./vector_files.ts";

const vectors = readVectors();
const hex = (text: string) => Uint8Array.fromHex(text);

Deno.test("vectors: tables and fingerprints of every polynomial are restic's", () => {
  for (const [text, expected] of Object.entries(vectors.chunking)) {
    const polynomial = BigInt(`0x${text}`);
    const { mod, out } = makeRabinTables(polynomial);
    assert.equal(mod[255]!.toString(16), expected.mod_table_255);
    assert.equal(out[255]!.toString(16), expected.out_table_255);
    assert.equal(hashOfTable(mod), expected.sha256_of_mod_table_u64be);
    assert.equal(hashOfTable(out), expected.sha256_of_out_table_u64be);
    const bytes = Uint8Array.from({ length: 64 }, (_, i) => i);
    assert.equal(fingerprint(bytes, polynomial).toString(16), expected.fingerprint_of_bytes_0_63);
  }
});

Deno.test("vectors: every file is cut where restic cuts it, in one go, in pieces, and in parallel segments", async () => {
  const kernels = createKernels();
  const names = Object.keys(Object.values(vectors.chunking)[0]!.files);
  for (const name of names) {
    const bytes = vectorFile(name);
    for (const [polynomial, { files }] of Object.entries(vectors.chunking)) {
      const { sha256, chunks: expected } = files[name]!;
      assert.equal(idOf(bytes), sha256, name);
      const scanner = kernels.createScanner(BigInt(`0x${polynomial}`));
      const chunker = new Chunker(scanner);
      for (const pieceBytes of [Infinity, 300_001]) {
        let at = 0;
        chunker.begin((into) => {
          const piece = bytes.subarray(at, at + Math.min(pieceBytes, into.length));
          into.set(piece);
          at += piece.length;
          return piece.length;
        });
        const chunks: [number, string][] = [];
        for (let chunk; (chunk = await chunker.next()) !== undefined;) {
          chunks.push([chunk.length, idOf(chunk)]);
        }
        assert.deepEqual(chunks, expected, `${name} by ${polynomial} in pieces of ${pieceBytes}`);
      }
      for (const segmentBytes of [1 << 20, 3_333_333]) {
        const selector = new CutSelector();
        const cuts: number[] = [];
        for (let at = 64; at < bytes.length; at += segmentBytes) {
          const end = Math.min(bytes.length, at + segmentBytes);
          cuts.push(...selector.push(findFitRuns(scanner, bytes.subarray(at - 64, end), at), end));
        }
        cuts.push(...selector.end(bytes.length));
        const lengths = cuts.map((cut, i) => cut - (cuts[i - 1] ?? 0));
        assert.deepEqual(lengths, expected.map(([length]) => length), `${name} by ${polynomial}`);
      }
    }
  }
});

Deno.test("vectors: sealed bytes are restic's and open again, with either kernel", () => {
  const { enc, mac_k, mac_r_unclamped, nonce, cases } = vectors.crypto;
  const material = { encrypt: hex(enc), macK: hex(mac_k), macR: hex(mac_r_unclamped) };
  for (const kernels of [createKernels(), createTwinKernels()]) {
    const key = new SealingKey(kernels, material);
    for (const { plain, sealed } of cases) {
      const bytes = hex(plain);
      assert.equal(key.sealWithNonce(bytes, hex(nonce)).toHex(), sealed);
      assert.deepEqual(key.open(hex(sealed)), bytes);
    }
  }
});

Deno.test("vectors: the key of a password is restic's", () => {
  const { password, salt_hex, N, r, p, enc, mac_k, mac_r } = vectors.scrypt;
  const key = deriveKey(password, hex(salt_hex), { N, r, p });
  assert.deepEqual(
    [key.encrypt.toHex(), key.macK.toHex(), key.macR.toHex()],
    [enc, mac_k, mac_r],
  );
});

Deno.test("vectors: names are quoted as restic quotes them, and read back", () => {
  for (const { name_hex, json_name } of vectors.quote) {
    const name = String.fromCharCode(...hex(name_hex));
    assert.equal(goUnquote(JSON.parse(json_name)), name);
    assert.equal(goString(goQuote(name)), json_name);
  }
});

Deno.test("vectors: the empty tree and the chunk of zeros have restic's ids", () => {
  assert.equal(idOf(new TextEncoder().encode(vectors.empty_tree.bytes)), vectors.empty_tree.id);
  assert.equal(idOf(new Uint8Array(512 << 10)), vectors.zero_chunk_512k_id);
});

function hashOfTable(table: BigUint64Array): string {
  const view = new DataView(new ArrayBuffer(table.length * 8));
  table.forEach((value, i) => view.setBigUint64(i * 8, value));
  return createHash("sha256").update(new Uint8Array(view.buffer)).digest("hex");
}
