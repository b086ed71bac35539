/**
 * zstd by the system's library, whose contexts stay: a small blob takes a fifth of the time it takes within the runtime.
 * Rule: what it cannot do in one step is left to the twin, and nothing depends on its being there.
 */
import type { Zstd } from "./kernels.ts";
import { portableZstd } from "./portable_zstd.ts";

const SYMBOLS = {
  ZSTD_versionNumber: { parameters: [], result: "u32" },
  ZSTD_createCCtx: { parameters: [], result: "pointer" },
  ZSTD_createDCtx: { parameters: [], result: "pointer" },
  ZSTD_compressBound: { parameters: ["usize"], result: "usize" },
  ZSTD_isError: { parameters: ["usize"], result: "u32" },
  ZSTD_compressCCtx: {
    parameters: ["pointer", "buffer", "usize", "buffer", "usize", "i32"],
    result: "usize",
  },
  ZSTD_decompressDCtx: {
    parameters: ["pointer", "buffer", "usize", "buffer", "usize"],
    result: "usize",
  },
  ZSTD_getFrameContentSize: { parameters: ["buffer", "usize"], result: "u64" },
  ZSTD_findFrameCompressedSize: { parameters: ["buffer", "usize"], result: "usize" },
} as const;

/** 1.4.0, since when the calls are as they are. */
const VERSION_MIN = 10_400;
const ROOM_FIRST_BYTES = 1 << 20;
/** Room for larger blobs than most is given back after each. */
const ROOM_KEPT_BYTES = 16 << 20;
/** What a frame says that does not say how much is in it. */
const SIZE_UNKNOWN = 2n ** 64n - 1n;

/** One per thread. @throws where it is missing, too old, or wrong */
export function openLibzstd(): Zstd {
  const c = Deno.dlopen("libzstd.so.1", SYMBOLS).symbols;
  if (c.ZSTD_versionNumber() < VERSION_MIN) throw new TypeError("libzstd is too old");
  const compressor = c.ZSTD_createCCtx();
  const decompressor = c.ZSTD_createDCtx();
  if (compressor === null || decompressor === null) throw new TypeError("libzstd failed");
  let room = new Uint8Array(ROOM_FIRST_BYTES);

  const zstd: Zstd = {
    compress(plain, level) {
      const bytes = BigInt(plain.length);
      const bound = Number(c.ZSTD_compressBound(bytes));
      let into = room;
      if (bound > into.length) {
        into = new Uint8Array(bound);
        if (bound <= ROOM_KEPT_BYTES) room = into;
      }
      const got = c.ZSTD_compressCCtx(
        compressor,
        into,
        BigInt(into.length),
        plain as BufferSource,
        bytes,
        level,
      );
      return c.ZSTD_isError(got) !== 0
        ? portableZstd.compress(plain, level)
        : into.subarray(0, Number(got));
    },

    decompress(packed, maxBytes, room = (bytes) => new Uint8Array(bytes)) {
      const from = packed as BufferSource;
      const bytes = BigInt(packed.length);
      const told = c.ZSTD_getFrameContentSize(from, bytes);
      // Where it is not known all that is allowed is tried. One number more says that this is no frame.
      const isKnown = told !== SIZE_UNKNOWN;
      const size = isKnown || maxBytes > ROOM_KEPT_BYTES ? Number(told) : maxBytes;
      const isOneFrame = size <= maxBytes &&
        c.ZSTD_findFrameCompressedSize(from, bytes) === bytes;
      if (!isOneFrame) return portableZstd.decompress(packed, maxBytes);
      const into = room(size).subarray(0, size);
      const got = c.ZSTD_decompressDCtx(
        decompressor,
        into as BufferSource,
        BigInt(size),
        from,
        bytes,
      );
      const isWhole = isKnown ? got === BigInt(size) : c.ZSTD_isError(got) === 0;
      return isWhole ? into.subarray(0, Number(got)) : portableZstd.decompress(packed, maxBytes);
    },
  };
  requireWhole(zstd);
  return zstd;
}

/** @throws {TypeError} unless each side reads what the other wrote */
function requireWhole(zstd: Zstd): void {
  const plain = new TextEncoder().encode("zstd, as the format has it; ".repeat(400));
  for (const [from, to] of [[zstd, portableZstd], [portableZstd, zstd]] as const) {
    const read = to.decompress(from.compress(plain, 3).slice(), plain.length);
    if (read?.length !== plain.length || read.some((byte, i) => byte !== plain[i])) {
      throw new TypeError("libzstd does not work as it should");
    }
  }
}
