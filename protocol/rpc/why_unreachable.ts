/**
 * Why nobody has answered, from what the platform says. Rule: Deno gives a text and no code, so this is the one place that
 * reads it; a text that is not known is told as it is.
 */
import { BackupError } from "../base/errors.ts";

/**
 * `nobody`: nothing listens, or no such host. `certificate`: the other side is not whom it should be, or wants to know who
 * we are. `scheme`: one side speaks TLS and the other does not. `broken`: somebody was there and went away.
 */
export type UnreachableKind = "nobody" | "certificate" | "scheme" | "broken";

export interface WhyUnreachable {
  kind: UnreachableKind;
  /** Half a sentence. */
  why: string;
  hint?: string;
}

const CA_HINT = "Name the file of the authority that signed it with --tls-ca";

const KNOWN: readonly [RegExp, UnreachableKind, why: string, hint?: string][] = [
  [/UnknownIssuer/, "certificate", "its certificate is signed by nobody who is trusted", CA_HINT],
  [/not valid for name|NotValidForName/, "certificate", "its certificate is for another name"],
  [/peer certificate: Expired/, "certificate", "its certificate has expired"],
  [
    /fatal alert: (?:CertificateRequired|CertificateUnknown|BadCertificate|UnknownCA)/i,
    "certificate",
    "it does not accept the certificate it was shown",
    "Show one with --tls-cert and --tls-key",
  ],
  [/peer certificate/, "certificate", "its certificate is not accepted", CA_HINT],
  [/corrupt message/, "scheme", "it does not speak TLS", "Use http:// for it"],
  [/invalid HTTP version/, "scheme", "it does not speak plain HTTP", "Use https:// for it"],
  [/Connection refused/i, "nobody", "nothing listens there"],
  [/dns error/, "nobody", "no host of that name is known"],
  [/No route to host|Network is unreachable/i, "nobody", "there is no way to that host"],
  [/Connection timed out|deadline has elapsed/i, "nobody", "nothing answers there"],
  [/closed before|reset by peer|Broken pipe/i, "broken", "it closed the connection"],
];

export function whyUnreachable(thrown: unknown): WhyUnreachable {
  const texts: string[] = [];
  for (let at = thrown; at instanceof Error && texts.length < 5; at = at.cause) {
    // Said by ourselves on the way, in words for people.
    if (at instanceof BackupError && at.code !== "io") {
      return {
        kind: "certificate",
        why: at.message,
        ...(at.hint === undefined ? {} : { hint: at.hint }),
      };
    }
    texts.push(at.message);
  }
  const text = texts.join(": ");
  for (const [pattern, kind, why, hint] of KNOWN) {
    if (!pattern.test(text)) continue;
    const detail = /certificate not valid for name[^:]*/.exec(text)?.[0];
    return {
      kind,
      why: detail === undefined ? why : `${why} (${detail})`,
      ...(hint === undefined ? {} : { hint }),
    };
  }
  // The last one is the nearest to the fault.
  return { kind: "broken", why: texts.at(-1) ?? String(thrown) };
}
