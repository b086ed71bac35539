/** Chance that can be repeated. Rule: one seed, one story. */

export interface Chance {
  /** In [0, 1). */
  next(): number;
  /** In [from, to). */
  between(from: number, to: number): number;
  /** A whole number in [0, below). */
  below(below: number): number;
  happens(probability: number): boolean;
  one<T>(items: readonly T[]): T;
}

/** SplitMix32. */
export function chanceOf(seed: number): Chance {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    between: (from, to) => from + next() * (to - from),
    below: (below) => Math.floor(next() * below),
    happens: (probability) => next() < probability,
    one: (items) => items[Math.floor(next() * items.length)]!,
  };
}
