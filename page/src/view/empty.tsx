// Before the first message.
import { send } from '../state/generation';
import { served, server } from '../state/server';
import { count } from './format';
import { Mark } from './icons';

const suggestions = [
  'What is the capital of Italy?',
  'Write a Python function that returns the largest item of a list.',
  'What is 39 kilometers in meters?',
  'What are you good at?',
];

export function Empty() {
  const model = served.value;
  return (
    <div class="empty">
      <div class="column">
        <Mark />
        <h1>What would you like to know?</h1>
        <p class="muted">
          {model ? (
            <>
              This is <strong>{model.id}</strong>. What you write goes to its server and nowhere else; a conversation may have up
              to {count(model.context)} tokens.
            </>
          ) : (
            'Everything stays between this browser and its server.'
          )}
        </p>
        <div class="suggestions">
          {suggestions.map((text) => (
            <button key={text} type="button" disabled={server.value.kind !== 'ok'} onClick={() => send(text, [])}>
              {text}
            </button>
          ))}
        </div>
      </div>
    </div>
  );
}
