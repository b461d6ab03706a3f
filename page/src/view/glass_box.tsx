// The glass box: what speculation did for one reply.
import type { Message, Trace } from '../data/types';
import { byDepth, speed, times } from '../data/figures';
import { live } from '../state/generation';
import { chosenStep, shownReply } from '../state/glass';
import { glassOpen } from '../state/settings';
import { Comparison } from './comparison';
import { count, decimal, milliseconds, percent, rate } from './format';
import { Bar, IconButton } from './parts';
import { useTrace } from './reply';
import { StepTree } from './step_tree';
import { sourceWords } from './tooltip';

function Legend({ trace }: { trace: Trace }) {
  const sources = new Map<string, number>();
  for (const token of trace.tokens) sources.set(token.source, (sources.get(token.source) ?? 0) + 1);
  const all = trace.tokens.length;
  return (
    <ul class="legend" aria-label="Where the tokens came from">
      {(['model', 'both', 'ngram', 'prediction', 'forced', 'target'] as const).map((source) => {
        const tokens = sources.get(source);
        if (!tokens) return null;
        return (
          <li key={source}>
            <span class={`swatch ${source === 'target' ? 'own' : source}`} aria-hidden="true" />
            {source === 'target' ? "the target's own" : `drafted by ${sourceWords({ source })}`}
            <span class="muted">
              {count(tokens)} · {percent(tokens / all)}
            </span>
          </li>
        );
      })}
    </ul>
  );
}

const reasons: Record<string, string> = {
  disabled: 'speculation is off',
  not_worth: 'a draft would not have paid',
  no_draft: 'the drafter had nothing to say',
  no_room: 'the step had no rows left',
};

// Why steps had no draft, by the server's report.
function Undrafted({ message }: { message: Message }) {
  const found = Object.entries(message.report?.fallbacks ?? {}).filter(([, steps]) => steps > 0);
  if (found.length === 0) return null;
  return (
    <p class="undrafted muted">
      Without a draft: {found.map(([reason, steps]) => `${count(steps)} ${steps === 1 ? 'step' : 'steps'}, because ${reasons[reason] ?? reason}`).join('; ')}.
    </p>
  );
}

function Headline({ trace }: { trace: Trace }) {
  const figures = speed(trace);
  return (
    <dl class="headline">
      <div>
        <dd>{decimal(figures.perStep)}</dd>
        <dt title="The accepted length: tokens that a step gives on average">tokens/step</dt>
      </div>
      <div>
        <dd>{figures.perSecond > 0 ? count(figures.perSecond) : '–'}</dd>
        <dt title="By the server's clock, without the prompt">tokens/s</dt>
      </div>
      <div>
        <dd>{count(figures.steps)}</dd>
        <dt title="That decoded, besides the one that read the prompt">steps</dt>
      </div>
    </dl>
  );
}

const BARS = 64;

// The last steps: how many tokens each gave.
function Steps({ trace }: { trace: Trace }) {
  const first = Math.max(1, trace.steps.length - BARS);
  const steps = trace.steps.slice(first);
  const most = Math.max(2, ...steps.map((step) => step.tokens));
  const width = 100 / Math.max(24, steps.length);
  return (
    <svg class="steps-chart" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={`Tokens of the last ${steps.length} steps: ${steps.map((step) => step.tokens).join(', ')}`}>
      {steps.map((step, i) => {
        const height = (28 * step.tokens) / most;
        const own = 28 / most;
        const x = i * width;
        return (
          <g key={first + i}>
            <rect class="own" x={x} y={30 - own} width={width * 0.78} height={own} />
            <rect class="drafted" x={x} y={30 - height} width={width * 0.78} height={Math.max(0, height - own)} />
          </g>
        );
      })}
    </svg>
  );
}

function TimeBar({ trace }: { trace: Trace }) {
  const sum = times(trace.steps);
  const all = sum.draft + sum.verify + sum.commit;
  const steps = Math.max(1, trace.steps.length - 1);
  if (all === 0) return null;
  const parts = [
    ['draft', sum.draft, 'drafting'],
    ['verify', sum.verify, 'verifying'],
    ['commit', sum.commit, 'committing'],
  ] as const;
  return (
    <section>
      <h3>Where the time goes</h3>
      <svg class="time-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
        {parts.map(([name, value], i) => {
          const before = parts.slice(0, i).reduce((total, part) => total + part[1], 0);
          return <rect key={name} class={name} x={(100 * before) / all} y="0" width={(100 * value) / all} height="8" />;
        })}
      </svg>
      <ul class="time-legend">
        {parts.map(([name, value, word]) => (
          <li key={name}>
            <span class={`swatch ${name}`} aria-hidden="true" />
            {word}
            <span class="muted">
              {milliseconds(value / steps)} a step · {percent(value / all)}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Depths({ trace }: { trace: Trace }) {
  const depths = byDepth(trace.steps);
  if (depths.length === 0) return null;
  return (
    <section>
      <h3>Acceptance by depth</h3>
      <table class="depths">
        <thead class="hidden">
          <tr>
            <th scope="col">Depth</th>
            <th scope="col">Share accepted</th>
            <th scope="col">Accepted of drafted</th>
          </tr>
        </thead>
        <tbody>
          {depths.map(({ drafted, accepted }, i) => (
            <tr key={i}>
              <th scope="row">{i + 1}</th>
              <td class="bar">
                <Bar share={drafted > 0 ? accepted / drafted : 0} />
              </td>
              <td>
                {percent(drafted > 0 ? accepted / drafted : 0)}{' '}
                <span class="muted">
                  {count(accepted)} of {count(drafted)}
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function StepView({ trace, message }: { trace: Trace; message: Message }) {
  const last = trace.steps.length - 1;
  const place = Math.min(chosenStep.value ?? last, last);
  const step = trace.steps[place];
  if (!step) return null;
  const go = (to: number) => {
    chosenStep.value = to >= last ? null : Math.max(0, to);
  };
  const drafted = step.tree.length;
  const stood = step.tree.filter((node) => node.accepted).length;
  return (
    <section>
      <div class="step-head">
        <h3>
          Step {place} <span class="muted">of {last}</span>
        </h3>
        <IconButton icon="left" label="Previous step" disabled={place === 0} onClick={() => go(place - 1)} />
        <IconButton icon="right" label="Next step" disabled={place === last} onClick={() => go(place + 1)} />
      </div>
      {last > 0 && (
        <input
          type="range"
          min={0}
          max={last}
          value={place}
          aria-label="Step"
          onInput={(event) => go(event.currentTarget.valueAsNumber)}
        />
      )}
      <p class="muted">
        {drafted > 0
          ? `${drafted} drafted, ${stood} kept, ${drafted - stood} fell away; drafting ${milliseconds(step.draft)}, verifying ${milliseconds(step.verify)}, committing ${milliseconds(step.commit)}`
          : place === 0
            ? 'This step read the end of the prompt: there was nothing to draft from before it.'
            : `Nothing was drafted; verifying took ${milliseconds(step.verify)}.`}
      </p>
      <StepTree trace={trace} place={place} message={message} />
    </section>
  );
}

export function GlassBox() {
  const message = shownReply.value;
  const running = message && live.value?.message.id === message.id ? live.value : null;
  const trace = useTrace(message, running);
  const known = message !== null && trace !== undefined && trace.tokens.length > 0;
  return (
    <aside class="glass" aria-label="Glass box">
      <header>
        <h2>Glass box</h2>
        {running && known && <span class="live">{rate(speed(trace).perSecond)}</span>}
        <IconButton icon="close" label="Close the glass box" onClick={() => (glassOpen.value = false)} />
      </header>
      <div class="glass-body" tabIndex={0} role="region" aria-label="How the reply came">
        {!known ? (
          <div class="glass-empty">
            <p>
              Each token of a reply is either <mark class="tok model d2">drafted ahead</mark> and then accepted, or{' '}
              <mark class="tok own">the target's own choice</mark>.
            </p>
            <p class="muted">
              {message
                ? 'How this reply came was not recorded.'
                : 'Send a message, and this box shows what was drafted, what was kept and what fell away.'}
            </p>
          </div>
        ) : (
          <>
            <Headline trace={trace} />
            <Steps trace={trace} />
            <Legend trace={trace} />
            <Undrafted message={message} />
            <TimeBar trace={trace} />
            <StepView trace={trace} message={message} />
            <Depths trace={trace} />
            <Comparison message={message} trace={trace} />
          </>
        )}
      </div>
    </aside>
  );
}
