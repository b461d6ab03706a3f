// The Agents SDK of OpenAI, on chat completions and on responses.
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  Agent,
  OpenAIChatCompletionsModel,
  OpenAIResponsesModel,
  run,
  setTracingDisabled,
  tool,
} from '@openai/agents';
import OpenAI from 'openai';
import { z } from 'zod';
import { capital, clock, person, startServer, tooLong } from './support.mjs';

setTracingDisabled(true); // it would call OpenAI

for (const Model of [OpenAIChatCompletionsModel, OpenAIResponsesModel]) {
  test(`@openai/agents, ${Model.name}`, async (t) => {
    const server = await startServer(t, ['--context', '2048']);
    const client = new OpenAI({ baseURL: server.base, apiKey: 'none' });
    const model = new Model(client, 'v4-nano-dspark');
    const modelSettings = { temperature: 0 };
    const agent = new Agent({ name: 'Assistant', instructions: 'You are a helpful assistant.', model, modelSettings });

    await t.test('chat and usage', async () => {
      const result = await run(agent, capital.question);
      assert.match(result.finalOutput, capital.answer);
      assert.ok(result.state.usage.inputTokens > 0 && result.state.usage.outputTokens > 0);
    });

    await t.test('streaming', async () => {
      const result = await run(agent, capital.question, { stream: true });
      let text = '';
      for await (const piece of result.toTextStream()) text += piece;
      await result.completed;
      assert.equal(text, result.finalOutput);
      assert.match(text, capital.answer);
    });

    await t.test('a loop of tools', async () => {
      const asked = [];
      const withTools = agent.clone({
        tools: [
          tool({
            name: clock.name,
            description: clock.description,
            parameters: z.object({ city: z.string() }),
            execute: async ({ city }) => {
              asked.push(city);
              return JSON.stringify(clock.result);
            },
          }),
        ],
      });
      for (const stream of [false, true]) {
        const result = await run(withTools, clock.question, { stream });
        if (stream) await result.completed;
        assert.match(result.finalOutput, clock.answer);
      }
      assert.deepEqual(asked, [clock.city, clock.city]);
    });

    await t.test('structured output', async () => {
      const outputType = z.object({ name: z.string(), job: z.string(), city: z.string() });
      const result = await run(agent.clone({ outputType }), person.question);
      assert.deepEqual(result.finalOutput, person.answer);
    });

    await t.test('errors', async () => {
      await assert.rejects(run(agent, tooLong), /maximum context length/);
    });
  });
}
