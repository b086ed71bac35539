/**
 * How a role is served, from its options. Rule: what strangers could reach needs a token that somebody chose, TLS and
 * named roots; nothing is opened by leaving something out.
 */
import { BackupError } from "../base/errors.ts";
import type { PeerTls } from "../http/mesh_fetch.ts";
import { checkToken, meshTokenIn, readTokenFile } from "../http/mesh_token.ts";
import { isLoopback, type TlsFiles } from "../http/serve_app.ts";
import { readFailure } from "./read_failure.ts";
import { settingPath, type Settings } from "./settings.ts";
import { defaultStateDir, type Surroundings } from "./surroundings.ts";

/** The token itself; a variable, because a flag would stand in every list of processes. */
export const TOKEN_VARIABLE = "BACKUP_AGENT_TOKEN";

export interface ServingSettings {
  host: string;
  port: number;
  tls: TlsFiles | undefined;
  token: string;
  publicUrl: string | undefined;
  /** Names this agent is reached under, beside loopback's. */
  hosts: string[];
  stateDir: string;
  logDir: string;
}

type PathKey = "stateDir" | "logDir" | "tokenFile" | "tlsCert" | "tlsKey" | "tlsClientCa" | "tlsCa";

/** @throws {BackupError} `usage` or `config`. */
export function servingSettings(
  settings: Settings,
  at: Surroundings,
  { defaultPort, touchesNoFolders = false }: { defaultPort: number; touchesNoFolders?: boolean },
): ServingSettings {
  const host = settings.get("host").value;
  const stateDir = pathOf("stateDir", settings, at) ?? defaultStateDir(at);
  const chosen = chosenToken(settings, at);
  const tls = tlsFiles(settings, at);
  const publicUrl = settings.get("publicUrl").value;
  if (publicUrl !== undefined && !URL.canParse(publicUrl)) {
    throw usage(`${publicUrl} is not a URL`, "Such as https://nas.lan:8801");
  }
  if (!isLoopback(host)) {
    if (chosen === undefined) {
      throw usage(
        `${host} can be reached by others, and there is no token that you have chosen`,
        `Give all of the mesh one token, with --token-file FILE or ${TOKEN_VARIABLE}`,
      );
    }
    if (tls === undefined && !settings.get("insecure").value) {
      throw usage(
        `${host} can be reached by others, and without TLS they can read the token`,
        "Give --tls-cert and --tls-key, or --insecure where the network is safe",
      );
    }
    for (const key of ["root", "destRoot"] as const) {
      if (touchesNoFolders || settings.get(key).value.length > 0) continue;
      const flag = key === "root" ? "--root" : "--dest-root";
      throw usage(
        `${host} can be reached by others, and nothing says which folders they may use`,
        `Name them with ${flag} DIR; ${flag} / if it is everything`,
      );
    }
  }
  return {
    host,
    port: settings.get("port").value ?? defaultPort,
    tls,
    token: chosen ?? meshTokenIn(stateDir),
    publicUrl,
    hosts: [host, ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname])],
    stateDir,
    logDir: pathOf("logDir", settings, at) ?? `${stateDir}/logs`,
  };
}

/** The token somebody gave on purpose. @throws {BackupError} `config`. */
export function chosenToken(settings: Settings, at: Surroundings): string | undefined {
  const path = pathOf("tokenFile", settings, at);
  if (path !== undefined) return readTokenFile(path);
  const text = at.env(TOKEN_VARIABLE);
  return text === undefined ? undefined : checkToken(text, TOKEN_VARIABLE);
}

/** The absolute path of an option's value. */
export function pathOf(key: PathKey, settings: Settings, at: Surroundings): string | undefined {
  const setting = settings.get(key);
  return setting.value === undefined ? undefined : settingPath(setting.value, setting, at);
}

function tlsFiles(settings: Settings, at: Surroundings): TlsFiles | undefined {
  const own = ownCertificate(settings, at);
  const clientCa = readPem("tlsClientCa", settings, at);
  if (own === undefined && clientCa !== undefined) throw halfTls();
  return own && { ...own, clientCa };
}

/** How TLS to others is done. @throws {BackupError} `usage` or `config`. */
export function peerTls(settings: Settings, at: Surroundings): PeerTls {
  return { ca: readPem("tlsCa", settings, at), own: ownCertificate(settings, at) };
}

function ownCertificate(settings: Settings, at: Surroundings): PeerTls["own"] {
  const cert = readPem("tlsCert", settings, at);
  const key = readPem("tlsKey", settings, at);
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw halfTls();
  return { cert, key };
}

function halfTls(): BackupError {
  return usage("TLS needs both a certificate and its key", "Give --tls-cert and --tls-key");
}

/** @throws {BackupError} `config` when the file cannot be read. */
function readPem(key: PathKey, settings: Settings, at: Surroundings): string | undefined {
  const path = pathOf(key, settings, at);
  if (path === undefined) return undefined;
  try {
    return at.readTextFile(path);
  } catch (error) {
    throw new BackupError("config", `Cannot read ${path}: ${readFailure(error)}`, {
      path,
      cause: error,
    });
  }
}

function usage(message: string, hint: string): BackupError {
  return new BackupError("usage", message, { hint });
}
