// Figures of a trace.
import type { Step, Trace } from './types';

export interface Depth {
  drafted: number; // steps that verified a token so deep
  accepted: number; // steps in which one stood
}

// The first entry is depth 1.
export function byDepth(steps: readonly Step[]): Depth[] {
  const depths: Depth[] = [];
  const at = (depth: number) => (depths[depth - 1] ??= { drafted: 0, accepted: 0 });
  for (const step of steps) {
    let deepest = 0;
    let accepted = 0;
    for (const node of step.tree) {
      deepest = Math.max(deepest, node.depth);
      if (node.accepted) accepted = Math.max(accepted, node.depth);
    }
    for (let depth = 1; depth <= deepest; ++depth) at(depth).drafted += 1;
    for (let depth = 1; depth <= accepted; ++depth) at(depth).accepted += 1;
  }
  return depths;
}

export interface Times {
  draft: number;
  verify: number;
  commit: number;
}

// Of the steps that decode: the first one reads the prompt's last tokens.
export function times(steps: readonly Step[]): Times {
  const sum: Times = { draft: 0, verify: 0, commit: 0 };
  for (const step of steps.slice(1)) {
    sum.draft += step.draft;
    sum.verify += step.verify;
    sum.commit += step.commit;
  }
  return sum;
}

export interface Speed {
  perStep: number; // tokens of a decoding step, on average
  perSecond: number; // tokens by the server's own clock
  seconds: number;
  steps: number;
  tokens: number;
}

export function speed(trace: Trace): Speed {
  const decoding = trace.steps.slice(1);
  const tokens = decoding.reduce((sum, step) => sum + step.tokens, 0);
  const { draft, verify, commit } = times(trace.steps);
  const seconds = (draft + verify + commit) / 1000;
  return {
    perStep: decoding.length > 0 ? tokens / decoding.length : 0,
    perSecond: seconds > 0 ? tokens / seconds : 0,
    seconds,
    steps: decoding.length,
    tokens: trace.tokens.length,
  };
}
