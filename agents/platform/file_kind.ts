/** File kinds as the type bits of `st_mode` have them; the same on every POSIX system. */
import {
  KIND_BLOCK_DEVICE,
  KIND_CHARACTER_DEVICE,
  KIND_DIRECTORY,
  KIND_FIFO,
  KIND_FILE,
  KIND_SOCKET,
  KIND_SYMLINK,
} from "./posix.ts";

const KIND_OF_TYPE_BITS: Readonly<Record<number, number>> = {
  0o01: KIND_FIFO,
  0o02: KIND_CHARACTER_DEVICE,
  0o04: KIND_DIRECTORY,
  0o06: KIND_BLOCK_DEVICE,
  0o10: KIND_FILE,
  0o12: KIND_SYMLINK,
  0o14: KIND_SOCKET,
};

/** The kind of a whole `st_mode`; what has no known type bits (never seen on Linux) counts as a file. */
export function kindOfMode(mode: number): number {
  return KIND_OF_TYPE_BITS[mode >> 12] ?? KIND_FILE;
}
