/**
 * XXH64 (seed 0), the hash that media tools write into ASC MHL manifests. Rule: it is ready as soon as this module is
 * loaded, without awaiting anything, since a thread must not await before it listens. The inner loop is a WebAssembly
 * module of some 200 bytes, assembled below; head and tail of a file are done in BigInt.
 */
const P1 = 0x9e3779b185ebca87n;
const P2 = 0xc2b2ae3d27d4eb4fn;
const P3 = 0x165667b19e3779f9n;
const P4 = 0x85ebca77c2b2ae63n;
const P5 = 0x27d4eb2f165667c5n;
const STRIPE_BYTES = 32;
/** Memory of the module: one page for the four accumulators and an open stripe, the others for input. */
const PAGE_BYTES = 64 << 10;
const INPUT_PAGES = 4;
const INPUT_AT = PAGE_BYTES;
const INPUT_BYTES = INPUT_PAGES * PAGE_BYTES;
const ACCUMULATORS = 4;

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const rotate = (value: bigint, bits: bigint): bigint =>
  u64((value << bits) | (value >> (64n - bits)));
const round = (accumulator: bigint, lane: bigint): bigint =>
  u64(rotate(u64(accumulator + lane * P2), 31n) * P1);

export class Xxh64 {
  readonly #memory: Uint8Array;
  readonly #accumulators: BigUint64Array;
  readonly #stripes: (from: number, to: number) => void;
  /** Bytes of a stripe that is not whole yet. */
  readonly #open = new Uint8Array(STRIPE_BYTES);
  #openBytes = 0;
  #totalBytes = 0;

  constructor() {
    const { exports } = new WebAssembly.Instance(stripesModule());
    const { buffer } = exports["memory"] as WebAssembly.Memory;
    this.#memory = new Uint8Array(buffer);
    this.#accumulators = new BigUint64Array(buffer, 0, ACCUMULATORS);
    this.#stripes = exports["stripes"] as (from: number, to: number) => void;
    this.reset();
  }

  /** Begins another input. */
  reset(): void {
    this.#openBytes = this.#totalBytes = 0;
    this.#accumulators.set([u64(P1 + P2), P2, 0n, u64(-P1)]);
  }

  update(bytes: Uint8Array): void {
    this.#totalBytes += bytes.length;
    let at = 0;
    if (this.#openBytes > 0) {
      at = Math.min(bytes.length, STRIPE_BYTES - this.#openBytes);
      this.#open.set(bytes.subarray(0, at), this.#openBytes);
      this.#openBytes += at;
      if (this.#openBytes < STRIPE_BYTES) return;
      this.#run(this.#open);
      this.#openBytes = 0;
    }
    const wholeEnd = bytes.length - (bytes.length - at) % STRIPE_BYTES;
    while (at < wholeEnd) {
      const end = Math.min(wholeEnd, at + INPUT_BYTES);
      this.#run(bytes.subarray(at, end));
      at = end;
    }
    this.#open.set(bytes.subarray(at));
    this.#openBytes = bytes.length - at;
  }

  /** Sixteen hexadecimal digits, most significant first, as `xxh64sum` prints them. */
  hex(): string {
    return this.#value().toString(16).padStart(16, "0");
  }

  #run(stripes: Uint8Array): void {
    this.#memory.set(stripes, INPUT_AT);
    this.#stripes(INPUT_AT, INPUT_AT + stripes.length);
  }

  #value(): bigint {
    let hash = P5;
    if (this.#totalBytes >= STRIPE_BYTES) {
      const [a, b, c, d] = this.#accumulators as unknown as [bigint, bigint, bigint, bigint];
      hash = u64(rotate(a, 1n) + rotate(b, 7n) + rotate(c, 12n) + rotate(d, 18n));
      for (const each of [a, b, c, d]) hash = u64((hash ^ round(0n, each)) * P1 + P4);
    }
    hash = u64(hash + BigInt(this.#totalBytes));
    const view = new DataView(this.#open.buffer);
    let at = 0;
    for (; at + 8 <= this.#openBytes; at += 8) {
      hash = u64(rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * P1 + P4);
    }
    for (; at + 4 <= this.#openBytes; at += 4) {
      hash = u64(rotate(hash ^ u64(BigInt(view.getUint32(at, true)) * P1), 23n) * P2 + P3);
    }
    for (; at < this.#openBytes; at++) {
      hash = u64(rotate(hash ^ u64(BigInt(this.#open[at]!) * P5), 11n) * P1);
    }
    hash = u64((hash ^ (hash >> 33n)) * P2);
    hash = u64((hash ^ (hash >> 29n)) * P3);
    return hash ^ (hash >> 32n);
  }
}

let compiled: WebAssembly.Module | undefined;

/**
 * `stripes(from, to)`: takes whole stripes of its memory into the accumulators at address 0. The numbers are the opcodes of
 * the WebAssembly binary format.
 */
function stripesModule(): WebAssembly.Module {
  return compiled ??= new WebAssembly.Module(Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 2, I32, I32, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1 + INPUT_PAGES]),
    ...section(7, [2, ...name("memory"), 2, 0, ...name("stripes"), 0, 0]),
    ...section(10, [1, ...sized(stripesBody())]),
  ]));
}

const I32 = 0x7f;
const I64 = 0x7e;
const FROM = 0;
const TO = 1;
const FIRST_ACCUMULATOR = 2;
const END = 0x0b;
const VOID = 0x40;
const localGet = (local: number): number[] => [0x20, local];
const localSet = (local: number): number[] => [0x21, local];
const i64Load = (offset: number): number[] => [0x29, 3, offset];
const i64Store = (offset: number): number[] => [0x37, 3, offset];
const i32Const = (value: bigint): number[] => [0x41, ...signed(value)];
const i64Const = (value: bigint): number[] => [0x42, ...signed(BigInt.asIntN(64, value))];
const I64_ADD = 0x7c;
const I64_MUL = 0x7e;
const I64_ROTL = 0x89;
const I32_ADD = 0x6a;
const I32_LT_U = 0x49;
const LOOP = 0x03;
const IF = 0x04;
const BRANCH = 0x0c;

function stripesBody(): number[] {
  const accumulators = Array.from({ length: ACCUMULATORS }, (_, k) => k);
  return [
    ...[1, ACCUMULATORS, I64],
    ...accumulators.flatMap((k) => [
      ...i32Const(0n),
      ...i64Load(k * 8),
      ...localSet(FIRST_ACCUMULATOR + k),
    ]),
    ...[LOOP, VOID, ...localGet(FROM), ...localGet(TO), I32_LT_U, IF, VOID],
    ...accumulators.flatMap((k) => [
      ...[...localGet(FROM), ...i64Load(k * 8), ...i64Const(P2), I64_MUL],
      ...[...localGet(FIRST_ACCUMULATOR + k), I64_ADD, ...i64Const(31n), I64_ROTL],
      ...[...i64Const(P1), I64_MUL, ...localSet(FIRST_ACCUMULATOR + k)],
    ]),
    ...[...localGet(FROM), ...i32Const(BigInt(STRIPE_BYTES)), I32_ADD, ...localSet(FROM)],
    ...[BRANCH, 1, END, END],
    ...accumulators.flatMap((k) => [
      ...i32Const(0n),
      ...localGet(FIRST_ACCUMULATOR + k),
      ...i64Store(k * 8),
    ]),
    END,
  ];
}

function section(id: number, content: number[]): number[] {
  return [id, ...sized(content)];
}

function sized(content: number[]): number[] {
  return [...unsigned(content.length), ...content];
}

function name(text: string): number[] {
  return sized([...new TextEncoder().encode(text)]);
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: bigint): number[] {
  const low = Number(value & 0x7fn);
  const rest = value >> 7n;
  const ends = (rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0);
  return ends ? [low] : [low | 0x80, ...signed(rest)];
}
