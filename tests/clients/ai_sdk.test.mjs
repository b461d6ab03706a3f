// Vercel's AI SDK, with its providers for compatible servers and for OpenAI.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateText, Output, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import { capital, clock, idle, person, startServer, story, tooLong } from './support.mjs';

const tools = (asked) => ({
  [clock.name]: tool({
    description: clock.description,
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      asked.push(city);
      return clock.result;
    },
  }),
});

/** What every provider does; `reasoning`: whether it passes reasoning on. */
async function checkProvider(t, server, model, { reasoning }) {
  const ask = { model, temperature: 0, prompt: capital.question };
  let whole;

  await t.test('chat and usage', async () => {
    whole = await generateText(ask);
    assert.match(whole.text, capital.answer);
    assert.equal(whole.finishReason, 'stop');
    assert.ok(whole.usage.inputTokens > 0 && whole.usage.outputTokens > 0);
    if (reasoning) assert.ok(whole.reasoningText.length > 0);
  });

  await t.test('streaming', async () => {
    const result = streamText(ask);
    let text = '';
    let thought = '';
    for await (const part of result.fullStream) {
      if (part.type === 'text-delta') text += part.text;
      if (part.type === 'reasoning-delta') thought += part.text;
      assert.notEqual(part.type, 'error');
    }
    assert.equal(text, whole.text);
    if (reasoning) assert.equal(thought, whole.reasoningText);
    assert.equal((await result.usage).outputTokens, whole.usage.outputTokens);
  });

  await t.test('a loop of tools', async () => {
    const asked = [];
    const loop = { ...ask, prompt: clock.question, tools: tools(asked), stopWhen: stepCountIs(3) };
    assert.match((await generateText(loop)).text, clock.answer);
    const streamed = streamText(loop);
    await streamed.consumeStream();
    assert.match(await streamed.text, clock.answer);
    assert.deepEqual(asked, [clock.city, clock.city]);
  });

  await t.test('structured output', async () => {
    const schema = z.object({ name: z.string(), job: z.string(), city: z.string() });
    const result = await generateText({
      ...ask,
      prompt: person.question,
      output: Output.object({ schema }),
    });
    assert.deepEqual(result.output, person.answer);
  });

  await t.test('errors', async () => {
    await assert.rejects(generateText({ ...ask, prompt: tooLong }), (error) => {
      assert.ok(APICallError.isInstance(error));
      assert.equal(error.statusCode, 400);
      assert.match(error.message, /maximum context length/);
      return true;
    });
  });

  await t.test('aborts', async () => {
    const controller = new AbortController();
    const result = streamText({ ...ask, temperature: 1, prompt: story, abortSignal: controller.signal });
    for await (const part of result.fullStream) {
      if (part.type === 'text-delta' || part.type === 'reasoning-delta') controller.abort();
    }
    await idle(server);
  });
}

test('ai with @ai-sdk/openai-compatible', async (t) => {
  const server = await startServer(t, ['--context', '2048']);
  const provider = createOpenAICompatible({
    name: 'foretoken',
    baseURL: server.base,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  await checkProvider(t, server, provider('v4-nano-dspark'), { reasoning: true });
});

test('ai with @ai-sdk/openai, chat', async (t) => {
  const server = await startServer(t, ['--context', '2048']);
  const provider = createOpenAI({ baseURL: server.base, apiKey: 'none' });
  // It leaves reasoning of chat completions out.
  await checkProvider(t, server, provider.chat('v4-nano-dspark'), { reasoning: false });
});

test('ai with @ai-sdk/openai, responses', async (t) => {
  const server = await startServer(t, ['--context', '2048']);
  const provider = createOpenAI({ baseURL: server.base, apiKey: 'none' });
  await checkProvider(t, server, provider('v4-nano-dspark'), { reasoning: false });
});
