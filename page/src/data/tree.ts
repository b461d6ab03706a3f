// Branches of a conversation: pure functions over messages with parent pointers.
import type { Message } from './types';

export type Messages = ReadonlyMap<string, Message>;

// From the root to `leaf`.
export function pathTo(messages: Messages, leaf: string | null): Message[] {
  const path: Message[] = [];
  for (let at = leaf; at !== null; ) {
    const message = messages.get(at);
    if (!message || path.length > messages.size) break; // a broken import must not hang the page
    path.push(message);
    at = message.parent;
  }
  return path.reverse();
}

function byTime(a: Message, b: Message): number {
  return a.created - b.created || (a.id < b.id ? -1 : 1);
}

export function childrenOf(messages: Messages, parent: string | null): Message[] {
  return [...messages.values()].filter((message) => message.parent === parent).sort(byTime);
}

// The branches that begin where `message` does, itself among them.
export function siblingsOf(messages: Messages, message: Message): Message[] {
  return childrenOf(messages, message.parent).filter((other) => other.role === message.role);
}

// The newest leaf below `from`: where a switch to that branch leads.
export function newestLeaf(messages: Messages, from: string): string {
  for (let at = from; ; ) {
    const newest = childrenOf(messages, at).at(-1);
    if (!newest) return at;
    at = newest.id;
  }
}
