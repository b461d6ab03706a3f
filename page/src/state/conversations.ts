// The conversations, and the one that is shown.
import { batch, computed, signal } from '@preact/signals';
import * as store from '../data/store';
import { exportText, importText } from '../data/transfer';
import { newestLeaf, pathTo } from '../data/tree';
import { type Conversation, type Message, type Params, newId } from '../data/types';
import { lastParams } from './settings';

export const conversations = signal<Conversation[]>([]);
export const currentId = signal<string | null>(null);
export const messages = signal<ReadonlyMap<string, Message>>(new Map()); // of the current conversation
// What is typed into a conversation that does not exist yet.
export const draft = signal<Conversation>(fresh());
export const storeFailure = signal('');

export const current = computed<Conversation>(
  () => conversations.value.find((one) => one.id === currentId.value) ?? draft.value,
);
export const path = computed(() => pathTo(messages.value, current.value.leaf));

function fresh(): Conversation {
  const now = Date.now();
  return {
    id: newId(),
    title: '',
    created: now,
    updated: now,
    leaf: null,
    system: '',
    tools: '',
    params: { ...lastParams.peek() },
  };
}

async function kept(work: Promise<unknown>): Promise<void> {
  try {
    await work;
    storeFailure.value = '';
  } catch (error) {
    storeFailure.value = `This browser does not keep conversations: ${error instanceof Error ? error.message : error}`;
  }
}

export async function loadConversations(): Promise<void> {
  await kept(
    (async () => {
      const all = await store.allConversations();
      conversations.value = all.sort((a, b) => b.updated - a.updated);
    })(),
  );
  const wanted = location.hash.slice(1);
  if (conversations.peek().some((one) => one.id === wanted)) await openConversation(wanted);
}

export async function openConversation(id: string): Promise<void> {
  let found: Message[] = [];
  await kept(store.messagesOf(id).then((list) => (found = list)));
  batch(() => {
    currentId.value = id;
    messages.value = new Map(found.map((message) => [message.id, orphaned(message)]));
  });
  history.replaceState(null, '', `#${id}`);
}

// A reply that nobody writes any more: the page was closed meanwhile.
const running = new Set<string>();
export function setRunning(id: string, runs: boolean): void {
  if (runs) running.add(id);
  else running.delete(id);
}
function orphaned(message: Message): Message {
  if (message.status !== 'streaming' || running.has(message.id)) return message;
  return {
    ...message,
    status: 'error',
    failure: { kind: 'dropped', message: 'The page was closed while this reply was being written.' },
  };
}

export function newConversation(): void {
  batch(() => {
    currentId.value = null;
    messages.value = new Map();
    draft.value = fresh();
  });
  history.replaceState(null, '', location.pathname);
}

// Changes the conversation that is shown, or another one.
export function change(update: Partial<Conversation>, id: string | null = currentId.peek()): void {
  const known = conversations.peek().find((one) => one.id === id);
  if (!known) {
    draft.value = { ...draft.peek(), ...update };
    return;
  }
  const changed = { ...known, ...update };
  conversations.value = conversations
    .peek()
    .map((one) => (one.id === id ? changed : one))
    .sort((a, b) => b.updated - a.updated);
  void kept(store.putConversation(changed));
}

export function changeParams(update: Partial<Params>): void {
  const params = { ...current.peek().params, ...update };
  lastParams.value = { ...params, seed: null };
  change({ params });
}

// The conversation on the screen becomes one that is kept.
export function begin(): string {
  const id = currentId.peek();
  if (id !== null) return id;
  const conversation = draft.peek();
  conversations.value = [conversation, ...conversations.peek()];
  void kept(store.putConversation(conversation));
  currentId.value = conversation.id;
  history.replaceState(null, '', `#${conversation.id}`);
  draft.value = fresh();
  return conversation.id;
}

// Writes a message; the newest one becomes the leaf that is shown.
export function putMessage(message: Message, keep = true): void {
  if (message.conversation === currentId.peek()) {
    messages.value = new Map(messages.peek()).set(message.id, message);
  }
  if (keep) void kept(store.putMessage(message));
}

export function showBranch(message: Message): void {
  change({ leaf: newestLeaf(messages.peek(), message.id) });
}

export async function remove(id: string): Promise<void> {
  if (currentId.peek() === id) newConversation();
  conversations.value = conversations.peek().filter((one) => one.id !== id);
  await kept(store.deleteConversation(id));
}

export async function exported(only?: string): Promise<string> {
  const all = await store.allMessages();
  const chosen = conversations.peek().filter((one) => !only || one.id === only);
  const ids = new Set(chosen.map((one) => one.id));
  return exportText({ conversations: chosen, messages: all.filter((message) => ids.has(message.conversation)) });
}

export async function importFile(text: string): Promise<number> {
  const bundle = importText(text);
  await store.putAll(bundle.conversations, bundle.messages);
  conversations.value = [...bundle.conversations, ...conversations.peek()].sort((a, b) => b.updated - a.updated);
  return bundle.conversations.length;
}

// Conversations whose title or messages hold all words of `query`.
export async function search(query: string): Promise<Set<string>> {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = new Map(conversations.peek().map((one) => [one.id, one.title.toLowerCase()]));
  for (const message of await store.allMessages()) {
    texts.set(message.conversation, `${texts.get(message.conversation) ?? ''}\n${message.content.toLowerCase()}`);
  }
  return new Set([...texts].filter(([, text]) => words.every((word) => text.includes(word))).map(([id]) => id));
}
