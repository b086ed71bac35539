/** zstd as format version 2 uses it. */

/** restic's words and the levels they stand for. `off` leaves data as it is, and still compresses trees. */
export const COMPRESSION_LEVELS = { off: 0, fastest: 1, auto: 3, better: 7, max: 15 } as const;
export type Compression = keyof typeof COMPRESSION_LEVELS;
