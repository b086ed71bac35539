/** Values of a URL's query and path. Rule: texts in, typed values out; what is no such value is refused with its name. */
import * as v from "valibot";

const digits = v.pipe(
  v.string(),
  v.regex(/^\d{1,15}$/, "Give a whole number"),
  v.transform(Number),
);

export function wholeNumber(min: number, max: number) {
  return v.pipe(digits, v.minValue(min), v.maxValue(max));
}

export const yesOrNo = v.pipe(
  v.picklist(["true", "false"], "Give true or false"),
  v.transform((text) => text === "true"),
);

export const idText = v.pipe(v.string(), v.minLength(1), v.maxLength(200));
export const pathText = v.pipe(v.string(), v.minLength(1), v.maxLength(4_096));
export const anyText = v.pipe(v.string(), v.maxLength(10_000));

export const PAGE_DEFAULT = 100;
/** A part of a long list. */
export const page = {
  offset: v.exactOptional(wholeNumber(0, 1e12)),
  limit: v.exactOptional(wholeNumber(1, 1_000)),
};

/** Members that are there, for `exactOptional` ones. */
export function given<T extends Record<string, unknown>>(
  some: T,
):
  & { [K in keyof T as undefined extends T[K] ? never : K]: T[K] }
  & {
    [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
  } {
  return Object.fromEntries(
    Object.entries(some).filter(([, value]) => value !== undefined),
  ) as never;
}
