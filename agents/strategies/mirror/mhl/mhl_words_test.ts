/** What may stand in the XML, and what our files are called. */
import assert from "node:assert/strict";
import { fitsXml, xmlDate, xmlName, xmlText } from "./mhl_xml.ts";
import { generationName, generationOf, isMhlPath } from "./own_files.ts";

Deno.test("only what XML 1.0 can hold fits", () => {
  for (const text of ["plain", "tab\t", "line\nfeed\r", "ünï", "😀", "\ud7ff\ue000\ufffd"]) {
    assert.ok(fitsXml(text), JSON.stringify(text));
  }
  for (const text of ["\0", "\u0001", "\u000b", "\u001f", "\ufffe", "\uffff", "\ud800"]) {
    assert.ok(!fitsXml(`a${text}b`), JSON.stringify(text));
    assert.equal(xmlName(`a${text}b`), "a_b");
  }
  assert.equal(xmlText('<&>"\n'), "&lt;&amp;&gt;&quot;&#10;");
});

Deno.test("dates have seconds and an offset, and years of four digits only", () => {
  assert.equal(xmlDate(Date.UTC(2026, 0, 31, 12, 5, 9, 999)), "2026-01-31T12:05:09+00:00");
  assert.equal(xmlDate(-1), "1969-12-31T23:59:59+00:00");
  assert.equal(xmlDate(Date.UTC(10_000, 0)), undefined);
  assert.equal(xmlDate(NaN), undefined);
});

Deno.test("a generation's name says its number and time, and fits into a directory", () => {
  const atMs = Date.UTC(2026, 0, 31, 12, 5, 9);
  assert.equal(generationName(7, "card", atMs), "0007_card_2026-01-31_120509Z.mhl");
  for (const name of ["x".repeat(255), "ü".repeat(127), "😀".repeat(63)]) {
    const long = generationName(12_345, name, atMs);
    assert.ok(new TextEncoder().encode(long).length <= 255);
    assert.equal(generationOf(long), 12_345);
    assert.ok(isMhlPath(`ascmhl/${long}`));
    assert.ok(!long.includes("\ufffd"));
  }
  assert.ok(isMhlPath("ascmhl/ascmhl_chain.xml"));
  for (const other of ["ascmhl", "ascmhl/other", "a/ascmhl/ascmhl_chain.xml", "ascmhl/x/1.mhl"]) {
    assert.ok(!isMhlPath(other), other);
  }
});
