/** Reading a body with a limit. Rule: no peer decides how much memory its message takes. */

/** The body is longer than the reader allows. */
export class BodyTooLargeError extends Error {
  override readonly name: string = "BodyTooLargeError";
}

/**
 * The whole body as text; undecodable bytes become U+FFFD.
 * @throws {BodyTooLargeError} when it is longer than `bytesMax`; the rest is not read.
 */
export async function readLimitedText(
  body: ReadableStream<Uint8Array> | null,
  bytesMax: number,
): Promise<string> {
  if (body === null) return "";
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const pieces: string[] = [];
  let bytes = 0;
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    bytes += step.value.byteLength;
    if (bytes > bytesMax) {
      await reader.cancel().catch(() => {});
      throw new BodyTooLargeError(`Longer than ${bytesMax} bytes`);
    }
    pieces.push(decoder.decode(step.value, { stream: true }));
  }
  pieces.push(decoder.decode());
  return pieces.join("");
}
