// Line icons on a 20-pixel grid.
const paths = {
  plus: 'M10 4v12M4 10h12',
  search: 'M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12ZM13.500 13.500 17 17',
  send: 'M10 16V4M4.500 9.500 10 4l5.500 5.500',
  stop: 'M6 6h8v8H6z',
  copy: 'M7 7V4h9v9h-3M4 7h9v9H4z',
  check: 'm4 10.500 4 4 8-9',
  edit: 'M4 16v-3l9-9 3 3-9 9H4Z',
  redo: 'M16 10a6 6 0 1 1-1.900-4.400M16 3v3.500h-3.500',
  more: 'M4.500 10h.01M10 10h.01M15.500 10h.01',
  trash: 'M4 6h12M8 6V4h4v2M6 6l.7 10h6.600L14 6',
  download: 'M10 4v8M6.500 9 10 12.500 13.500 9M4 16h12',
  upload: 'M10 12V4M6.500 7 10 3.500 13.500 7M4 16h12',
  menu: 'M4 6h12M4 10h12M4 14h12',
  close: 'm5 5 10 10M15 5 5 15',
  left: 'm12 5-5 5 5 5',
  right: 'm8 5 5 5-5 5',
  down: 'm5 8 5 5 5-5',
  clip: 'm14.500 9.500-5 5a3.200 3.200 0 0 1-4.500-4.500l5.700-5.700a2.100 2.100 0 0 1 3 3l-5.600 5.600a1 1 0 0 1-1.500-1.500l4.900-4.900',
  tool: 'M13 3.500a3.500 3.500 0 0 0-3.300 4.700L4 14l2 2 5.800-5.700A3.500 3.500 0 0 0 16.500 7l-2.200 1.700-2-2L14 4.500a3.500 3.500 0 0 0-1-1Z',
  sliders: 'M4 6h6M14 6h2M4 14h2M10 14h6M12 4v4M8 12v4',
  keyboard: 'M3 6h14v8.500H3zM6 9h.01M9 9h.01M12 9h.01M14.500 9h.01M7 12h6',
  glass: 'M3.500 10h3M6.500 10l4-4.500h3M6.500 10h7M6.500 10l4 4.500h3M16 5.500h.01M16.300 10h.01M16 14.500h.01',
  bulb: 'M7.500 14.500h5M8.500 17h3M10 3a5 5 0 0 0-3 9c.5.400.800.900.800 1.500h4.400c0-.600.300-1.100.800-1.500a5 5 0 0 0-3-9Z',
  warn: 'M10 3.500 17.500 16h-15zM10 8v4M10 14h.01',
  play: 'm7 5 8 5-8 5z',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" />
      <path d="M12 16h5M17 16l5-5.500M17 16l5 5.500" />
      <circle class="solid" cx="9.500" cy="16" r="3" />
      <circle class="solid" cx="23" cy="9.500" r="2.500" />
      <circle class="open" cx="23" cy="22.500" r="2.200" />
    </svg>
  );
}
