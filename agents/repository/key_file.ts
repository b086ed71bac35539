/** A file below keys/: the master key, sealed with one password. Rule: wrong password and damage are told apart where they can be. */
import * as v from "valibot";
import type { Clock } from "../../protocol/base/clock.ts";
import { IntegrityError } from "../../protocol/base/errors.ts";
import { randomBytes } from "../../protocol/base/random_bytes.ts";
import type { Kernels } from "../kernels/mod.ts";
import { formatTime, instantOfMs, localZone } from "./go_time.ts";
import { areSane, deriveKey, type KdfParameters, SALT_BYTES } from "./kdf.ts";
import { type KeyMaterial, SealingKey } from "./sealing_key.ts";

export interface KeyOwner {
  username: string;
  hostname: string;
}

const FILE = v.object({
  created: v.optional(v.string(), ""),
  username: v.optional(v.string(), ""),
  hostname: v.optional(v.string(), ""),
  kdf: v.string(),
  N: v.number(),
  r: v.number(),
  p: v.number(),
  salt: v.string(),
  data: v.string(),
});

const MASTER = v.object({
  mac: v.object({ k: v.string(), r: v.string() }),
  encrypt: v.string(),
});

export interface KeyFile extends KeyOwner {
  /** As the file says. */
  created: string;
  kdf: KdfParameters;
  salt: Uint8Array;
  /** The sealed master key. */
  data: Uint8Array;
}

/** @throws {BackupError} `damaged` */
export function decodeKeyFile(bytes: Uint8Array, path: string): KeyFile {
  try {
    const file = v.parse(FILE, JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
    const { N, r, p, created, username, hostname } = file;
    if (file.kdf !== "scrypt" || !areSane({ N, r, p })) throw new RangeError("not our scrypt");
    const salt = Uint8Array.fromBase64(file.salt);
    if (salt.length !== SALT_BYTES) throw new RangeError("a salt of another length");
    const data = Uint8Array.fromBase64(file.data);
    return { created, username, hostname, kdf: { N, r, p }, salt, data };
  } catch (cause) {
    throw new IntegrityError(`${path} is not a repository's key`, { path, cause });
  }
}

/** The master key; undefined when the password is another one. */
export function openKeyFile(
  kernels: Kernels,
  file: KeyFile,
  password: string,
  path: string,
): KeyMaterial | undefined {
  const user = new SealingKey(kernels, deriveKey(password, file.salt, file.kdf));
  const plain = user.open(file.data);
  if (plain === undefined) return undefined;
  try {
    const { mac, encrypt } = v.parse(MASTER, JSON.parse(new TextDecoder().decode(plain)));
    const material = {
      encrypt: Uint8Array.fromBase64(encrypt),
      macK: Uint8Array.fromBase64(mac.k),
      macR: Uint8Array.fromBase64(mac.r),
    };
    new SealingKey(kernels, material);
    return material;
  } catch (cause) {
    throw new IntegrityError(`${path} holds no master key`, { path, cause });
  }
}

export interface NewKey extends KeyOwner {
  password: string;
  master: KeyMaterial;
  kdf: KdfParameters;
}

/** The bytes of a new key file. */
export function encodeKeyFile(kernels: Kernels, clock: Clock, key: NewKey): Uint8Array {
  const salt = randomBytes(SALT_BYTES);
  const { encrypt, macK, macR } = key.master;
  const master = {
    mac: { k: macK.toBase64(), r: macR.toBase64() },
    encrypt: encrypt.toBase64(),
  };
  const user = new SealingKey(kernels, deriveKey(key.password, salt, key.kdf));
  const data = user.seal(new TextEncoder().encode(JSON.stringify(master)));
  const { N, r, p } = key.kdf;
  const file = {
    created: formatTime(instantOfMs(clock.nowMs()), localZone),
    username: key.username,
    hostname: key.hostname,
    kdf: "scrypt",
    N,
    r,
    p,
    salt: salt.toBase64(),
    data: data.toBase64(),
  };
  return new TextEncoder().encode(JSON.stringify(file));
}

/** Keys drawn at random, r clamped as old readers want it. */
export function newMasterKey(): KeyMaterial {
  const macR = randomBytes(16);
  for (const i of [3, 7, 11, 15]) macR[i]! &= 0x0f;
  for (const i of [4, 8, 12]) macR[i]! &= 0xfc;
  return { encrypt: randomBytes(32), macK: randomBytes(16), macR };
}
