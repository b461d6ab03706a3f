// What is known of the token that is pointed at.
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { TokenTrace } from '../data/types';
import { pointed } from '../state/glass';
import { served } from '../state/server';
import { percent, visible } from './format';
import { Bar } from './parts';

export function sourceWords(token: { source: TokenTrace['source'] }): string {
  const model = served.value?.drafters.find((name) => name === 'dspark' || name === 'mtp');
  const name = model === 'mtp' ? 'MTP' : model === 'dspark' ? 'DSpark' : 'the draft model';
  const words = { target: 'the target', model: name, ngram: 'prompt lookup', both: `${name} and prompt lookup`, prediction: 'the prediction', forced: 'the grammar' };
  return words[token.source];
}

function origin(token: TokenTrace): string {
  if (token.depth === 0) return "The target's own choice";
  return `Drafted by ${sourceWords(token)} at depth ${token.depth}, accepted`;
}

export function Tooltip() {
  const box = useRef<HTMLDivElement>(null);
  const at = pointed.value;
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || !at) return;
    const { width, height } = element.getBoundingClientRect();
    const below = at.place.bottom + 8 + height < innerHeight;
    const left = Math.max(8, Math.min(at.place.left, innerWidth - width - 8));
    element.style.setProperty('left', `${left}px`);
    element.style.setProperty('top', `${below ? at.place.bottom + 8 : Math.max(8, at.place.top - 8 - height)}px`);
  }, [at]);
  if (!at) return null;
  const token = at.trace.tokens[at.index];
  if (!token) return null;
  const shown = token.top.length > 0 && token.logprob !== null;
  return (
    <div ref={box} class="tooltip" role="status">
      <p class="tooltip-token">
        <code>{visible(token.text)}</code>
        {token.logprob !== null && <span>{percent(Math.exp(token.logprob))}</span>}
      </p>
      <p>{origin(token)}</p>
      {token.estimate !== null && <p class="muted">Estimated before verification: {percent(token.estimate)}</p>}
      {shown && (
        <table class="alternatives">
          <caption>The model's probabilities here</caption>
          <tbody>
            {token.top.map(([text, logprob]) => (
              <tr key={text} class={text === token.text ? 'chosen' : ''}>
                <th scope="row">
                  <code>{visible(text)}</code>
                </th>
                <td>
                  <Bar share={Math.exp(logprob)} />
                </td>
                <td>{percent(Math.exp(logprob))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p class="muted">
        Step {token.step}
        {token.step === 0 && ', which reads the prompt'}
      </p>
    </div>
  );
}
