// Markdown to nodes, and a view that grows with a stream.
import { Marked, type Token, type Tokens, type TokensList } from 'marked';
import { copyText } from './clipboard';
import { escaped } from './escape';
import { highlighted } from './highlight';
import { blockMaths, inlineMaths } from './maths';
import { sanitized } from './sanitize';

// Code that is long and still being written is coloured when it is complete.
type GrowingCode = Tokens.Code & { growing?: boolean };
const GROWING_MAX = 3000;

const marked = new Marked({
  gfm: true,
  extensions: [blockMaths, inlineMaths],
  renderer: {
    // HTML in a text is text.
    html: (token) => (token.block ? `<p class="raw">${escaped(token.raw.trim())}</p>` : escaped(token.raw)),
    // An image would be a request to somewhere: it becomes a link.
    image: ({ href, text }) => `<a href="${escaped(href)}">${escaped(text || href)}</a>`,
    code: (token) => {
      const { text, lang } = token;
      const language = (lang ?? '').split(/\s/)[0]!.toLowerCase();
      const label = escaped(language || 'text');
      const coloured = (token as GrowingCode).growing ? null : highlighted(text, language);
      return `<div class="code"><div class="code-bar"><span>${label}</span></div><pre><code>${coloured ?? escaped(text)}</code></pre></div>`;
    },
    table(token) {
      const cells = (row: typeof token.header, tag: string) =>
        row
          .map((cell, i) => {
            const align = token.align[i];
            return `<${tag}${align ? ` align="${align}"` : ''}>${this.parser.parseInline(cell.tokens)}</${tag}>`;
          })
          .join('');
      const rows = token.rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('');
      return `<div class="table"><table><thead><tr>${cells(token.header, 'th')}</tr></thead><tbody>${rows}</tbody></table></div>`;
    },
  },
});

function copyButton(code: string): HTMLButtonElement {
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'code-copy';
  button.textContent = 'Copy';
  button.setAttribute('aria-label', 'Copy code');
  button.addEventListener('click', async () => {
    await copyText(code);
    button.textContent = 'Copied';
    setTimeout(() => (button.textContent = 'Copy'), 1500);
  });
  return button;
}

function finishNodes(fragment: DocumentFragment): void {
  for (const bar of fragment.querySelectorAll('.code-bar')) {
    const code = bar.parentElement!.querySelector('code');
    const pre = bar.parentElement!.querySelector('pre');
    pre?.setAttribute('tabindex', '0'); // scrollable, so reachable by keyboard
    pre?.setAttribute('aria-label', `Code, ${bar.textContent}`);
    pre?.setAttribute('role', 'region');
    if (code) bar.append(copyButton(code.textContent ?? ''));
  }
  for (const table of fragment.querySelectorAll('.table')) {
    table.setAttribute('tabindex', '0');
    table.setAttribute('role', 'region');
    table.setAttribute('aria-label', 'Table');
  }
  for (const box of fragment.querySelectorAll('input')) box.setAttribute('aria-label', 'Task');
}

function nodesOf(tokens: Token[], links: TokensList['links']): DocumentFragment {
  let html: string;
  try {
    html = marked.parser(Object.assign([...tokens], { links }) as TokensList);
  } catch {
    return plain(tokens.map((token) => token.raw).join('')); // nested too deeply
  }
  const fragment = sanitized(html);
  finishNodes(fragment);
  return fragment;
}

// What is never rendered as Markdown: patterns nest and backtrack, and a page must stay quick whatever it is shown.
const BLOCK_MAX = 60_000;

function plain(text: string): DocumentFragment {
  const fragment = new DocumentFragment();
  const pre = document.createElement('pre');
  pre.className = 'plain';
  pre.textContent = text;
  fragment.append(pre);
  return fragment;
}

// Null where the text is too long or too deeply nested.
function lexed(text: string): TokensList | null {
  if (text.length > BLOCK_MAX) return null;
  try {
    return marked.lexer(text);
  } catch {
    return null;
  }
}

// A text that only grows. Blocks of Markdown that can no longer change are rendered once; the last one again with
// every update. So the cost of an update depends on the last block and not on the length of the text.
export class MarkdownStream {
  private settled = 0; // characters whose blocks are final
  private tail: Node[] = [];
  private text = '';
  private hasLinks = false;

  constructor(private readonly root: HTMLElement) {}

  update(given: string, final: boolean): void {
    const text = given.replace(/\r\n?/g, '\n');
    if (!text.startsWith(this.text.slice(0, 64)) || text.length < this.text.length) this.clear();
    if (text === this.text && !final) return;
    this.text = text;
    // A reference may stand before its definition.
    if (final && this.hasLinks) {
      this.clear();
      this.text = text;
    }
    const rest = text.slice(this.settled);
    const tokens = lexed(rest);
    if (!tokens) {
      this.replaceTail(plain(rest));
      return;
    }
    this.hasLinks ||= Object.keys(tokens.links).length > 0;
    let last = tokens.length - 1;
    while (last > 0 && tokens[last]!.type === 'space') --last;
    if (!final && last > 0) {
      this.replaceTail(nodesOf(tokens.slice(0, last), tokens.links));
      this.tail = [];
      for (const token of tokens.slice(0, last)) this.settled += token.raw.length;
    }
    const growing = tokens[last];
    if (!final && growing?.type === 'code' && growing.raw.length > GROWING_MAX) {
      (growing as GrowingCode).growing = true;
    }
    this.replaceTail(nodesOf(final ? tokens : tokens.slice(Math.max(last, 0)), tokens.links));
  }

  private replaceTail(fragment: DocumentFragment): void {
    for (const node of this.tail) node.parentNode?.removeChild(node);
    this.tail = [...fragment.childNodes];
    this.root.append(fragment);
  }

  private clear(): void {
    this.root.replaceChildren();
    this.settled = 0;
    this.tail = [];
    this.text = '';
  }
}
