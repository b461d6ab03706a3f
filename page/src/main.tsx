import { effect } from '@preact/signals';
import { render } from 'preact';
import { current, loadConversations } from './state/conversations';
import { watchServer } from './state/server';
import { App } from './view/app';
import { closeIfNarrow } from './view/sidebar';
import './style/base.css';
import './style/frame.css';
import './style/thread.css';
import './style/text.css';
import './style/dialogs.css';
import './style/glass.css';

closeIfNarrow();
effect(() => {
  const { title } = current.value;
  document.title = title ? `${title} · Foretoken` : 'Foretoken';
});
render(<App />, document.getElementById('app')!);
performance.mark('interactive');
void watchServer();
void loadConversations();
