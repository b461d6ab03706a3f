// The text of a reply: as Markdown, or token by token. Both views write their nodes themselves, so that a long stream
// costs what is new in it.
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import type { Trace } from '../data/types';
import { pointed, showStep } from '../state/glass';
import { MarkdownStream } from '../text/markdown';
import { TokenStream } from '../text/token_stream';

interface MarkdownProps {
  text: string;
  final: boolean;
}

// An update that takes long makes the next one wait, so that the page has time for everything else.
const REST = 4;

export function MarkdownView({ text, final }: MarkdownProps) {
  const root = useRef<HTMLDivElement>(null);
  const stream = useRef<MarkdownStream | null>(null);
  const rest = useRef({ until: 0, timer: 0 });
  const latest = useRef({ text, final });
  latest.current = { text, final };

  useLayoutEffect(() => {
    stream.current ??= new MarkdownStream(root.current!);
    const show = () => {
      rest.current.timer = 0;
      const begun = performance.now();
      stream.current!.update(latest.current.text, latest.current.final);
      const spent = performance.now() - begun;
      rest.current.until = begun + spent * (1 + REST);
    };
    const wait = rest.current.until - performance.now();
    if (final || wait <= 0) {
      clearTimeout(rest.current.timer);
      show();
    } else {
      rest.current.timer ||= window.setTimeout(show, wait);
    }
  }, [text, final]);
  useEffect(() => () => clearTimeout(rest.current.timer), []);
  return <div ref={root} class="md" />;
}

interface TokenProps {
  trace: Trace;
  tick: number; // changes when the trace has grown
  reasoning: boolean;
  message: string;
}

function indexOf(target: EventTarget | null): number | null {
  const index = target instanceof HTMLElement ? target.dataset['i'] : undefined;
  return index === undefined ? null : Number(index);
}

export function TokenView({ trace, tick, reasoning, message }: TokenProps) {
  const root = useRef<HTMLDivElement>(null);
  const stream = useRef<TokenStream | null>(null);
  const at = useRef(-1); // the token that the keyboard is on
  useLayoutEffect(() => {
    stream.current ??= new TokenStream(root.current!, reasoning);
    stream.current.update(trace);
  }, [trace, tick]);
  useEffect(() => () => void (pointed.value = null), []);

  const point = (index: number | null) => {
    root.current?.querySelector('.tok.at')?.classList.remove('at');
    const piece = index === null ? null : root.current?.querySelector<HTMLElement>(`[data-i="${index}"]`);
    if (!piece || index === null) {
      pointed.value = null;
      return;
    }
    at.current = index;
    piece.classList.add('at');
    pointed.value = { trace, index, place: piece.getClientRects()[0] ?? piece.getBoundingClientRect() };
  };
  const walk = (event: KeyboardEvent) => {
    const pieces = [...root.current!.querySelectorAll<HTMLElement>('.tok')];
    const place = pieces.findIndex((piece) => Number(piece.dataset['i']) === at.current);
    const moves: Record<string, number> = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: pieces.length - 1 };
    const move = moves[event.key];
    if (move !== undefined) {
      event.preventDefault();
      const piece = pieces[Math.max(0, Math.min(move, pieces.length - 1))];
      piece?.scrollIntoView({ block: 'nearest' });
      point(indexOf(piece ?? null));
    } else if (event.key === 'Enter' && at.current >= 0) {
      showStep(message, trace.tokens[at.current]!.step);
    }
  };
  return (
    <div
      ref={root}
      class="tokens"
      tabIndex={0}
      role="application"
      aria-label={`${reasoning ? 'Reasoning' : 'Answer'}, token by token: arrow keys walk, Enter shows the step`}
      onPointerOver={(event) => point(indexOf(event.target))}
      onPointerLeave={() => point(null)}
      onBlur={() => point(null)}
      onKeyDown={walk}
      onClick={(event) => {
        const index = indexOf(event.target);
        if (index !== null) showStep(message, trace.tokens[index]!.step);
      }}
    />
  );
}
