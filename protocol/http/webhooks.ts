/**
 * Calling back over HTTP. Rule: a caller must not make this agent reach what the caller could not: only hosts somebody
 * allowed are called, the address that was checked is the one connected to, and nothing follows a redirect.
 */
import { lookup as systemLookup } from "node:dns/promises";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import type { Webhooks } from "../a2a/webhooks.ts";
import { addressSet, isPublicAddress, LOOPBACK_RANGES } from "./address_rules.ts";

/** All addresses of a name. */
export type Lookup = (name: string) => Promise<{ address: string; family: number }[]>;

/**
 * `allowed`: names (`hooks.example.org`), addresses and ranges (`192.168.7.0/24`), `loopback`, or `*` for every public
 * host. A name is called only at public addresses and at those that are allowed themselves.
 * @throws {TypeError} for a range that is none.
 */
export function createWebhooks(
  allowed: readonly string[],
  lookup: Lookup = (name) => systemLookup(name, { all: true }),
): Webhooks {
  const words = allowed.map((word) => word.trim().toLowerCase());
  const isAnyAllowed = words.includes("*");
  const isLoopbackAllowed = words.includes("loopback");
  const addresses = addressSet([
    ...words.filter((word) => word.includes("/") || isIP(word) !== 0),
    ...(isLoopbackAllowed ? LOOPBACK_RANGES : []),
  ]);

  function isNameAllowed(name: string): boolean {
    if (isAnyAllowed || words.includes(name)) return true;
    return isLoopbackAllowed && name === "localhost";
  }

  function isAddressAllowed(address: string, isNamed: boolean): boolean {
    return addresses.has(address) || ((isNamed || isAnyAllowed) && isPublicAddress(address));
  }

  function refusal(text: string): string | undefined {
    const url = URL.parse(text);
    if (url === null) return "Not a URL";
    if (url.protocol !== "https:" && url.protocol !== "http:") {
      return "Expected an http or https URL";
    }
    if (url.username !== "" || url.password !== "") return "A URL must not carry credentials";
    const host = hostOf(url);
    const isAllowed = isIP(host) === 0 ? isNameAllowed(host) : isAddressAllowed(host, false);
    return isAllowed ? undefined : "This agent does not call that host";
  }

  async function allowedAddresses(name: string): Promise<{ address: string; family: number }[]> {
    const found = (await lookup(name)).filter(({ address }) => isAddressAllowed(address, true));
    if (found.length === 0) throw new Error(`${name} has no address that may be called`);
    return found;
  }

  return {
    refusal,
    async post(text, headers, body, signal) {
      const why = refusal(text);
      if (why !== undefined) throw new Error(why);
      const url = new URL(text);
      const host = hostOf(url);
      const targets = isIP(host) === 0
        ? await allowedAddresses(host)
        : [{ address: host, family: isIP(host) }];
      signal.throwIfAborted();
      return await post(url, targets, headers, body, signal);
    },
  };
}

/** The host without the brackets of IPv6; numbers written in odd ways are plain by now. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "").toLowerCase();
}

function post(
  url: URL,
  targets: readonly { address: string; family: number }[],
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
): Promise<number> {
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  const bytes = new TextEncoder().encode(body);
  return new Promise((resolve, reject) => {
    const request = send({
      hostname: hostOf(url),
      port: url.port === "" ? undefined : Number(url.port),
      path: url.pathname + url.search,
      method: "POST",
      agent: false,
      headers: { ...headers, "content-length": String(bytes.byteLength) },
      // No second look-up that could be answered otherwise than the one that was checked.
      lookup: (_, { all }, done) => {
        const [first] = targets;
        if (all || first === undefined) done(null, [...targets]);
        else done(null, first.address, first.family);
      },
    }, (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    const onAbort = () => {
      reject(signal.reason);
      request.destroy();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    request.on("error", reject);
    request.on("close", () => signal.removeEventListener("abort", onAbort));
    request.end(bytes);
  });
}
