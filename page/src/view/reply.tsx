// A reply of the model, finished or being written.
import { useComputed } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { siblingsOf } from '../data/tree';
import { speed } from '../data/figures';
import type { Message, Trace } from '../data/types';
import { messages, showBranch } from '../state/conversations';
import { type Live, busy, continueReply, live, regenerate, reply, traceOf } from '../state/generation';
import { chosenReply, chosenStep } from '../state/glass';
import { watchServer } from '../state/server';
import { glassOpen } from '../state/settings';
import { count, decimal, milliseconds, rate, seconds } from './format';
import { Icon } from './icons';
import { CopyButton, IconButton } from './parts';
import { MarkdownView, TokenView } from './reply_text';
import { ToolCards } from './tool_cards';

// The time since `since`, ten times a second; stands still where `until` is known.
function useElapsed(since: number | undefined, until: number | undefined): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (until !== undefined || since === undefined) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 100);
    return () => clearInterval(timer);
  }, [since, until]);
  return since === undefined ? 0 : Math.max(0, (until ?? now) - since) / 1000;
}

export function useTrace(message: Message | null, running: Live | null): Trace | undefined {
  const [found, setFound] = useState<{ id: string; trace: Trace | undefined }>();
  const own = message && running?.message.id === message.id ? running.reader.trace : undefined;
  useEffect(() => {
    if (!message || own) return undefined;
    let gone = false;
    void traceOf(message).then((trace) => {
      if (!gone) setFound({ id: message.id, trace });
    });
    return () => {
      gone = true;
    };
  }, [message?.id, message?.status, own]);
  return own ?? (found?.id === message?.id ? found?.trace : undefined);
}

function Reasoning({ message, text, running, trace }: { message: Message; text: string; running: Live | null; trace?: Trace }) {
  const timing = message.timing;
  const until = timing?.answered ?? timing?.end;
  const spent = useElapsed(timing?.first ?? timing?.sent, until ?? (running ? undefined : timing?.sent));
  const thinking = running !== null && timing?.answered === undefined;
  const [open, setOpen] = useState(false);
  const glass = glassOpen.value && trace && trace.tokens.length > 0;
  return (
    <details class="reasoning" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <Icon name="bulb" />
        <span class={thinking ? 'shimmer' : ''}>
          {thinking ? 'Thinking' : 'Thought'} {timing && !message.continued ? (spent < 0.05 ? 'briefly' : `for ${seconds(spent)}`) : ''}
        </span>
        <Icon name="down" />
      </summary>
      {open &&
        (glass ? (
          <TokenView trace={trace} tick={running?.tick ?? -1} reasoning message={message.id} />
        ) : (
          <MarkdownView text={text} final={!running} />
        ))}
    </details>
  );
}

function Waiting({ running }: { running: Live }) {
  const spent = useElapsed(running.message.timing?.sent, undefined);
  const words = running.queued > 0 ? `Waiting in line, ${count(running.queued)} in the queue` : spent > 1 ? 'Reading the prompt' : '';
  return (
    <p class="waiting" role="status">
      <span class="dots" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      {words || <span class="hidden">Waiting for the reply</span>}
      {spent > 3 && <span class="muted"> {seconds(spent)}</span>}
    </p>
  );
}

function Failed({ message }: { message: Message }) {
  const failure = message.failure!;
  const headings = {
    busy: 'The server is busy',
    refused: 'The server does not take this request',
    unreachable: 'The server cannot be reached',
    dropped: 'The connection broke off',
    key: 'The server wants a key',
    server: 'The server failed',
  };
  const again = async () => {
    await watchServer();
    if (message.content || message.reasoning) await continueReply(message);
    else await reply(message.conversation, message.parent!);
  };
  return (
    <div class="failure" role="alert">
      <Icon name="warn" />
      <div>
        <p class="failure-head">{headings[failure.kind]}</p>
        <p>{failure.message}</p>
      </div>
      <button type="button" class="button" onClick={again}>
        {message.content || message.reasoning ? 'Continue' : 'Try again'}
      </button>
    </div>
  );
}

function Figures({ message, trace }: { message: Message; trace?: Trace }) {
  if (!trace || trace.tokens.length === 0) return null;
  const figures = speed(trace);
  const timing = message.timing;
  const open = () => {
    chosenReply.value = message.id;
    chosenStep.value = null;
    glassOpen.value = true;
  };
  return (
    <button type="button" class="figures" onClick={open} title="Show how this reply came">
      {count(figures.tokens)} tokens
      {figures.steps > 0 && ` · ${decimal(figures.perStep)} a step`}
      {figures.perSecond > 0 && ` · ${rate(figures.perSecond)}`}
      {timing?.first && <span class="wide"> · first after {milliseconds(timing.first - timing.sent)}</span>}
    </button>
  );
}

export function Branches({ message }: { message: Message }) {
  const siblings = siblingsOf(messages.value, message);
  if (siblings.length < 2) return null;
  const place = siblings.findIndex((other) => other.id === message.id);
  const go = (to: number) => showBranch(siblings[to]!);
  return (
    <div class="branches" role="group" aria-label="Branches">
      <IconButton icon="left" label="Previous branch" disabled={place === 0} onClick={() => go(place - 1)} />
      <span>
        {place + 1} / {siblings.length}
      </span>
      <IconButton icon="right" label="Next branch" disabled={place === siblings.length - 1} onClick={() => go(place + 1)} />
    </div>
  );
}

export function Reply({ message, results, last }: { message: Message; results: Message[]; last: boolean }) {
  // So that a reply that is written draws itself again, and not the others.
  const { id } = message;
  const running = useComputed(() => (live.value?.message.id === id ? live.value : null)).value;
  const trace = useTrace(message, running);
  const content = running ? running.reader.content : message.content;
  const reasoning = (running ? running.reader.reasoning : message.reasoning) ?? '';
  const calls = (running ? running.reader.calls : message.calls) ?? [];
  const glass = glassOpen.value && trace !== undefined && trace.tokens.some((token) => !token.reasoning);
  const nothing = !content && !reasoning && calls.length === 0;
  const shown = running ? { ...message, timing: running.message.timing! } : message;
  return (
    <article class={`reply ${running ? 'running' : ''}`} aria-label="Reply" aria-busy={running !== null}>
      {reasoning && <Reasoning message={shown} text={reasoning} running={running} trace={trace} />}
      {glass ? (
        <TokenView trace={trace} tick={running?.tick ?? -1} reasoning={false} message={message.id} />
      ) : (
        content && <MarkdownView text={content} final={!running} />
      )}
      {calls.length > 0 && <ToolCards message={message} calls={calls} results={results} open={last && !running} />}
      {running && nothing && <Waiting running={running} />}
      {!running && nothing && message.status === 'stopped' && <p class="muted">Stopped before anything was said.</p>}
      {!running && nothing && message.status === 'done' && <p class="muted">The model ended its turn without a word.</p>}
      {message.status === 'error' && !running && message.failure && <Failed message={message} />}
      {message.status === 'length' && !running && <p class="note">Cut at the limit of tokens.</p>}
      {!running && (
        <footer class="actions">
          <Branches message={message} />
          <CopyButton text={message.content} label="Copy reply" />
          <IconButton icon="redo" label="Regenerate" disabled={busy.value} onClick={() => regenerate(message)} />
          {(message.status === 'stopped' || message.status === 'length') && last && (
            <IconButton icon="play" label="Continue this reply" text="Continue" disabled={busy.value} onClick={() => continueReply(message)} />
          )}
          <Figures message={message} trace={trace} />
        </footer>
      )}
    </article>
  );
}
