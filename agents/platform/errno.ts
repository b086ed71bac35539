/** Linux error numbers the engine tells apart, and what they mean to a person. */
import { BackupError, type ErrorCode, type RetryHint } from "../../protocol/base/errors.ts";

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const EBADF = 9;
export const EAGAIN = 11;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const EFBIG = 27;
export const ENOSPC = 28;
export const EROFS = 30;
export const EMLINK = 31;
export const ERANGE = 34;
export const ENAMETOOLONG = 36;
export const ENOLCK = 37;
export const ENOSYS = 38;
export const ENOTEMPTY = 39;
export const ELOOP = 40;
export const ENODATA = 61;
export const EILSEQ = 84;
export const EOPNOTSUPP = 95;
export const ENOTCONN = 107;
export const ETIMEDOUT = 110;
export const EHOSTDOWN = 112;
export const ESTALE = 116;
export const EDQUOT = 122;

interface Meaning {
  name: string;
  text: string;
  code: ErrorCode;
  retry: RetryHint;
}

const MEANINGS: Readonly<Record<number, Meaning>> = {
  [EPERM]: { name: "EPERM", text: "Operation not permitted", code: "permission", retry: "no" },
  [ENOENT]: { name: "ENOENT", text: "No such file or directory", code: "not_found", retry: "no" },
  [EINTR]: { name: "EINTR", text: "Interrupted", code: "io", retry: "later" },
  [EIO]: { name: "EIO", text: "The disk reported an error", code: "io", retry: "later" },
  [ENXIO]: { name: "ENXIO", text: "No such device", code: "io", retry: "no" },
  [E2BIG]: { name: "E2BIG", text: "Too much", code: "unsupported", retry: "no" },
  [EBADF]: { name: "EBADF", text: "The file is not open", code: "io", retry: "no" },
  [EAGAIN]: { name: "EAGAIN", text: "Temporarily unavailable", code: "io", retry: "later" },
  [EACCES]: { name: "EACCES", text: "Permission denied", code: "permission", retry: "no" },
  [EBUSY]: { name: "EBUSY", text: "Busy", code: "io", retry: "later" },
  [EEXIST]: { name: "EEXIST", text: "Already exists", code: "io", retry: "no" },
  [EXDEV]: { name: "EXDEV", text: "On another file system", code: "io", retry: "no" },
  [ENODEV]: { name: "ENODEV", text: "The device is gone", code: "destination_lost", retry: "no" },
  [ENOTDIR]: { name: "ENOTDIR", text: "Not a directory", code: "not_a_directory", retry: "no" },
  [EISDIR]: { name: "EISDIR", text: "Is a directory", code: "io", retry: "no" },
  [EINVAL]: { name: "EINVAL", text: "Not valid here", code: "unsupported", retry: "no" },
  [ENFILE]: { name: "ENFILE", text: "Too many open files", code: "io", retry: "later" },
  [EMFILE]: { name: "EMFILE", text: "Too many open files", code: "io", retry: "later" },
  [EFBIG]: {
    name: "EFBIG",
    text: "File too large for this file system",
    code: "unsupported",
    retry: "no",
  },
  [ENOSPC]: { name: "ENOSPC", text: "No space left", code: "no_space", retry: "elsewhere" },
  [EDQUOT]: { name: "EDQUOT", text: "Quota exceeded", code: "no_space", retry: "elsewhere" },
  [EMLINK]: { name: "EMLINK", text: "Too many hard links", code: "unsupported", retry: "no" },
  [EROFS]: { name: "EROFS", text: "Read-only file system", code: "read_only", retry: "elsewhere" },
  [ERANGE]: { name: "ERANGE", text: "Out of range", code: "unsupported", retry: "no" },
  [ENAMETOOLONG]: {
    name: "ENAMETOOLONG",
    text: "Name too long",
    code: "name_too_long",
    retry: "no",
  },
  [ENOSYS]: { name: "ENOSYS", text: "Not supported", code: "unsupported", retry: "no" },
  [ENOTEMPTY]: { name: "ENOTEMPTY", text: "Directory not empty", code: "io", retry: "no" },
  [ELOOP]: { name: "ELOOP", text: "A symbolic link is in the way", code: "io", retry: "no" },
  [EILSEQ]: { name: "EILSEQ", text: "Name not allowed here", code: "unsupported", retry: "no" },
  [EOPNOTSUPP]: { name: "EOPNOTSUPP", text: "Not supported", code: "unsupported", retry: "no" },
  [ENOTCONN]: {
    name: "ENOTCONN",
    text: "The connection is gone",
    code: "destination_lost",
    retry: "no",
  },
  [ETIMEDOUT]: { name: "ETIMEDOUT", text: "Timed out", code: "io", retry: "later" },
  [EHOSTDOWN]: { name: "EHOSTDOWN", text: "Host is down", code: "destination_lost", retry: "no" },
  [ESTALE]: { name: "ESTALE", text: "Stale file handle", code: "destination_lost", retry: "no" },
};

const NUMBER_BY_NAME: ReadonlyMap<string, number> = new Map([
  ...Object.entries(MEANINGS).map(([number, { name }]) => [name, Number(number)] as const),
  ["ENOTSUP", EOPNOTSUPP],
  ["EWOULDBLOCK", EAGAIN],
]);

/** The error number for a node-style code such as "ENOENT"; EIO when it is not one of ours. */
export function errnoOf(name: string): number {
  return NUMBER_BY_NAME.get(name) ?? EIO;
}

export function errnoCode(errno: number): ErrorCode {
  return MEANINGS[errno]?.code ?? "io";
}

export function errnoText(errno: number): string {
  const meaning = MEANINGS[errno];
  return meaning === undefined ? `Error ${errno}` : `${meaning.text} (${meaning.name})`;
}

/** A failed call as people read it: what was tried, on which path, what the system said. */
export function posixError(result: number, action: string, path: string): BackupError {
  const errno = -result;
  const meaning = MEANINGS[errno];
  return new BackupError(meaning?.code ?? "io", `Cannot ${action} ${path}: ${errnoText(errno)}`, {
    path,
    retry: meaning?.retry ?? "later",
  });
}
