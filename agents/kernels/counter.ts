/** Counters of AES's counter mode. Rule: 128 bits, big-endian, and they wrap. */

export function addToCounter(counter: Uint8Array, blocks: number): void {
  let carry = blocks;
  for (let i = counter.length - 1; i >= 0 && carry > 0; i--) {
    carry += counter[i]!;
    counter[i] = carry % 256;
    carry = Math.floor(carry / 256);
  }
}
