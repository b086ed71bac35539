/** What is to be done, or was done, with each line of a manifest: a byte a line, shared by all threads of a restore. */

/** Not asked for, or nothing that can be restored. */
export const LINE_IDLE = 0;
/** A file whose content is to be read from a destination. */
export const LINE_FILE = 1;
/** A further name of a file that is restored under its first. */
export const LINE_LINK = 2;
/** A symbolic link, FIFO or device node. */
export const LINE_OTHER = 3;
/** A folder that is to stand there with its own metadata. */
export const LINE_FOLDER = 4;
/** A folder that only leads to what was asked for: it gets its metadata when it has to be made. */
export const LINE_PARENT = 5;

export const LINE_RESTORED = 16;
/** It stands there as it is recorded. */
export const LINE_THERE = 17;
/** Something else stands there, and must not be replaced. */
export const LINE_KEPT = 18;
export const LINE_FAILED = 19;

/** The copy was no good at this destination; the next one may have a better. */
export const LINE_DAMAGED = 32;
export const LINE_MISSING = 33;
export const LINE_UNREADABLE = 34;
/** It is encrypted, and no key that was given opens it. */
export const LINE_LOCKED = 35;

/** A file that the destinations before could not give. */
export function needsAnother(status: number): boolean {
  return status >= LINE_DAMAGED;
}

/** Why, as the end of "the copy at DEST …". */
export function whyAnother(status: number): string {
  if (status === LINE_MISSING) return "is missing";
  if (status === LINE_LOCKED) return "is encrypted and no key given opens it";
  return status === LINE_UNREADABLE ? "cannot be read" : "is damaged";
}
