// The same request with speculation off, beside the reply.
import { speed } from '../data/figures';
import type { Message, Trace } from '../data/types';
import { compare, comparison, stopComparison, whyNotComparable } from '../state/glass';
import { count, decimal, milliseconds, rate } from './format';
import { Icon } from './icons';
import { Bar } from './parts';

function Column({ title, trace, most, text }: { title: string; trace: Trace; most: number; text: string }) {
  const figures = speed(trace);
  return (
    <div class="compare-column">
      <h4>{title}</h4>
      <Bar share={figures.seconds / (most || 1)} />
      <p>
        <strong>{milliseconds(1000 * figures.seconds)}</strong> of decoding
      </p>
      <p class="muted">
        {count(figures.steps)} steps, {decimal(figures.perStep)} tokens each
        <br />
        {rate(figures.perSecond)}
      </p>
      <div class="compare-text" tabIndex={0} role="region" aria-label={`Text ${title.toLowerCase()}`}>
        {text}
      </div>
    </div>
  );
}

function Verdict({ message }: { message: Message }) {
  const state = comparison.value!;
  if (state.error) {
    return (
      <p class="verdict bad" role="alert">
        <Icon name="warn" /> Not compared: {state.error}
      </p>
    );
  }
  if (state.running) return <p class="verdict" role="status">Decoding without speculation…</p>;
  const length = [...`${message.reasoning ?? ''}${message.content}`].length;
  if (!state.same) {
    return (
      <p class="verdict bad" role="alert">
        <Icon name="warn" /> The texts differ. They should not: please report it.
      </p>
    );
  }
  return (
    <div class="verdict good" role="status">
      <p>
        <Icon name="check" /> The same {count(length)} characters, reasoning included
      </p>
      {state.hashes && (
        <p class="hash">
          SHA-256 <code>{state.hashes[0].slice(0, 16)}</code> = <code>{state.hashes[1].slice(0, 16)}</code>
        </p>
      )}
    </div>
  );
}

export function Comparison({ message, trace }: { message: Message; trace: Trace }) {
  const state = comparison.value?.message === message.id ? comparison.value : null;
  const why = whyNotComparable(message);
  const most = state ? Math.max(speed(trace).seconds, speed(state.reader.trace).seconds) : 0;
  return (
    <section>
      <h3>Without speculation</h3>
      {!state && (
        <>
          <p class="muted">
            The same request, with the same seed, decoded one token a step. The text must be the same.
          </p>
          <button type="button" class="button" disabled={why !== null} title={why ?? undefined} onClick={() => compare(message)}>
            Run it
          </button>
          {why && <p class="muted">{why}</p>}
        </>
      )}
      {state && (
        <>
          <Verdict message={message} />
          <div class="compare">
            <Column title="With speculation" trace={trace} most={most} text={message.content} />
            <Column title="Without" trace={state.reader.trace} most={most} text={state.reader.content} />
          </div>
          <button type="button" class="button" onClick={stopComparison}>
            {state.running ? 'Stop' : 'Close'}
          </button>
        </>
      )}
    </section>
  );
}
