// TeX between $...$, $$...$$, \(...\) and \[...\] as MathML.
import type { TokenizerAndRendererExtension, Tokens } from 'marked';
import temml from 'temml';
import { escaped } from './escape';

function rendered(tex: string, block: boolean): string {
  try {
    const html = temml.renderToString(tex, { displayMode: block, throwOnError: true, trust: false, maxExpand: 200 });
    return html.replaceAll(' style="', ' data-style="'); // see sanitize.ts
  } catch {
    return `<code>${escaped(tex)}</code>`; // as it was written
  }
}

interface MathToken extends Tokens.Generic {
  tex: string;
  block: boolean;
}

const renderer = (token: Tokens.Generic) => {
  const { tex, block } = token as MathToken;
  return block ? `<div class="maths">${rendered(tex, true)}</div>` : rendered(tex, false);
};

const BLOCK = /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])[ \t]*(?:\n|$)/;
// A dollar that opens maths has no space behind it, one that closes it no space before and no digit behind it: so that
// "from $5 to $10" stays as it is.
const INLINE = /^(?:\$\$([^$\n]+?)\$\$|\$((?:[^$\\\n]|\\.)*?[^\s$\\])\$(?!\d)|\\\(([^\n]+?)\\\)|\\\[([^\n]+?)\\\])/;

export const blockMaths: TokenizerAndRendererExtension = {
  name: 'blockMaths',
  level: 'block',
  start: (src) => src.match(/\$\$|\\\[/)?.index,
  tokenizer(src) {
    const match = BLOCK.exec(src);
    if (!match) return undefined;
    return { type: 'blockMaths', raw: match[0], tex: (match[1] ?? match[2] ?? '').trim(), block: true };
  },
  renderer,
};

export const inlineMaths: TokenizerAndRendererExtension = {
  name: 'inlineMaths',
  level: 'inline',
  start: (src) => src.match(/\$|\\\(|\\\[/)?.index,
  tokenizer(src) {
    const match = INLINE.exec(src);
    if (!match || /^\$\s/.test(match[0])) return undefined;
    const tex = match[1] ?? match[2] ?? match[3] ?? match[4] ?? '';
    return { type: 'inlineMaths', raw: match[0], tex: tex.trim(), block: false };
  },
  renderer,
};
