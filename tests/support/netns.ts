/**
 * Hosts on one machine: network namespaces of a test's own, joined by a cable. Rule: nothing outside them is touched, and
 * they are gone when the test ends. Linux and root only, with iproute2.
 */
import { runProgram } from "./run_program.ts";
import { findProgram } from "./tools.ts";

/** For `needs`. */
export const NETNS_TOOLS = ["linux", "root", "ip", "unshare", "mount"] as const;

export interface Netns extends AsyncDisposable {
  readonly name: string;
  /** Its address on the cable; undefined without one. */
  readonly address: string | undefined;
  /** What starts a program in there. `binds`: files and folders it sees in the place of others. */
  before(binds?: readonly { what: string; at: string }[]): string[];
}

let made = 0;

/** A namespace with nothing but its own loopback, so that every port is free. */
export async function createNetns(address?: string): Promise<Netns> {
  const name = `ba-test-${Deno.pid}-${++made}`;
  await ip("netns", "add", name);
  await ip("-n", name, "link", "set", "lo", "up");
  return {
    name,
    address,
    before(binds = []) {
      const mounts = binds.map(({ what, at }) => `mount --bind ${quoted(what)} ${quoted(at)} && `);
      return [
        ...[program("ip"), "netns", "exec", name],
        ...[program("unshare"), "--mount", "--propagation", "private", "/bin/sh", "-c"],
        ...[`${mounts.join("")}exec "$@"`, "sh"],
      ];
    },
    async [Symbol.asyncDispose]() {
      await ip("netns", "delete", name);
    },
  };
}

/** Two of them with a cable between them; the addresses mean nothing outside. */
export async function createTwoHosts(
  [first, second]: readonly [string, string] = ["10.77.0.1", "10.77.0.2"],
): Promise<AsyncDisposable & { hosts: [Netns, Netns] }> {
  const one = await createNetns(first);
  const two = await createNetns(second);
  const cable = ["type", "veth", "peer", "name", "eth0", "netns", two.name];
  await ip("-n", one.name, "link", "add", "eth0", ...cable);
  for (const { name, address } of [one, two]) {
    await ip("-n", name, "address", "add", `${address}/24`, "dev", "eth0");
    await ip("-n", name, "link", "set", "eth0", "up");
  }
  return {
    hosts: [one, two],
    async [Symbol.asyncDispose]() {
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    },
  };
}

function program(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}

async function ip(...args: string[]): Promise<void> {
  const { code, err } = await runProgram(program("ip"), args);
  if (code !== 0) throw new Error(`ip ${args.join(" ")}: ${err}`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
