/** Which addresses of a network are whose. Rule: what no registry calls public is private. */
import { BlockList, isIP } from "node:net";

/** IANA's special-purpose registries, and what only carries an IPv4 address inside. */
const PRIVATE_RANGES = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "::/96",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "3fff::/20",
  "5f00::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
];

export const LOOPBACK_RANGES = ["127.0.0.0/8", "::1/128"];

/** A set of addresses. Also an IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is found. */
export interface AddressSet {
  has(address: string): boolean;
}

/** Of addresses and ranges such as `10.0.0.0/8`. @throws {TypeError} for what is neither. */
export function addressSet(ranges: readonly string[]): AddressSet {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", bits] = range.split("/");
    const family = familyOf(address);
    if (family === undefined || (bits !== undefined && !/^\d{1,3}$/.test(bits))) {
      throw new TypeError(`Not an address or range of addresses: ${range}`);
    }
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return {
    has(address) {
      const family = familyOf(address);
      return family !== undefined && list.check(address, family);
    },
  };
}

const PRIVATE = addressSet(PRIVATE_RANGES);

/** Whether an address can belong to anybody on the Internet. */
export function isPublicAddress(address: string): boolean {
  return familyOf(address) !== undefined && !PRIVATE.has(address);
}

function familyOf(address: string): "ipv4" | "ipv6" | undefined {
  // A zone (fe80::1%eth0) names an interface of this machine.
  switch (isIP(address)) {
    case 4:
      return "ipv4";
    case 6:
      return address.includes("%") ? undefined : "ipv6";
    default:
      return undefined;
  }
}
