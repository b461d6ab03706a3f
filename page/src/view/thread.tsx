// The branch that is shown, from its beginning.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Message } from '../data/types';
import { currentId, path } from '../state/conversations';
import { busy, live, send } from '../state/generation';
import { Empty } from './empty';
import { CopyButton, IconButton, useAutoHeight } from './parts';
import { Branches, Reply } from './reply';

function Edit({ message, close }: { message: Message; close: () => void }) {
  const [text, setText] = useState(message.content);
  const area = useAutoHeight(text);
  useEffect(() => area.current?.focus(), []);
  const submit = () => {
    close();
    void send(text, message.files ?? [], message.parent);
  };
  return (
    <div class="edit">
      <textarea
        ref={area}
        aria-label="Message"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') {
            event.stopPropagation();
            close();
          }
          if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            submit();
          }
        }}
      />
      <div class="edit-buttons">
        <button type="button" class="button" onClick={close}>
          Cancel
        </button>
        <button type="button" class="button primary" onClick={submit} disabled={!text.trim()}>
          Send as a new branch
        </button>
      </div>
    </div>
  );
}

function Question({ message }: { message: Message }) {
  const [editing, setEditing] = useState(false);
  if (editing) return <Edit message={message} close={() => setEditing(false)} />;
  return (
    <article class="question" aria-label="Your message">
      <div class="bubble">
        {message.files?.map((file) => (
          <details class="file" key={file.name}>
            <summary>{file.name}</summary>
            <pre tabIndex={0} role="region" aria-label={file.name}>
              {file.text}
            </pre>
          </details>
        ))}
        {message.content}
      </div>
      <footer class="actions">
        <Branches message={message} />
        <CopyButton text={message.content} label="Copy message" />
        <IconButton icon="edit" label="Edit and resend" disabled={busy.value} onClick={() => setEditing(true)} />
      </footer>
    </article>
  );
}

const NEAR = 80; // pixels from the end that still count as being there

export function Thread() {
  const scroller = useRef<HTMLDivElement>(null);
  const [away, setAway] = useState(false);
  const stays = useRef(true); // at the end
  const before = useRef(0); // where it was scrolled to
  const messages = path.value;

  useLayoutEffect(() => {
    stays.current = true;
    setAway(false);
  }, [currentId.value]);
  useEffect(() => {
    const frame = scroller.current;
    if (!frame) return undefined;
    const follow = new ResizeObserver(() => {
      if (stays.current) frame.scrollTop = frame.scrollHeight;
    });
    follow.observe(frame);
    follow.observe(frame.firstElementChild!);
    return () => follow.disconnect();
  }, [messages.length === 0]);
  // Only who scrolls up leaves the end: it may move away by itself faster than the page follows.
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = scroller.current!;
    if (scrollHeight - scrollTop - clientHeight < NEAR) stays.current = true;
    else if (scrollTop < before.current) stays.current = false;
    before.current = scrollTop;
    if (stays.current === away) setAway(!stays.current);
  };
  const toEnd = () => {
    stays.current = true;
    scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
  };
  // A message that is sent is to be seen.
  useEffect(() => {
    if (live.peek()?.tick === 0) toEnd();
  }, [messages.length]);

  if (messages.length === 0) return <Empty />;
  return (
    <div class="thread-frame">
      <div class="thread" ref={scroller} onScroll={scrolled} tabIndex={0} role="region" aria-label="Conversation">
        <div class="column">
          {messages.map((message, i) => {
            if (message.role === 'user') return <Question key={message.id} message={message} />;
            if (message.role === 'tool') return null; // in the card of its call
            const following = messages.slice(i + 1);
            const end = following.findIndex((other) => other.role !== 'tool');
            const results = end < 0 ? following : following.slice(0, end);
            return <Reply key={message.id} message={message} results={results} last={i === messages.length - 1} />;
          })}
        </div>
      </div>
      {away && <IconButton class="to-end" icon="down" label="To the latest" onClick={toEnd} />}
    </div>
  );
}
