// Calls of tools, with a place to type what each returned.
import { useState } from 'preact/hooks';
import type { Message, ToolCall } from '../data/types';
import { busy, sendResults } from '../state/generation';
import { Icon } from './icons';

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json; // not complete yet, or no JSON
  }
}

interface Props {
  message: Message;
  calls: ToolCall[];
  results: Message[];
  open: boolean; // results may be given
}

export function ToolCards({ message, calls, results, open }: Props) {
  const [typed, setTyped] = useState<string[]>([]);
  const waits = open && results.length === 0;
  const submit = (event: Event) => {
    event.preventDefault();
    void sendResults(message, calls.map((_, i) => typed[i] ?? ''));
  };
  return (
    <form class="tools" onSubmit={submit}>
      {calls.map((call, i) => {
        const result = results.find((one) => one.callId === call.id);
        return (
          <section key={call.id || i} class="tool" aria-label={`Call of ${call.name}`}>
            <h3>
              <Icon name="tool" />
              <code>{call.name}</code>
            </h3>
            <pre tabIndex={0} aria-label="Arguments" role="region">
              {pretty(call.arguments)}
            </pre>
            {result && (
              <div class="tool-result">
                <span class="muted">Result</span>
                <pre tabIndex={0} aria-label="Result" role="region">
                  {result.content}
                </pre>
              </div>
            )}
            {waits && (
              <label class="tool-result">
                <span class="muted">Result</span>
                <textarea
                  rows={2}
                  placeholder="What the tool returned, as text or JSON"
                  value={typed[i] ?? ''}
                  onInput={(event) => {
                    const next = [...typed];
                    next[i] = event.currentTarget.value;
                    setTyped(next);
                  }}
                />
              </label>
            )}
          </section>
        );
      })}
      {waits && (
        <button type="submit" class="button primary" disabled={busy.value}>
          {calls.length > 1 ? 'Send results' : 'Send result'}
        </button>
      )}
    </form>
  );
}
