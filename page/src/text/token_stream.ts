// Tokens as tinted pieces of text, for a trace that only grows.
import type { TokenTrace, Trace } from '../data/types';

// Pieces of one block are laid out together, so a block must not grow without end.
const BLOCK_TOKENS = 400;
const DEEPEST = 6; // tints

function tint(token: TokenTrace): string {
  return token.depth === 0 ? 'tok own' : `tok ${token.source} d${Math.min(token.depth, DEEPEST)}`;
}

export class TokenStream {
  private next = 0; // place in the trace
  private block: HTMLElement | null = null;
  private inBlock = 0;

  constructor(private readonly root: HTMLElement, private readonly reasoning: boolean) {}

  update(trace: Trace): void {
    if (trace.tokens.length < this.next) {
      this.root.replaceChildren();
      this.next = 0;
      this.block = null;
    }
    for (; this.next < trace.tokens.length; ++this.next) {
      const token = trace.tokens[this.next]!;
      if (token.reasoning === this.reasoning && token.text !== '') this.add(token, this.next);
    }
  }

  private add(token: TokenTrace, index: number): void {
    if (!this.block || this.inBlock >= BLOCK_TOKENS) {
      this.block = document.createElement('div');
      this.block.className = 'token-block';
      this.root.append(this.block);
      this.inBlock = 0;
    }
    const piece = document.createElement('span');
    piece.className = tint(token);
    piece.dataset['i'] = String(index);
    piece.textContent = token.text;
    this.block.append(piece);
    this.inBlock += 1;
    if (token.text.endsWith('\n') && this.inBlock > 40) this.inBlock = BLOCK_TOKENS;
  }
}
