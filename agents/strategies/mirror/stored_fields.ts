/** The words of a manifest line for a file that is stored encoded. Rule: a name that is not UTF-8 keeps its bytes. */
import { Buffer } from "node:buffer";
import { latin1OfUtf8, utf8OfLatin1 } from "../../source/entry_table.ts";

/** How one file is stored where that is not as it is. */
export interface StoredForm {
  codec: string;
  /** One byte a character. */
  name: string;
  sizeBytes: number;
  /** In hex. */
  sha256: string;
  /** Of an encrypted file, see `recipientsId`. */
  recipientsId?: string | undefined;
}

/** The fields of a line, each with a comma before it. */
export function storedFields(form: StoredForm): string {
  const { codec, name, sizeBytes, sha256, recipientsId } = form;
  const text = utf8OfLatin1(name);
  const base64 = latin1OfUtf8(text) === name
    ? ""
    : `,"storedAsBase64":"${Buffer.from(name, "latin1").toString("base64")}"`;
  return `,"codec":"${codec}","storedAs":${JSON.stringify(text)}${base64}` +
    `,"storedSizeBytes":${sizeBytes},"storedSha256":"${sha256}"` +
    (recipientsId === undefined ? "" : `,"storedFor":"${recipientsId}"`);
}
