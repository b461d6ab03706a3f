// Conversations in IndexedDB.
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { Conversation, Message, Trace } from './types';

interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation };
  messages: { key: string; value: Message; indexes: { conversation: string } };
  traces: { key: string; value: Trace }; // by message
}

let opened: Promise<IDBPDatabase<Schema>> | undefined;

function database(): Promise<IDBPDatabase<Schema>> {
  opened ??= openDB<Schema>('foretoken', 1, {
    upgrade(db) {
      db.createObjectStore('conversations', { keyPath: 'id' });
      db.createObjectStore('messages', { keyPath: 'id' }).createIndex('conversation', 'conversation');
      db.createObjectStore('traces');
    },
  });
  return opened;
}

export async function allConversations(): Promise<Conversation[]> {
  return (await database()).getAll('conversations');
}

export async function messagesOf(conversation: string): Promise<Message[]> {
  return (await database()).getAllFromIndex('messages', 'conversation', conversation);
}

export async function allMessages(): Promise<Message[]> {
  return (await database()).getAll('messages');
}

export async function putConversation(conversation: Conversation): Promise<void> {
  await (await database()).put('conversations', conversation);
}

export async function putMessage(message: Message): Promise<void> {
  await (await database()).put('messages', message);
}

export async function traceOf(message: string): Promise<Trace | undefined> {
  return (await database()).get('traces', message);
}

export async function putTrace(message: string, trace: Trace): Promise<void> {
  await (await database()).put('traces', trace, message);
}

export async function deleteConversation(id: string): Promise<void> {
  const transaction = (await database()).transaction(['conversations', 'messages', 'traces'], 'readwrite');
  const messages = transaction.objectStore('messages');
  for (const key of await messages.index('conversation').getAllKeys(id)) {
    messages.delete(key);
    transaction.objectStore('traces').delete(key);
  }
  transaction.objectStore('conversations').delete(id);
  await transaction.done;
}

// All of it or nothing.
export async function putAll(conversations: Conversation[], messages: Message[]): Promise<void> {
  const transaction = (await database()).transaction(['conversations', 'messages'], 'readwrite');
  for (const conversation of conversations) transaction.objectStore('conversations').put(conversation);
  for (const message of messages) transaction.objectStore('messages').put(message);
  await transaction.done;
}
