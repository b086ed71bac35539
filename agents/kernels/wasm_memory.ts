/** Where things lie in the memory of the compiled kernels. Rule: the numbers of assembly/memory.ts; a test compares them. */

export const MEMORY_LAYOUT = {
  MOD_TABLE: 0,
  OUT_TABLE: 2048,
  KEY: 4096,
  TAG: 4128,
  POWER_SAME: 4160,
  POWER_LAST: 4304,
  DATA: 8192,
} as const;

export const MEMORY_BYTES = 128 << 10;
/** What fits at `DATA`, in whole groups of 64 bytes, with room to fill a last block up. */
export const DATA_BYTES_MAX = MEMORY_BYTES - MEMORY_LAYOUT.DATA - 64;
