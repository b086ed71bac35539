/**
 * The holes of an open file, so that reading it costs nothing where there is nothing. Rule: whoever cannot tell says that
 * all is data; offsets are asked for in rising order.
 */
import { ENXIO } from "./errno.ts";
import type { Posix } from "./posix.ts";

export class Holes {
  readonly #posix: Posix;
  readonly #fd: number;
  readonly #sizeBytes: number;
  #holeEnd = 0;
  #dataEnd = 0;

  constructor(posix: Posix, fd: number, sizeBytes: number) {
    this.#posix = posix;
    this.#fd = fd;
    this.#sizeBytes = sizeBytes;
  }

  /** How many bytes from `offset` on are in a hole, and read as zeros; 0 where there is data. */
  zerosAt(offset: number): number {
    if (offset >= this.#holeEnd && offset >= this.#dataEnd) this.#look(offset);
    return Math.max(0, this.#holeEnd - offset);
  }

  #look(offset: number): void {
    const data = this.#posix.seekData(this.#fd, offset);
    if (data === -ENXIO) this.#holeEnd = this.#sizeBytes;
    else if (data > offset) this.#holeEnd = Math.min(data, this.#sizeBytes);
    else if (data < 0) this.#dataEnd = Infinity;
    else {
      const hole = this.#posix.seekHole(this.#fd, offset);
      this.#dataEnd = hole > offset ? hole : Infinity;
    }
  }
}
