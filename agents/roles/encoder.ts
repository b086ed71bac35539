/** Reads, cuts and encodes files for a repository. */
import {
  type EncoderThreadStart,
  openEncoderThread,
} from "../strategies/snapshot/encoder_thread.ts";
import type { Role } from "./role.ts";

export const role: Role = (posix, argument, cells) =>
  openEncoderThread(posix, argument as EncoderThreadStart, cells);
