// What a conversation asks with: system prompt, tools, parameters.
import { useState } from 'preact/hooks';
import { type Params, defaultParams } from '../data/types';
import { change, changeParams, current } from '../state/conversations';
import { served } from '../state/server';
import { showProbabilities } from '../state/settings';
import { Dialog } from './parts';

interface NumberRow {
  name: { [Name in keyof Params]: Params[Name] extends number | null ? Name : never }[keyof Params];
  label: string;
  meaning: string;
  min: number;
  max: number;
  step: number;
  usual: string; // the server's default
}

const numbers: NumberRow[] = [
  { name: 'temperature', label: 'Temperature', meaning: 'How freely tokens are drawn. 0 always takes the likeliest.', min: 0, max: 100, step: 0.1, usual: '1' },
  { name: 'topP', label: 'Top p', meaning: 'Draws from the likeliest tokens that make up this share.', min: 0, max: 1, step: 0.05, usual: '1, off' },
  { name: 'topK', label: 'Top k', meaning: 'Draws from this many of the likeliest tokens.', min: 0, max: 1000000, step: 1, usual: '0, off' },
  { name: 'minP', label: 'Min p', meaning: "Leaves out tokens below this share of the likeliest one's.", min: 0, max: 1, step: 0.01, usual: '0, off' },
  { name: 'presence', label: 'Presence penalty', meaning: 'Makes tokens that were said once less likely.', min: -2, max: 2, step: 0.1, usual: '0' },
  { name: 'frequency', label: 'Frequency penalty', meaning: 'Makes tokens less likely each time they are said.', min: -2, max: 2, step: 0.1, usual: '0' },
  { name: 'repetition', label: 'Repetition penalty', meaning: 'Divides the chance of what the prompt or the reply has.', min: 0.01, max: 100, step: 0.05, usual: '1' },
  { name: 'maxTokens', label: 'Longest reply', meaning: 'In tokens, reasoning included.', min: 1, max: 10000000, step: 1, usual: "the server's limit" },
  { name: 'seed', label: 'Seed', meaning: 'The same seed and parameters give the same reply.', min: 0, max: 4294967295, step: 1, usual: 'drawn for each reply' },
];

const speculationNumber: NumberRow = {
  name: 'maxNodes', label: 'Rows a step', meaning: 'Tokens that a step verifies at most.', min: 1, max: 64, step: 1, usual: 'as it pays',
};

function NumberField({ row }: { row: NumberRow }) {
  const value = current.value.params[row.name];
  return (
    <label class="field">
      <span>{row.label}</span>
      <input
        type="number"
        min={row.min}
        max={row.max}
        step={row.step}
        placeholder={row.usual}
        value={value ?? ''}
        onChange={(event) => {
          const input = event.currentTarget;
          const given = input.value === '' ? null : Math.min(row.max, Math.max(row.min, input.valueAsNumber));
          changeParams({ [row.name]: given });
        }}
      />
      <small>{row.meaning}</small>
    </label>
  );
}

const exampleTools = JSON.stringify(
  [
    {
      type: 'function',
      function: {
        name: 'get_weather',
        description: 'The weather in a city',
        parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
      },
    },
  ],
  null,
  2,
);

function toolsProblem(text: string): string {
  if (!text.trim()) return '';
  try {
    const list = JSON.parse(text);
    if (!Array.isArray(list)) return 'The tools are a JSON array, as in the API.';
    return '';
  } catch (error) {
    return `This is not JSON: ${error instanceof Error ? error.message : error}`;
  }
}

function Tools() {
  const [text, setText] = useState(current.value.tools);
  const problem = toolsProblem(text);
  return (
    <label class="field block">
      <span>Tools</span>
      <small>Functions that the model may call, as the API's “tools”. You type what they return.</small>
      <textarea
        rows={5}
        class="mono"
        spellcheck={false}
        value={text}
        placeholder={exampleTools}
        aria-invalid={problem !== ''}
        onInput={(event) => {
          setText(event.currentTarget.value);
          if (!toolsProblem(event.currentTarget.value)) change({ tools: event.currentTarget.value });
        }}
      />
      {problem && (
        <small class="problem" role="alert">
          {problem} The last tools that could be read are in use.
        </small>
      )}
      {!text && (
        <button
          type="button"
          class="button"
          onClick={() => {
            setText(exampleTools);
            change({ tools: exampleTools });
          }}
        >
          Take the example
        </button>
      )}
    </label>
  );
}

export function SettingsDialog({ onClose }: { onClose: () => void }) {
  const { params, system } = current.value;
  return (
    <Dialog title="This conversation" onClose={onClose} class="settings">
      <label class="field block">
        <span>System prompt</span>
        <textarea
          rows={3}
          value={system}
          placeholder="What the model should know or how it should answer"
          onInput={(event) => change({ system: event.currentTarget.value })}
        />
      </label>
      <Tools />
      <h3>Parameters</h3>
      <p class="muted">An empty field leaves the choice to the server, as its grey text says.</p>
      <div class="fields">
        {numbers.map((row) => (
          <NumberField key={row.name} row={row} />
        ))}
        <label class="field">
          <span>Stop at</span>
          <textarea rows={1} value={params.stop} onInput={(event) => changeParams({ stop: event.currentTarget.value })} />
          <small>Texts that end the reply, one a line.</small>
        </label>
      </div>
      <h3>Speculation</h3>
      <p class="muted">It changes how soon a reply comes, never what it says.</p>
      <div class="fields">
        <label class="field check">
          <input
            type="checkbox"
            checked={params.speculation}
            onChange={(event) => changeParams({ speculation: event.currentTarget.checked })}
          />
          <span>Draft tokens ahead</span>
        </label>
        <label class="field check">
          <input
            type="checkbox"
            checked={showProbabilities.value}
            onChange={(event) => (showProbabilities.value = event.currentTarget.checked)}
          />
          <span>Ask for the probabilities of tokens</span>
        </label>
        <label class="field">
          <span>Drafter</span>
          <select
            value={params.drafter}
            disabled={!params.speculation}
            onChange={(event) => changeParams({ drafter: event.currentTarget.value })}
          >
            <option value="">the server's</option>
            {served.value?.drafters.map((name) => <option key={name}>{name}</option>)}
          </select>
          <small>Who guesses ahead.</small>
        </label>
        <label class="field">
          <span>Shape of drafts</span>
          <select
            value={params.tree}
            disabled={!params.speculation}
            onChange={(event) => changeParams({ tree: event.currentTarget.value as Params['tree'] })}
          >
            <option value="">the server's</option>
            <option value="best-first">a tree</option>
            <option value="chain">a chain</option>
          </select>
          <small>A tree tries several continuations at once.</small>
        </label>
        <NumberField row={speculationNumber} />
      </div>
      <div class="dialog-buttons">
        <button type="button" class="button" onClick={() => changeParams(defaultParams)}>
          Reset parameters
        </button>
      </div>
    </Dialog>
  );
}
