/**
 * Server-sent events, both directions. Rule: one event is one `data:` line with one JSON value; comments and other
 * fields are ignored; an event that grows past its limit ends the stream instead of filling memory.
 */
import { BackupError } from "../base/errors.ts";

export const SSE_MEDIA_TYPE = "text/event-stream";
/** A comment that keeps idle connections open; readers ignore it. */
export const SSE_PING = ": ping\n\n";
/** Largest event read, in UTF-16 units; larger than any event this program writes. */
export const SSE_EVENT_CHARS_MAX = 16 << 20;

const LINE_END = /\r\n|\r|\n/g;

/** `json` must be one line, as `JSON.stringify` writes it. */
export function encodeSseEvent(json: string): string {
  return `data: ${json}\n\n`;
}

export interface SseParser {
  /**
   * Takes the next piece of text, cut anywhere, and returns the data of the events it completes.
   * @throws {BackupError} `protocol` when one event passes the limit.
   */
  push(text: string): string[];
}

export function createSseParser(eventCharsMax: number = SSE_EVENT_CHARS_MAX): SseParser {
  let partialLine: string[] = [];
  let dataLines: string[] = [];
  let heldChars = 0;
  let atStart = true;
  let skipLineFeed = false;

  function hold(chars: number): void {
    heldChars += chars;
    if (heldChars > eventCharsMax) {
      throw new BackupError(
        "protocol",
        `Cannot read an event longer than ${eventCharsMax} characters`,
      );
    }
  }

  function takeLine(line: string, events: string[]): void {
    if (line === "") {
      if (dataLines.length > 0) events.push(dataLines.join("\n"));
      dataLines = [];
      heldChars = 0;
      return;
    }
    if (line === "data") {
      dataLines.push("");
    } else if (line.startsWith("data:")) {
      dataLines.push(line.slice(line[5] === " " ? 6 : 5));
    } else {
      heldChars -= line.length;
    }
  }

  return {
    push(text) {
      const events: string[] = [];
      let start = 0;
      if (text !== "" && atStart) {
        atStart = false;
        if (text.startsWith("\uFEFF")) start = 1;
      }
      // A pair of CR and LF may be cut between two pieces.
      if (text !== "" && skipLineFeed) {
        skipLineFeed = false;
        if (text[start] === "\n") start++;
      }
      LINE_END.lastIndex = start;
      for (let end = LINE_END.exec(text); end !== null; end = LINE_END.exec(text)) {
        hold(end.index - start);
        partialLine.push(text.slice(start, end.index));
        const line = partialLine.join("");
        partialLine = [];
        start = end.index + end[0].length;
        skipLineFeed = end[0] === "\r" && start === text.length;
        takeLine(line, events);
      }
      if (start < text.length) {
        hold(text.length - start);
        partialLine.push(text.slice(start));
      }
      return events;
    },
  };
}
