// The keyboard: one list that is both what is shown and what is done.
import { Dialog } from './parts';

export interface Shortcut {
  keys: string[]; // as shown
  does: string;
  matches: (event: KeyboardEvent, typing: boolean) => boolean;
  run: () => void;
}

const control = (event: KeyboardEvent) => event.ctrlKey || event.metaKey;
const bare = (event: KeyboardEvent, typing: boolean) => !typing && !control(event) && !event.altKey;

export const match = {
  bare: (key: string) => (event: KeyboardEvent, typing: boolean) => bare(event, typing) && event.key === key,
  control: (key: string, shift = false) => (event: KeyboardEvent) =>
    control(event) && event.shiftKey === shift && event.key.toLowerCase() === key,
  escape: (event: KeyboardEvent) => event.key === 'Escape',
};

const elsewhere: [string[], string][] = [
  [['Enter'], 'Send the message'],
  [['Shift', 'Enter'], 'Begin a new line'],
  [['F2'], 'Rename the conversation that has the focus'],
  [['←', '→'], 'Walk through tokens in the glass box'],
];

export function listen(shortcuts: Shortcut[]): () => void {
  const pressed = (event: KeyboardEvent) => {
    if (event.defaultPrevented || document.querySelector('dialog[open]')) return;
    const target = event.target as HTMLElement;
    const typing = target.matches('input, textarea, select');
    const found = shortcuts.find((shortcut) => shortcut.matches(event, typing));
    if (!found) return;
    event.preventDefault();
    found.run();
  };
  document.addEventListener('keydown', pressed);
  return () => document.removeEventListener('keydown', pressed);
}

export function ShortcutsDialog({ shortcuts, onClose }: { shortcuts: Shortcut[]; onClose: () => void }) {
  const rows: [string[], string][] = [
    ...elsewhere.slice(0, 2),
    ...shortcuts.map((shortcut): [string[], string] => [shortcut.keys, shortcut.does]),
    ...elsewhere.slice(2),
  ];
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose} class="small">
      <table class="shortcuts">
        <tbody>
          {rows.map(([keys, does]) => (
            <tr key={does}>
              <th scope="row">{does}</th>
              <td>
                {keys.map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Dialog>
  );
}
