// The list of conversations.
import { useComputed } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Conversation } from '../data/types';
import {
  change,
  conversations,
  currentId,
  exported,
  importFile,
  newConversation,
  openConversation,
  remove,
  search,
  storeFailure,
} from '../state/conversations';
import { lives } from '../state/generation';
import { sidebarOpen } from '../state/settings';
import { ageGroup } from './format';
import { Icon, Mark } from './icons';
import { Dialog, IconButton } from './parts';

const NARROW = matchMedia('(max-width: 760px)');

export function closeIfNarrow(): void {
  if (NARROW.matches) sidebarOpen.value = false;
}

function download(name: string, text: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function Rename({ conversation, close }: { conversation: Conversation; close: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.select(), []);
  const over = useRef(false); // leaving takes the focus away, which would keep the title once more
  const leave = (keeps: boolean) => {
    if (over.current) return;
    over.current = true;
    const title = input.current?.value.trim();
    if (keeps && title) change({ title }, conversation.id);
    close();
  };
  return (
    <input
      ref={input}
      class="rename"
      aria-label="Title"
      defaultValue={conversation.title}
      onBlur={() => leave(true)}
      onKeyDown={(event) => {
        if (event.key === 'Enter') leave(true);
        if (event.key === 'Escape') {
          event.stopPropagation();
          leave(false);
        }
      }}
    />
  );
}

function Entry({ conversation, onDelete }: { conversation: Conversation; onDelete: () => void }) {
  const [menu, setMenu] = useState(false);
  const [renaming, setRenaming] = useState(false);
  const entry = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (!menu) return undefined;
    const away = (event: Event) => {
      if (!entry.current?.contains(event.target as Node)) setMenu(false);
    };
    document.addEventListener('pointerdown', away);
    document.addEventListener('focusin', away);
    return () => {
      document.removeEventListener('pointerdown', away);
      document.removeEventListener('focusin', away);
    };
  }, [menu]);
  const shown = conversation.id === currentId.value;
  const writing = useComputed(() => lives.value.has(conversation.id)).value;
  if (renaming) {
    return (
      <li class="entry">
        <Rename conversation={conversation} close={() => setRenaming(false)} />
      </li>
    );
  }
  const act = (work: () => void) => () => {
    setMenu(false);
    work();
  };
  return (
    <li
      class={`entry ${shown ? 'shown' : ''}`}
      ref={entry}
      onKeyDown={(event) => {
        if (event.key === 'Escape' && menu) {
          event.stopPropagation();
          setMenu(false);
        }
        if (event.key === 'F2') setRenaming(true);
      }}
    >
      <button
        type="button"
        class="entry-title"
        aria-current={shown ? 'page' : undefined}
        onClick={() => {
          void openConversation(conversation.id);
          closeIfNarrow();
        }}
      >
        {writing && <span class="writing" role="img" aria-label="A reply is being written:" />}
        {conversation.title || 'New chat'}
      </button>
      <button
        type="button"
        class="icon-button entry-more"
        aria-label={`More for ${conversation.title}`}
        aria-expanded={menu}
        onClick={() => setMenu(!menu)}
      >
        <Icon name="more" />
      </button>
      {menu && (
        <div class="menu">
          <button type="button" onClick={act(() => setRenaming(true))}>
            <Icon name="edit" /> Rename
          </button>
          <button
            type="button"
            onClick={act(async () => download(`${conversation.title || 'chat'}.json`, await exported(conversation.id)))}
          >
            <Icon name="download" /> Export
          </button>
          <button type="button" class="danger" onClick={act(onDelete)}>
            <Icon name="trash" /> Delete
          </button>
        </div>
      )}
    </li>
  );
}

function grouped(list: Conversation[]): [string, Conversation[]][] {
  const groups = new Map<string, Conversation[]>();
  for (const one of list) groups.set(ageGroup(one.updated), [...(groups.get(ageGroup(one.updated)) ?? []), one]);
  return [...groups];
}

export function Sidebar() {
  const [query, setQuery] = useState('');
  const [found, setFound] = useState<Set<string> | null>(null);
  const [deleting, setDeleting] = useState<Conversation | null>(null);
  const [told, setTold] = useState('');
  useEffect(() => {
    if (!query.trim()) {
      setFound(null);
      return undefined;
    }
    const timer = setTimeout(async () => setFound(await search(query)), 120);
    return () => clearTimeout(timer);
  }, [query, conversations.value]);
  const list = conversations.value.filter((one) => !found || found.has(one.id));

  const importFiles = () => {
    const input = document.createElement('input');
    input.type = 'file';
    input.accept = '.json,application/json';
    input.addEventListener('change', async () => {
      try {
        const added = await importFile(await input.files![0]!.text());
        setTold(`${added} ${added === 1 ? 'conversation' : 'conversations'} imported.`);
      } catch (error) {
        setTold(`Not imported: ${error instanceof Error ? error.message : error}.`);
      }
    });
    input.click();
  };
  return (
    <nav class={`sidebar ${sidebarOpen.value ? 'open' : ''}`} aria-label="Conversations" inert={!sidebarOpen.value}>
      <div class="brand">
        <Mark />
        <span>Foretoken</span>
        <IconButton icon="menu" label="Hide the list" onClick={() => (sidebarOpen.value = false)} />
      </div>
      <button
        type="button"
        class="new-chat"
        onClick={() => {
          newConversation();
          closeIfNarrow();
        }}
      >
        <Icon name="plus" /> New chat
      </button>
      <label class="search">
        <Icon name="search" />
        <input
          id="search"
          type="search"
          placeholder="Search"
          aria-label="Search conversations"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
      </label>
      <div class="entries">
        {list.length === 0 && <p class="muted nothing">{query ? 'Nothing found' : 'Conversations are kept here, in this browser.'}</p>}
        {grouped(list).map(([age, ones]) => (
          <section key={age}>
            <h2>{age}</h2>
            <ul>
              {ones.map((one) => (
                <Entry key={one.id} conversation={one} onDelete={() => setDeleting(one)} />
              ))}
            </ul>
          </section>
        ))}
      </div>
      <p class="told" role="status">
        {storeFailure.value || told}
      </p>
      <div class="sidebar-foot">
        <IconButton icon="upload" label="Import conversations" text="Import" onClick={importFiles} />
        <IconButton
          icon="download"
          label="Export all conversations"
          text="Export"
          disabled={conversations.value.length === 0}
          onClick={async () => download('foretoken-chats.json', await exported())}
        />
      </div>
      {deleting && (
        <Dialog title="Delete this conversation?" onClose={() => setDeleting(null)} class="small">
          <p>
            “{deleting.title}” and all its branches will be gone from this browser. There is no way back.
          </p>
          <div class="dialog-buttons">
            <button type="button" class="button" onClick={() => setDeleting(null)}>
              Keep it
            </button>
            <button
              type="button"
              class="button danger"
              onClick={() => {
                void remove(deleting.id);
                setDeleting(null);
              }}
            >
              Delete
            </button>
          </div>
        </Dialog>
      )}
    </nav>
  );
}
