import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { IntegrityError } from "../../protocol/base/errors.ts";
import { createKernels } from "../kernels/mod.ts";
import { BlobIndex, NO_ROW } from "./blob_index.ts";
import { IndexColumns } from "./index_columns.ts";
import { decodeIndex, encodeIndex, type IndexedPack } from "./index_file.ts";
import { newMasterKey } from "./key_file.ts";
import { idOf } from "./object_id.ts";
import { PackBuilder } from "./pack_builder.ts";
import {
  decodeHeader,
  encodeHeader,
  headerLength,
  type PackedBlob,
  packSize,
} from "./pack_header.ts";
import { SealingKey } from "./sealing_key.ts";

const key = new SealingKey(createKernels(), newMasterKey());
const id = () => randomBytes(32).toString("hex");

const blobs = fc.array(
  fc.record({
    type: fc.constantFrom("data" as const, "tree" as const),
    id: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => bytes.toHex()),
    lengthBytes: fc.integer({ min: 32, max: 9_000_000 }),
    plainBytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 ** 32 - 1 })),
  }),
  { maxLength: 20 },
).map((list) => {
  let offset = 0;
  return list.map((blob) => ({ ...blob, offset: (offset += blob.lengthBytes) - blob.lengthBytes }));
});

Deno.test("packs: any header is read as it was written, and any bytes are read or refused", () => {
  fc.assert(fc.property(blobs, (list) => assert.deepEqual(decodeHeader(encodeHeader(list)), list)));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    const list = decodeHeader(bytes);
    if (list !== undefined) assert.deepEqual(encodeHeader(list), bytes);
  }));
  assert.equal(decodeHeader(new Uint8Array(37).fill(4)), undefined);
});

Deno.test("packs: a pack is named by its hash, says where its blobs are, and ends with its header", () => {
  const builder = new PackBuilder({ targetBytes: 1000 });
  assert.equal(builder.finish(key), undefined);
  const plain = [randomBytes(300), randomBytes(500), randomBytes(400)].map((b) =>
    new Uint8Array(b)
  );
  for (const bytes of plain) {
    assert.ok(!builder.isFull);
    builder.add("data", idOf(bytes), key.seal(bytes), 0);
  }
  assert.ok(builder.isFull);
  const pack = builder.finish(key)!;
  const bytes = new Uint8Array(pack.parts.flatMap((part) => [...part]));
  assert.equal(pack.id, idOf(bytes));
  assert.equal(pack.sizeBytes, bytes.length);
  assert.equal(packSize(pack.blobs), bytes.length);
  const length = headerLength(bytes.subarray(-4), bytes.length)!;
  assert.deepEqual(decodeHeader(key.open(bytes.subarray(-4 - length, -4))!), pack.blobs);
  pack.blobs.forEach(({ offset, lengthBytes }, i) => {
    assert.deepEqual(key.open(bytes.subarray(offset, offset + lengthBytes)), plain[i]);
  });
  assert.equal(builder.blobCount, 0);
});

Deno.test("packs: a header length that cannot be is refused", () => {
  const ending = (length: number) => new Uint8Array(new Uint32Array([length]).buffer);
  assert.equal(headerLength(ending(69), 1000), 69);
  for (const wrong of [0, 32, 997, (16 << 20) + 1, 2 ** 32 - 1]) {
    assert.equal(headerLength(ending(wrong), 1000), undefined, `${wrong}`);
  }
});

Deno.test("index: what was added is found by type and id, every copy once, and nothing else", () => {
  const index = new BlobIndex();
  const known: { id: string; type: "data" | "tree"; row: number }[] = [];
  for (let i = 0; i < 20_000; i++) {
    const blob = {
      type: i % 3 === 0 ? "tree" as const : "data" as const,
      id: id(),
      offset: i,
      lengthBytes: i + 32,
      plainBytes: i % 2,
    };
    const row = index.add(index.addPack(`${i % 7}`.repeat(64)), blob);
    known.push({ ...blob, row });
    assert.equal(
      index.add(index.addPack(`${i % 7}`.repeat(64)), blob),
      row,
      "the same place twice",
    );
  }
  for (const { id, type, row } of known) {
    assert.equal(index.find(type, id), row);
    assert.equal(index.findNext(row), NO_ROW);
    assert.ok(!index.has(type === "tree" ? "data" : "tree", id));
  }
  for (let i = 0; i < 1000; i++) assert.ok(!index.has("data", id()));
  const twice = index.blob(known[17]!.row);
  const copy = index.add(index.addPack("e".repeat(64)), twice);
  assert.equal(index.find(twice.type, twice.id), known[17]!.row);
  assert.equal(index.findNext(known[17]!.row), copy);
  assert.equal(index.findNext(copy), NO_ROW);
  const { rows, starts } = index.rowsByPack();
  assert.equal(rows.length, 20_001);
  for (let pack = 0; pack < index.packCount; pack++) {
    let last = -1;
    for (const row of rows.subarray(starts[pack], starts[pack + 1])) {
      assert.equal(index.packOf(row), pack);
      assert.ok(index.offsetOf(row) > last);
      last = index.offsetOf(row);
    }
  }
});

/** What the columns hold, as objects. */
function inColumns(columns: IndexColumns, json: Uint8Array): IndexedPack[] {
  columns.read(json, "index/x");
  const packs: { id: string; blobs: PackedBlob[] }[] = columns.packIds.map((id) => ({
    id,
    blobs: [],
  }));
  const ids = new Uint8Array(columns.ids.buffer);
  for (let row = 0; row < columns.count; row++) {
    packs[columns.packs[row]!]!.blobs.push({
      type: columns.trees[row] === 1 ? "tree" : "data",
      id: ids.subarray(row * 32, (row + 1) * 32).toHex(),
      offset: columns.offsets[row]!,
      lengthBytes: columns.lengths[row]!,
      plainBytes: columns.plains[row]!,
    });
  }
  return packs;
}

Deno.test("index files: columns hold what objects would, however the JSON is written, and refuse the same", () => {
  const columns = new IndexColumns();
  const forms: ((json: string) => string)[] = [
    (json) => json,
    (json) => json.trim(),
    (json) => JSON.stringify(JSON.parse(json), null, 1),
    (json) => json.replace("{", '{"supersedes":["x"],'),
    (json) => json.replaceAll('"type":', '"more":{"id":1},"type":'),
    (json) => json.replace('"data"', '"xxxx"'),
    (json) => json.replace(/"length":\d+/, '"length":4294967296'),
    (json) => json.replace(/"offset":\d+/, '"offset":1e3'),
    (json) => json.replace(/[0-9a-f]{64}/, (id) => id.toUpperCase()),
    (json) => `${json}x`,
    (json) => json.slice(0, -4),
  ];
  const form = fc.constantFrom(...forms);
  fc.assert(fc.property(fc.array(blobs, { maxLength: 3 }), form, (lists, form) => {
    const packs = lists.map((blobs) => ({ id: id(), blobs }));
    const json = new TextEncoder().encode(form(new TextDecoder().decode(encodeIndex(packs))));
    const read = (how: () => IndexedPack[]) => {
      try {
        return how();
      } catch (error) {
        assert.ok(error instanceof IntegrityError, String(error));
        return "damaged";
      }
    };
    assert.deepEqual(
      read(() => inColumns(columns, json)),
      read(() => [...decodeIndex(json, "index/x")]),
    );
  }));
});

Deno.test("index files: they are read as written, unknown fields are ignored, nonsense is damage", () => {
  fc.assert(fc.property(fc.array(blobs, { maxLength: 3 }), (lists) => {
    const packs = lists.map((blobs) => ({ id: id(), blobs }));
    assert.deepEqual([...decodeIndex(encodeIndex(packs), "index/x")], packs);
  }));
  const text = (json: string) => [...decodeIndex(new TextEncoder().encode(json), "index/x")];
  assert.deepEqual(text('{"supersedes":["x"],"packs":null}'), []);
  const a = "a".repeat(64);
  assert.deepEqual(text(`{"packs":[{"id":"${a}","time":1,"blobs":null}]}`), [{ id: a, blobs: [] }]);
  for (
    const wrong of [
      "",
      "[]x",
      '{"packs":[{"id":"x","blobs":[]}]}',
      `{"packs":[{"id":"${a}","blobs":[{"id":"${a}","type":"data","offset":-1,"length":5}]}]}`,
      `{"packs":[{"id":"${a}","blobs":[{"id":"${a}","type":"xxxx","offset":1,"length":5}]}]}`,
      `{"packs":[{"id":"${a}","blobs":[null]}]}`,
    ]
  ) {
    assert.throws(() => text(wrong), IntegrityError, wrong);
  }
});
