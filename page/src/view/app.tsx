// The page as a whole.
import { useEffect, useState } from 'preact/hooks';
import { newConversation } from '../state/conversations';
import { announcement, live, stop } from '../state/generation';
import { glassOpen, sidebarOpen } from '../state/settings';
import { Banner } from './banner';
import { Composer, attach } from './composer';
import { GlassBox } from './glass_box';
import { Header } from './header';
import { SettingsDialog } from './settings_dialog';
import { type Shortcut, ShortcutsDialog, listen, match } from './shortcuts';
import { Sidebar } from './sidebar';
import { Thread } from './thread';
import { Tooltip } from './tooltip';

function focusSoon(id: string): void {
  setTimeout(() => document.getElementById(id)?.focus(), 0);
}

function useDrop(): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const carries = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    const drag = (event: DragEvent) => {
      if (!carries(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      if (!carries(event)) return;
      event.preventDefault();
      setOver(false);
      void attach(event.dataTransfer!.files);
    };
    document.addEventListener('dragover', drag);
    document.addEventListener('dragleave', leave);
    document.addEventListener('drop', drop);
    return () => {
      document.removeEventListener('dragover', drag);
      document.removeEventListener('dragleave', leave);
      document.removeEventListener('drop', drop);
    };
  }, []);
  return over;
}

export function App() {
  const [dialog, setDialog] = useState<'settings' | 'shortcuts' | null>(null);
  const over = useDrop();
  const shortcuts: Shortcut[] = [
    { keys: ['Esc'], does: 'Stop the reply', matches: (event) => live.peek() !== null && match.escape(event), run: stop },
    { keys: ['Ctrl', 'Shift', 'O'], does: 'New chat', matches: match.control('o', true), run: newConversation },
    {
      keys: ['Ctrl', 'K'],
      does: 'Search conversations',
      matches: match.control('k'),
      run: () => {
        sidebarOpen.value = true;
        focusSoon('search');
      },
    },
    { keys: ['/'], does: 'Write a message', matches: match.bare('/'), run: () => focusSoon('message') },
    { keys: ['G'], does: 'Open or close the glass box', matches: match.bare('g'), run: () => (glassOpen.value = !glassOpen.peek()) },
    { keys: ['S'], does: 'System prompt, tools and parameters', matches: match.bare('s'), run: () => setDialog('settings') },
    { keys: ['?'], does: 'This list', matches: match.bare('?'), run: () => setDialog('shortcuts') },
  ];
  useEffect(() => listen(shortcuts), []);
  return (
    <div class={`app ${glassOpen.value ? 'with-glass' : ''} ${sidebarOpen.value ? 'with-sidebar' : ''}`}>
      <Sidebar />
      {sidebarOpen.value && <div class="scrim" onClick={() => (sidebarOpen.value = false)} />}
      <main>
        <Header shortcuts={() => setDialog('shortcuts')} />
        <Banner />
        <Thread />
        <Composer settings={() => setDialog('settings')} />
      </main>
      {glassOpen.value && <GlassBox />}
      <Tooltip />
      {over && <div class="drop">Drop text files to attach them</div>}
      {dialog === 'settings' && <SettingsDialog onClose={() => setDialog(null)} />}
      {dialog === 'shortcuts' && <ShortcutsDialog shortcuts={shortcuts} onClose={() => setDialog(null)} />}
      <p class="hidden" role="status">
        {announcement.value}
      </p>
    </div>
  );
}
