// What keeps the server from answering, and the key that it may want.
import { useState } from 'preact/hooks';
import { server, watchServer } from '../state/server';
import { apiKey } from '../state/settings';
import { percent } from './format';
import { Icon } from './icons';

function KeyForm() {
  const [key, setKey] = useState('');
  const submit = (event: Event) => {
    event.preventDefault();
    apiKey.value = key.trim();
    void watchServer();
  };
  return (
    <form class="banner" onSubmit={submit}>
      <Icon name="warn" />
      <label>
        {apiKey.value ? 'The server does not know this key. Another one:' : 'This server wants a key:'}{' '}
        <input type="password" autocomplete="off" value={key} onInput={(event) => setKey(event.currentTarget.value)} />
      </label>
      <button type="submit" class="button primary" disabled={!key.trim()}>
        Use it
      </button>
    </form>
  );
}

export function Banner() {
  const state = server.value;
  switch (state.kind) {
    case 'key':
      return <KeyForm />;
    case 'loading':
      return (
        <div class="banner" role="status">
          <span>The model is loading</span>
          <progress max={1} value={state.progress} aria-label="Loading" />
          <span class="muted">{percent(state.progress)}</span>
        </div>
      );
    case 'unreachable':
      return (
        <div class="banner bad" role="alert">
          <Icon name="warn" />
          The server cannot be reached. The page tries again every second; what you have is kept.
        </div>
      );
    case 'stopping':
      return (
        <div class="banner bad" role="alert">
          <Icon name="warn" />
          The server is stopping and takes no new requests.
        </div>
      );
    case 'failed':
      return (
        <div class="banner bad" role="alert">
          <Icon name="warn" />
          The server's engine has failed. It has to be restarted; its log says why.
        </div>
      );
    default:
      return null;
  }
}
