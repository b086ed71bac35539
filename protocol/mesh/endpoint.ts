/** Addresses of agents as people write them. */
import { BackupError } from "../base/errors.ts";

/** `host:port` or a URL, as the JSON-RPC endpoint: its `/rpc` unless it has a path. @throws {BackupError} `usage` */
export function agentEndpoint(text: string): string {
  const withScheme = /^https?:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.parse(withScheme);
  if (url === null || url.username !== "" || url.password !== "") {
    throw new BackupError("usage", `${text} is not the address of an agent`, {
      hint: "Such as http://127.0.0.1:8800",
    });
  }
  if (url.pathname === "/") url.pathname = "/rpc";
  return url.href;
}
