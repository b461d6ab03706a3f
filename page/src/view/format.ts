// Numbers and moments as people read them.
const whole = new Intl.NumberFormat('en');
const one = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const two = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const count = (value: number) => whole.format(Math.round(value));
export const decimal = (value: number) => two.format(value);

export function percent(share: number): string {
  const value = 100 * share;
  return `${value > 0 && value < 1 ? '<1' : value > 99 && value < 100 ? '>99' : Math.round(value)} %`;
}

export function milliseconds(value: number): string {
  if (value < 1) return `${two.format(value)} ms`;
  if (value < 1000) return `${value < 10 ? one.format(value) : whole.format(Math.round(value))} ms`;
  return seconds(value / 1000);
}

export function seconds(value: number): string {
  if (value < 60) return `${value < 10 ? one.format(value) : whole.format(Math.round(value))} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

export function rate(value: number): string {
  return `${value < 100 ? one.format(value) : whole.format(Math.round(value))} tokens/s`;
}

const DAY = 86_400_000;

// The heading that a conversation of that time stands under.
export function ageGroup(moment: number): string {
  const today = new Date().setHours(0, 0, 0, 0);
  if (moment >= today) return 'Today';
  if (moment >= today - DAY) return 'Yesterday';
  if (moment >= today - 7 * DAY) return 'Last 7 days';
  if (moment >= today - 30 * DAY) return 'Last 30 days';
  return 'Older';
}

// Spaces and line ends made visible.
export function visible(text: string): string {
  if (text === '') return '∅';
  return text.replace(/ /g, '·').replace(/\n/g, '↵').replace(/\t/g, '⇥');
}
