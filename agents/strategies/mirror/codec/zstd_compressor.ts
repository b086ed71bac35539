/**
 * Makes zstd frames, one after the other, with one context and into one buffer. Rule: every frame is whole and states its
 * content size and a checksum, whichever way it is made.
 *
 * `zstdCompressSync` makes a context, a stream and a buffer for each call, and the kernel then zeroes new pages for as long
 * as the library takes for a third of its work. The handle of a stream is what all of node:zlib is made of, but it is not
 * documented: where it is not there, frames are made by `zstdCompressSync`.
 */
import { constants, createZstdCompress, zstdCompressSync, type ZstdOptions } from "node:zlib";

/** What is used of a stream's insides. */
export interface StreamInsides {
  _handle?: {
    writeSync?: (
      flush: number,
      from: Uint8Array,
      fromOffset: number,
      fromBytes: number,
      into: Uint8Array,
      intoOffset: number,
      intoBytes: number,
    ) => unknown;
    reset?: () => void;
  };
  /** Room left in the output, and input left over, after a write. */
  _writeState?: ArrayLike<number>;
}

type Params = Record<number, number>;

export class ZstdCompressor {
  readonly #params: Params;
  readonly #openStream: (params: Params) => StreamInsides;
  #stream: StreamInsides | undefined;
  #into = new Uint8Array(0);

  /** `openStream` is for tests. */
  constructor(level: number, openStream = openZstdStream) {
    this.#params = {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
    };
    this.#openStream = openStream;
  }

  /** One whole frame, which stands until the next one is made. `content` must not be shared memory. */
  frame(content: Uint8Array): Uint8Array {
    const boundBytes = content.length + (content.length >> 8) + SMALL_BOUND_BYTES;
    return this.#reusing(content, boundBytes) ?? this.#anew(content, boundBytes);
  }

  #reusing(content: Uint8Array, boundBytes: number): Uint8Array | undefined {
    const { _handle: handle, _writeState: state } = this.#stream ??= this.#openStream(this.#params);
    if (state === undefined || handle?.writeSync === undefined || handle.reset === undefined) {
      return undefined;
    }
    const wholeBytes = SIZE_FIELD_BYTES + boundBytes;
    if (this.#into.length < wholeBytes) this.#into = new Uint8Array(wholeBytes);
    const into = this.#into;
    const room = into.length - SIZE_FIELD_BYTES;
    handle.writeSync(
      constants.ZSTD_e_end,
      content,
      0,
      content.length,
      into,
      SIZE_FIELD_BYTES,
      room,
    );
    const [roomBytes = 0, leftBytes = 0] = Array.from(state);
    handle.reset();
    if (leftBytes > 0 || roomBytes === 0) return undefined;
    return withContentSize(into.subarray(0, into.length - roomBytes), content.length);
  }

  #anew(content: Uint8Array, boundBytes: number): Uint8Array {
    // Stated up front, the size is in the frame's header, and tables fit small content.
    const options: ZstdOptions & { pledgedSrcSize: number } = {
      pledgedSrcSize: content.length,
      chunkSize: boundBytes,
      params: this.#params,
    };
    return zstdCompressSync(content, options);
  }
}

/** With `length >> 8`, more than ZSTD_compressBound of any content up to 2 MiB: with less room the library copies. */
const SMALL_BOUND_BYTES = 1 << 10;

function openZstdStream(params: Params): StreamInsides {
  return createZstdCompress({ params }) as unknown as StreamInsides;
}

/** Room before a frame for the size that a stream does not know when it begins. */
const SIZE_FIELD_BYTES = 4;
const MAGIC_BYTES = 4;
const HAS_CHECKSUM = 0x04;
/** Of a frame header's descriptor: four bytes of content size follow the window. */
const SIZE_IN_FOUR_BYTES = 0x80;

/** `bytes` begin with that room. RFC 8878, 3.1.1.1: magic, descriptor, window, size. */
function withContentSize(bytes: Uint8Array, contentBytes: number): Uint8Array {
  const frame = bytes.subarray(SIZE_FIELD_BYTES);
  // Anything but a window alone: it says itself what it holds, or is as good without.
  if (frame[MAGIC_BYTES] !== HAS_CHECKSUM) return frame;
  const headerBytes = MAGIC_BYTES + 2;
  bytes.copyWithin(0, SIZE_FIELD_BYTES, SIZE_FIELD_BYTES + headerBytes);
  bytes[MAGIC_BYTES] = HAS_CHECKSUM | SIZE_IN_FOUR_BYTES;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(headerBytes, contentBytes, true);
  return bytes;
}
