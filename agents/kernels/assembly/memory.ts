/** Who uses which bytes of the kernels' memory (128 KiB). Rule: the host knows these numbers, see ../wasm_memory.ts. */

/** 256 × u64: what the top eight bits of a fingerprint become when they are reduced. */
export const MOD_TABLE: usize = 0;
/** 256 × u64: what a byte that leaves the window takes with it. */
export const OUT_TABLE: usize = 2048;
/** 32 bytes: r, then s. */
export const KEY: usize = 4096;
/** 16 bytes. */
export const TAG: usize = 4128;
/** 9 × 16 bytes: r⁴ in five limbs, then limbs 1 to 4 of it times 5, in all four lanes. */
export const POWER_SAME: usize = 4160;
/** The same with r⁴, r³, r², r in the four lanes. */
export const POWER_LAST: usize = 4304;
export const DATA: usize = 8192;
