/**
 * What a person can do from the page, as requests that can be sent or shown. Rule: what is shown as a command is the very
 * request that the button sends.
 */
import { type ApiClient, createApiClient } from "../api_client.ts";

/** One wish. */
export interface Action {
  /** On its button. */
  title: string;
  send(api: ApiClient): Promise<Response>;
  /** The same from a terminal, where there is such a command. */
  words?: readonly string[];
}

export interface SentRequest {
  method: string;
  url: string;
  body: string | null;
}

export type Outcome<T> = { ok: true; value: T } | { ok: false; message: string };

/** Sends it. An answer that is an error is told in the server's words. */
export async function answerOf<T>(request: Promise<Response>): Promise<Outcome<T>> {
  try {
    const response = await request;
    const text = await response.text();
    const json: unknown = text === "" ? null : JSON.parse(text);
    if (response.ok) return { ok: true, value: json as T };
    return { ok: false, message: problemText(json) ?? `The server answered ${response.status}` };
  } catch {
    return { ok: false, message: "The dashboard cannot be reached" };
  }
}

/** Asks for something that is shown; the type is the operation's own. */
export async function ask<T>(
  request: Promise<{ json(): Promise<T> } & Pick<Response, "ok" | "status" | "text">>,
): Promise<Outcome<T>> {
  return await answerOf<T>(request as unknown as Promise<Response>);
}

/** Agents may say no to what the coordinator asks of them: then the answer itself is well, and tells why. */
export function refusalIn(answer: unknown): string | undefined {
  if (typeof answer !== "object" || answer === null) return undefined;
  const { accepted, reason } = answer as Record<string, unknown>;
  if (accepted !== false) return undefined;
  return typeof reason === "string" ? reason : "It was refused";
}

/** RFC 9457. */
function problemText(json: unknown): string | undefined {
  if (typeof json !== "object" || json === null) return undefined;
  const { detail, title, hint } = json as Record<string, unknown>;
  const text = typeof detail === "string" ? detail : typeof title === "string" ? title : undefined;
  return text !== undefined && typeof hint === "string" ? `${text}. ${hint}` : text;
}

/** What the action would send. */
export async function requestOf(action: Action, origin: string): Promise<SentRequest> {
  let sent: SentRequest = { method: "GET", url: origin, body: null };
  const recorder = createApiClient(origin, {
    fetch: (input: RequestInfo | URL, init?: RequestInit) => {
      sent = {
        method: init?.method ?? "GET",
        url: String(input instanceof Request ? input.url : input),
        body: typeof init?.body === "string" ? init.body : null,
      };
      return Promise.resolve(Response.json({}));
    },
  });
  await action.send(recorder);
  return sent;
}

/** The request as a person types it; the token stays in its file. */
export function curlOf({ method, url, body }: SentRequest): string {
  const lines = [
    `curl -X ${method} ${shellWord(url)}`,
    '-H "Authorization: Bearer $(cat ~/.local/state/backup-agent/mesh-token)"',
    ...(body === null ? [] : ["-H 'Content-Type: application/json'", `-d ${shellWord(body)}`]),
  ];
  return lines.join(" \\\n  ");
}

export function commandOf(words: readonly string[]): string {
  return ["backup-agent", ...words].map(shellWord).join(" ");
}

/** One word of a shell, whatever is in it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
