/**
 * How content becomes stored bytes, and back. Rule: stored files are what stock `zstd` and `age` make, and a decoder
 * hands out nothing that is more than the content may be.
 */
import { BackupError } from "../../../../protocol/base/errors.ts";
import { AgeDecoder, AgeEncoder } from "./age_file.ts";
import type { Identity, Recipient } from "./age_keys.ts";
import { unwrapWithIdentities, wrapForRecipient } from "./age_stanzas.ts";
import { type ByteTransform, chained } from "./byte_transform.ts";
import { ContentLimit, type ContentSize, limited } from "./content_limit.ts";
import { ZstdDecoder } from "./zstd_decoder.ts";
import { ZstdEncoder } from "./zstd_encoder.ts";

/** As manifests name them; each is also what a stored name ends in, after a dot. */
export const CODECS = ["zst", "age", "zst.age"] as const;
export type Codec = (typeof CODECS)[number];

export function isCodec(text: string): text is Codec {
  return (CODECS as readonly string[]).includes(text);
}

export function encrypts(codec: Codec): boolean {
  return codec !== "zst";
}

export interface EncoderOptions {
  codec: Codec;
  /** Everyone who may read the file; needed where the codec encrypts. */
  recipients?: readonly Recipient[];
}

export type DecoderOptions = ContentSize & {
  codec: Codec;
  /** Tried one after the other. */
  identities?: readonly Identity[];
};

/** For one file. @throws {BackupError} `usage` when there is nobody to encrypt to */
export function createEncoder({ codec, recipients = [] }: EncoderOptions): ByteTransform {
  if (!encrypts(codec)) return new ZstdEncoder();
  if (recipients.length === 0) {
    throw new BackupError("usage", "There is nobody to encrypt to", {
      hint: "Give a recipient's public key or a passphrase",
    });
  }
  const age = new AgeEncoder((fileKey) =>
    recipients.map((recipient) => wrapForRecipient(fileKey, recipient))
  );
  return codec === "age" ? age : chained(new ZstdEncoder(), age);
}

/**
 * For one file. What it yields throws `damaged` for stored bytes that are cut off, altered, or become more than they may,
 * `wrong_key` when no identity opens them, `unsupported` for what only other programs write.
 */
export function createDecoder(options: DecoderOptions): ByteTransform {
  const { codec, identities = [] } = options;
  const limit = new ContentLimit(options);
  return limited(decoderOf(codec, identities, limit), limit);
}

function decoderOf(
  codec: Codec,
  identities: readonly Identity[],
  limit: ContentLimit,
): ByteTransform {
  if (!encrypts(codec)) return new ZstdDecoder(limit);
  const age = new AgeDecoder(unwrapWithIdentities(identities));
  return codec === "age" ? age : chained(age, new ZstdDecoder(limit));
}
