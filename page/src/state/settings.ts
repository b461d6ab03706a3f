// What holds for all conversations, in localStorage.
import { effect, signal } from '@preact/signals';
import { type Params, defaultParams } from '../data/types';

function read<T>(name: string, otherwise: T): T {
  try {
    const text = localStorage.getItem(`foretoken.${name}`);
    return text === null ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}

function kept<T>(name: string, otherwise: T) {
  const value = signal<T>(read(name, otherwise));
  effect(() => {
    try {
      localStorage.setItem(`foretoken.${name}`, JSON.stringify(value.value));
    } catch {
      // a browser that keeps nothing: it holds until the page is closed
    }
  });
  return value;
}

export const apiKey = kept('key', '');
export const glassOpen = kept('glass', false);
export const sidebarOpen = kept('sidebar', true);
export const showProbabilities = kept('probabilities', true);
// Of new conversations: those that were set last.
export const lastParams = kept<Params>('params', defaultParams);
lastParams.value = { ...defaultParams, ...lastParams.peek() };
