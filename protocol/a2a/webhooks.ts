/** The port through which an agent calls its callers back. */

export interface Webhooks {
  /** Why this URL may not be called, as far as it can be told without resolving names; undefined when it may. */
  refusal(url: string): string | undefined;
  /**
   * One POST; resolves with the HTTP status. Redirects are not followed.
   * @throws when the address is not allowed or cannot be reached, or `signal` is aborted.
   */
  post(
    url: string,
    headers: Readonly<Record<string, string>>,
    body: string,
    signal: AbortSignal,
  ): Promise<number>;
}
