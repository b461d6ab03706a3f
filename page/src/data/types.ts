// What is kept in the browser. A conversation is a tree of messages with parent pointers; `leaf` says which branch
// is shown.

export type Role = 'user' | 'assistant' | 'tool';

export interface ToolCall {
  id: string;
  name: string;
  arguments: string; // JSON as the model wrote it
}

export interface TextFile {
  name: string;
  text: string;
}

export type Status = 'streaming' | 'done' | 'stopped' | 'length' | 'error';

export interface Failure {
  kind: 'busy' | 'refused' | 'unreachable' | 'dropped' | 'key' | 'server';
  message: string;
}

export interface Timing {
  sent: number; // milliseconds since 1970
  first?: number;
  answered?: number; // the first token behind the reasoning
  end?: number;
}

export interface Usage {
  prompt: number;
  cached: number;
  completion: number;
}

export interface Message {
  id: string;
  conversation: string;
  parent: string | null;
  role: Role;
  created: number;
  content: string;
  files?: TextFile[]; // user
  callId?: string; // tool: which call this is the result of
  // assistant
  reasoning?: string;
  calls?: ToolCall[];
  status?: Status;
  failure?: Failure;
  timing?: Timing;
  usage?: Usage;
  report?: Report;
  params?: Params;
  seed?: number;
  continued?: boolean; // more than one request wrote it
}

export type Thinking = 'default' | 'off' | 'high' | 'max';

// null: the server's default.
export interface Params {
  thinking: Thinking;
  temperature: number | null;
  topP: number | null;
  topK: number | null;
  minP: number | null;
  presence: number | null;
  frequency: number | null;
  repetition: number | null;
  maxTokens: number | null;
  seed: number | null;
  stop: string; // one a line
  speculation: boolean;
  drafter: string; // '' = the server's choice
  tree: '' | 'best-first' | 'chain';
  maxNodes: number | null;
}

export const defaultParams: Params = {
  thinking: 'default',
  temperature: null,
  topP: null,
  topK: null,
  minP: null,
  presence: null,
  frequency: null,
  repetition: null,
  maxTokens: null,
  seed: null,
  stop: '',
  speculation: true,
  drafter: '',
  tree: '',
  maxNodes: null,
};

export interface Conversation {
  id: string;
  title: string;
  created: number;
  updated: number;
  leaf: string | null;
  system: string;
  tools: string; // JSON, '' = none
  params: Params;
}

// --- how a reply came (docs/api.md, "include_speculation") ---

export type Source = 'target' | 'model' | 'ngram' | 'both' | 'prediction' | 'forced';

export interface TokenTrace {
  text: string;
  reasoning: boolean;
  step: number; // index into steps
  depth: number; // 0: the target's own
  source: Source;
  estimate: number | null; // path probability, before verification
  logprob: number | null;
  top: [string, number][]; // alternatives with their log probabilities, likeliest first
}

export interface DraftNode {
  token: string;
  parent: number;
  depth: number;
  probability: number;
  source: Source;
  accepted: boolean;
}

export interface Step {
  draft: number; // milliseconds
  verify: number;
  commit: number;
  tree: DraftNode[];
  tokens: number; // shown of it
}

export interface Trace {
  tokens: TokenTrace[];
  steps: Step[];
}

// The server's own sums: metrics.speculative_decoding.
export interface Report {
  mean_acceptance_length: number;
  draft_acceptance_rate: number;
  num_spec_steps: number;
  num_accepted_draft_tokens: number;
  num_draft_tokens: number;
  drafter: string;
  drafted_per_position: number[];
  accepted_per_position: number[];
  fallbacks: Record<string, number>;
  queue_ms: number;
  prefill_ms: number;
  draft_ms: number;
  verify_ms: number;
  commit_ms: number;
}

export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
