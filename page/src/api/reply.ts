// A reply as it comes: chunks of the stream into text, calls and the trace of its tokens.
import type { Report, Source, Step, ToolCall, Trace, Usage } from '../data/types';

// What is read of a chunk; anything may be missing.
interface LogprobEntry {
  token: string;
  logprob: number;
  bytes: number[] | null;
  top_logprobs: { token: string; logprob: number }[];
}
interface TokenEntry {
  token: string;
  reasoning: boolean;
  step: number;
  depth: number;
  source: Source;
  probability: number | null;
}
interface StepEntry {
  step: number;
  draft_ms: number;
  verify_ms: number;
  commit_ms: number;
  tree: Step['tree'];
}
interface CallEntry {
  index: number;
  id?: string;
  function?: { name?: string; arguments?: string };
}
export interface Chunk {
  error?: { message?: string };
  choices?: {
    delta?: { content?: string; reasoning_content?: string; tool_calls?: CallEntry[] };
    logprobs?: { content?: LogprobEntry[]; reasoning_content?: LogprobEntry[] } | null;
    speculation?: { tokens: TokenEntry[]; steps: StepEntry[] };
    finish_reason?: string | null;
  }[];
  usage?: {
    prompt_tokens: number;
    completion_tokens: number;
    prompt_tokens_details?: { cached_tokens?: number };
  } | null;
  metrics?: { speculative_decoding?: Report };
}

export class ReplyReader {
  content = '';
  reasoning = '';
  calls: ToolCall[] = [];
  trace: Trace = { tokens: [], steps: [] };
  finish: string | null = null;
  usage?: Usage;
  report?: Report;
  error?: string;

  private places = new Map<number, number>(); // from the server's step numbers to places in trace.steps
  // Tokens may end within a character: the token that completes it gets it.
  private decoder = new TextDecoder();

  // A continued reply begins with what it is continued from.
  constructor(content = '', reasoning = '', trace?: Trace) {
    this.content = content;
    this.reasoning = reasoning;
    if (trace) this.trace = trace;
  }

  take(chunk: Chunk): void {
    if (chunk.error) this.error = chunk.error.message ?? 'The server reports an error.';
    const choice = chunk.choices?.[0];
    if (choice) {
      this.content += choice.delta?.content ?? '';
      this.reasoning += choice.delta?.reasoning_content ?? '';
      for (const call of choice.delta?.tool_calls ?? []) this.takeCall(call);
      this.finish = choice.finish_reason ?? this.finish;
      if (choice.speculation) this.takeTokens(choice.speculation, choice.logprobs ?? undefined);
    }
    if (chunk.usage) {
      this.usage = {
        prompt: chunk.usage.prompt_tokens,
        cached: chunk.usage.prompt_tokens_details?.cached_tokens ?? 0,
        completion: chunk.usage.completion_tokens,
      };
    }
    this.report = chunk.metrics?.speculative_decoding ?? this.report;
  }

  private takeCall(entry: CallEntry): void {
    const call = (this.calls[entry.index] ??= { id: '', name: '', arguments: '' });
    if (entry.id) call.id = entry.id;
    call.name += entry.function?.name ?? '';
    call.arguments += entry.function?.arguments ?? '';
  }

  private takeTokens(
    speculation: { tokens: TokenEntry[]; steps: StepEntry[] },
    logprobs?: { content?: LogprobEntry[]; reasoning_content?: LogprobEntry[] },
  ): void {
    for (const step of speculation.steps) {
      this.places.set(step.step, this.trace.steps.length);
      this.trace.steps.push({
        draft: step.draft_ms,
        verify: step.verify_ms,
        commit: step.commit_ms,
        tree: step.tree,
        tokens: 0,
      });
    }
    let content = 0;
    let reasoning = 0;
    for (const token of speculation.tokens) {
      const place = this.places.get(token.step);
      if (place === undefined) continue;
      this.trace.steps[place]!.tokens += 1;
      const entry = token.reasoning ? logprobs?.reasoning_content?.[reasoning++] : logprobs?.content?.[content++];
      this.trace.tokens.push({
        text: entry?.bytes ? this.decoder.decode(new Uint8Array(entry.bytes), { stream: true }) : token.token,
        reasoning: token.reasoning,
        step: place,
        depth: token.depth,
        source: token.source,
        estimate: token.probability,
        logprob: entry?.logprob ?? null,
        top: entry?.top_logprobs.map((other) => [other.token, other.logprob]) ?? [],
      });
    }
  }
}
