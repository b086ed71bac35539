import assert from "node:assert/strict";
import fc from "fast-check";
import { fitEnd, fitStart, textWidth, visibleText } from "./visible_text.ts";

const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
);

Deno.test("control and direction characters in names are shown, not sent", () => {
  assert.equal(visibleText("plain name.txt"), "plain name.txt");
  assert.equal(visibleText("über 📁 文件"), "über 📁 文件");
  assert.equal(visibleText("a\nb\tc\r"), "a\\nb\\tc\\r");
  assert.equal(visibleText("\x1b[31mred\x07\x9b"), "\\x1b[31mred\\x07\\x9b");
  assert.equal(visibleText("exe\u202etxt"), "exe\\u{202e}txt");
  assert.equal(visibleText("half \ud83d"), "half \\u{d83d}");
});

Deno.test("whatever the text, what is shown holds no character that moves the cursor", () => {
  fc.assert(fc.property(anyText, (text) => {
    assert.doesNotMatch(
      visibleText(text),
      // deno-lint-ignore no-control-regex
      /[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e]/,
    );
  }));
});

Deno.test("wide characters count two columns and combining marks none", () => {
  assert.equal(textWidth("abc"), 3);
  assert.equal(textWidth("文件"), 4);
  assert.equal(textWidth("📁"), 2);
  assert.equal(textWidth("e\u0301"), 1);
  assert.equal(textWidth("░▓█›★✓✗"), 7);
  assert.equal(textWidth("❤\ufe0f"), 2);
});

Deno.test("cut text fits, and keeps the end that matters", () => {
  assert.equal(fitEnd("Documents", 5), "Docu…");
  assert.equal(fitStart("a/b/photo.jpg", 10), "…photo.jpg");
  assert.equal(fitStart("short", 10), "short");
  assert.equal(fitEnd("文件文件", 4), "文…");
  assert.equal(fitEnd("abc", 0), "");
});

Deno.test("cut text is never wider than asked, for any text and width", () => {
  fc.assert(fc.property(anyText, fc.integer({ min: 0, max: 40 }), (text, columns) => {
    const shown = visibleText(text);
    assert.ok(textWidth(fitEnd(shown, columns)) <= columns);
    assert.ok(textWidth(fitStart(shown, columns)) <= columns);
  }));
});
