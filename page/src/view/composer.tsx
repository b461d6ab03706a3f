// Where messages are written.
import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import type { TextFile, Thinking } from '../data/types';
import { changeParams, current, currentId, path } from '../state/conversations';
import { busy, send, stop } from '../state/generation';
import { served, server } from '../state/server';
import { count, percent } from './format';
import { Icon } from './icons';
import { IconButton, useAutoHeight } from './parts';

export const attached = signal<TextFile[]>([]);
export const attachProblem = signal('');

const FILE_MAX = 1_000_000; // bytes

export async function attach(files: Iterable<File>): Promise<void> {
  attachProblem.value = '';
  for (const file of files) {
    if (file.size > FILE_MAX) {
      attachProblem.value = `${file.name} is larger than 1 MB.`;
      continue;
    }
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
      if (text.includes('\0')) throw new Error();
      attached.value = [...attached.peek(), { name: file.name, text }];
    } catch {
      attachProblem.value = `${file.name} is not a text file.`;
    }
  }
}

function pickFiles(): void {
  const input = document.createElement('input');
  input.type = 'file';
  input.multiple = true;
  input.addEventListener('change', () => attach(input.files ?? []));
  input.click();
}

const thinkingModes: { value: Thinking; label: string }[] = [
  { value: 'default', label: 'Thinking: default' },
  { value: 'off', label: 'Thinking: off' },
  { value: 'high', label: 'Thinking: high' },
  { value: 'max', label: 'Thinking: max' },
];

const NEARLY_FULL = 0.8;

function Context() {
  const usage = path.value.findLast((message) => message.usage)?.usage;
  const context = served.value?.context;
  if (!usage || !context) return null;
  const used = usage.prompt + usage.completion;
  const share = used / context;
  const words = `${count(used)} of ${count(context)} tokens`;
  if (share < NEARLY_FULL) {
    return (
      <span class="context" title={`The conversation takes ${words} of the model's context.`}>
        {percent(share)} of context
      </span>
    );
  }
  return (
    <span class="context full" role="status">
      <Icon name="warn" />
      {share >= 1 ? 'The context is full' : 'The context is nearly full'}: {words}
    </span>
  );
}

export function Composer({ settings }: { settings: () => void }) {
  const [text, setText] = useState('');
  const area = useAutoHeight(text);
  const running = busy.value;
  const ready = server.value.kind === 'ok';
  const filled = text.trim() !== '' || attached.value.length > 0;

  useEffect(() => {
    if (matchMedia('(hover: hover)').matches) area.current?.focus(); // not where it opens a keyboard on the screen
  }, [currentId.value]);
  const submit = () => {
    if (!filled || running || !ready) return;
    const files = attached.peek();
    attached.value = [];
    setText('');
    void send(text.trim(), files);
  };
  const paste = (event: ClipboardEvent) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    void attach(files);
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {attached.value.length > 0 && (
        <ul class="attached" aria-label="Attached files">
          {attached.value.map((file, i) => (
            <li key={i}>
              <Icon name="clip" />
              {file.name}
              <IconButton
                icon="close"
                label={`Remove ${file.name}`}
                onClick={() => (attached.value = attached.peek().filter((_, other) => other !== i))}
              />
            </li>
          ))}
        </ul>
      )}
      {attachProblem.value && (
        <p class="problem" role="alert">
          {attachProblem.value}
        </p>
      )}
      <textarea
        ref={area}
        id="message"
        rows={1}
        placeholder="Write a message"
        aria-label="Message"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onPaste={paste}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            submit();
          }
        }}
      />
      <div class="composer-bar">
        <IconButton icon="clip" label="Attach text files" onClick={pickFiles} />
        <IconButton icon="sliders" label="System prompt, tools and parameters" onClick={settings} />
        <label class="select">
          <span class="hidden">Thinking</span>
          <select
            value={current.value.params.thinking}
            onChange={(event) => changeParams({ thinking: event.currentTarget.value as Thinking })}
          >
            {thinkingModes.map((mode) => (
              <option key={mode.value} value={mode.value}>
                {mode.label}
              </option>
            ))}
          </select>
        </label>
        <Context />
        {running ? (
          <button type="button" class="send stop" aria-label="Stop" title="Stop (Esc)" onClick={stop}>
            <Icon name="stop" />
          </button>
        ) : (
          <button type="submit" class="send" aria-label="Send" title="Send (Enter)" disabled={!filled || !ready}>
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  );
}
