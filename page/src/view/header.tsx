// The line above the conversation: what is open, and how the server is.
import { current } from '../state/conversations';
import { served, server } from '../state/server';
import { glassOpen, sidebarOpen } from '../state/settings';
import { percent } from './format';
import { IconButton } from './parts';

function serverWords(): string {
  const state = server.value;
  switch (state.kind) {
    case 'ok':
      return served.value?.id ?? 'ready';
    case 'connecting':
      return 'connecting';
    case 'loading':
      return `loading the model, ${percent(state.progress)}`;
    case 'stopping':
      return 'the server is stopping';
    case 'failed':
      return 'the engine has failed: restart the server';
    case 'unreachable':
      return 'the server cannot be reached';
    case 'key':
      return 'a key is needed';
  }
}

export function Header({ shortcuts }: { shortcuts: () => void }) {
  return (
    <header class="top">
      {!sidebarOpen.value && (
        <IconButton icon="menu" label="Show the list of conversations" onClick={() => (sidebarOpen.value = true)} />
      )}
      <h1 class="title">{current.value.title || 'New chat'}</h1>
      <p class={`server ${server.value.kind}`} role="status">
        <span class="dot" aria-hidden="true" />
        <span>{serverWords()}</span>
      </p>
      <IconButton icon="keyboard" label="Keyboard shortcuts" class="wide" onClick={shortcuts} />
      <IconButton
        icon="glass"
        label="Glass box: how each token came"
        text="Glass box"
        class="glass-switch"
        pressed={glassOpen.value}
        onClick={() => (glassOpen.value = !glassOpen.value)}
      />
    </header>
  );
}
