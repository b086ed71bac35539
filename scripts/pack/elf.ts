/**
 * Makes one ELF file out of a stock deno binary and a program: a segment at the end that holds the start stub, the
 * baked command line and the program. Rule: a layout that is not exactly as expected is refused, never patched.
 */
import { PROGRAM_FD, type StubMachine } from "./stub.ts";

/** What the appended segment holds. Environment and program must not be empty. */
export interface Payload {
  /** Machine code from `readStub`, for the same machine as the host binary. */
  stub: Uint8Array;
  /** argv of the packed deno, argv[0] included; what the user types follows it. Odd in number (stack alignment). */
  commandLine: readonly string[];
  /** Lines `NAME=value`, read through `--env-file`; they do not override the user's own values. */
  environment: Uint8Array;
  /** The bundled program, one JavaScript module. */
  program: Uint8Array;
}

/** The file cannot be packed: not the kind of ELF this technique was made for. */
export class ElfLayoutError extends Error {
  override readonly name = "ElfLayoutError";
}

const MACHINES = new Map<number, StubMachine>([[62, "x86_64"], [183, "aarch64"]]);
const HEADER_SIZE_BYTES = 64;
const PROGRAM_HEADER_SIZE_BYTES = 56;
const PT_LOAD = 1;
const PT_NOTE = 4;
const FLAGS_READ_EXECUTE = 5;
/** The largest page size of the machines supported (arm64 kernels with 64 KiB pages). */
const SEGMENT_ALIGN_BYTES = 0x10000;
const TABLE_FIXED_WORDS = 6;

/** Which machine an ELF file is for. @throws {ElfLayoutError} for anything but 64-bit little-endian x86-64 or arm64. */
export function elfMachine(host: Uint8Array): StubMachine {
  const view = viewOf(host);
  const isElf64LittleEndian = host.length > HEADER_SIZE_BYTES && view.getUint32(0) === 0x7f454c46 &&
    host[4] === 2 && host[5] === 1;
  if (!isElf64LittleEndian) throw new ElfLayoutError("Not a 64-bit little-endian ELF file");
  const machine = MACHINES.get(view.getUint16(18, true));
  if (machine === undefined) throw new ElfLayoutError("Neither an x86-64 nor an arm64 ELF file");
  return machine;
}

/**
 * The packed executable. The same input gives the same bytes.
 * @throws {ElfLayoutError} when the host's program headers do not end with a note behind the last loaded segment.
 */
export function packElf(host: Uint8Array, payload: Payload): Uint8Array<ArrayBuffer> {
  elfMachine(host);
  const layout = readLayout(host);
  const fileOffset = alignUp(host.length, SEGMENT_ALIGN_BYTES);
  const address = alignUp(layout.addressEnd, SEGMENT_ALIGN_BYTES);
  const segment = buildSegment(payload, layout.entry - address);

  const packed = new Uint8Array(fileOffset + segment.length);
  packed.set(host);
  packed.set(segment, fileOffset);

  const view = viewOf(packed);
  const header = layout.noteHeaderOffset;
  view.setUint32(header, PT_LOAD, true);
  view.setUint32(header + 4, FLAGS_READ_EXECUTE, true);
  setWord(view, header + 8, fileOffset);
  setWord(view, header + 16, address);
  setWord(view, header + 24, address);
  setWord(view, header + 32, segment.length);
  setWord(view, header + 40, segment.length);
  setWord(view, header + 48, SEGMENT_ALIGN_BYTES);
  setWord(view, 24, address);
  return packed;
}

interface Layout {
  entry: number;
  addressEnd: number;
  noteHeaderOffset: number;
}

function readLayout(host: Uint8Array): Layout {
  const view = viewOf(host);
  const tableOffset = getWord(view, 32);
  const count = view.getUint16(56, true);
  if (view.getUint16(54, true) !== PROGRAM_HEADER_SIZE_BYTES) {
    throw new ElfLayoutError(`Unexpected program header size: ${view.getUint16(54, true)}`);
  }
  if (count === 0 || tableOffset + count * PROGRAM_HEADER_SIZE_BYTES > host.length) {
    throw new ElfLayoutError("The program header table lies outside the file");
  }
  let addressEnd = 0;
  let lastLoad = -1;
  let lastNote = -1;
  for (let i = 0; i < count; i++) {
    const at = tableOffset + i * PROGRAM_HEADER_SIZE_BYTES;
    const type = view.getUint32(at, true);
    if (type === PT_NOTE) lastNote = i;
    if (type !== PT_LOAD) continue;
    lastLoad = i;
    const end = getWord(view, at + 16) + getWord(view, at + 40);
    if (end < addressEnd) throw new ElfLayoutError("Loaded segments are not in address order");
    addressEnd = end;
  }
  if (lastLoad === -1) throw new ElfLayoutError("No loaded segment");
  if (lastNote < lastLoad) {
    throw new ElfLayoutError("No PT_NOTE header behind the last PT_LOAD header to reuse");
  }
  return {
    entry: getWord(view, 24),
    addressEnd,
    noteHeaderOffset: tableOffset + lastNote * PROGRAM_HEADER_SIZE_BYTES,
  };
}

/** Stub, table, strings, environment, program; see the listing for the table. */
function buildSegment(payload: Payload, entryFromSegment: number): Uint8Array {
  const { stub, commandLine, environment, program } = payload;
  if (commandLine.length % 2 === 0) {
    throw new RangeError(
      `Cannot pack as the command line must be odd: ${commandLine.length} strings`,
    );
  }
  if (environment.length === 0 || program.length === 0) {
    throw new RangeError("Cannot pack an empty environment or program");
  }
  if (!commandLine.includes(`/proc/self/fd/${PROGRAM_FD}`)) {
    throw new RangeError(`Cannot pack as the command line never names /proc/self/fd/${PROGRAM_FD}`);
  }
  const strings = commandLine.map((text) => new TextEncoder().encode(`${text}\0`));
  const tableSizeBytes = 8 * (TABLE_FIXED_WORDS + strings.length);
  const offsets: number[] = [];
  let end = tableSizeBytes;
  for (const blob of [...strings, environment, program]) {
    offsets.push(end);
    end += blob.length;
  }
  const [environmentOffset, programOffset] = offsets.splice(strings.length);
  const words = [
    entryFromSegment - stub.length,
    environmentOffset!,
    environment.length,
    programOffset!,
    program.length,
    strings.length,
    ...offsets,
  ];

  const segment = new Uint8Array(stub.length + end);
  const view = viewOf(segment);
  segment.set(stub);
  words.forEach((word, i) => setWord(view, stub.length + 8 * i, word));
  let at = stub.length + tableSizeBytes;
  for (const blob of [...strings, environment, program]) {
    segment.set(blob, at);
    at += blob.length;
  }
  return segment;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function getWord(view: DataView, at: number): number {
  const word = view.getBigUint64(at, true);
  if (word > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new ElfLayoutError(`Implausible number at byte ${at}: ${word}`);
  }
  return Number(word);
}

function setWord(view: DataView, at: number, value: number): void {
  view.setBigInt64(at, BigInt(value), true);
}

function alignUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}
