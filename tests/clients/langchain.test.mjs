// LangChain's ChatOpenAI, on chat completions and on responses.
import assert from 'node:assert/strict';
import test from 'node:test';
import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { z } from 'zod';
import { capital, clock, idle, person, startServer, story, tooLong } from './support.mjs';

for (const useResponsesApi of [false, true]) {
  test(`@langchain/openai, ${useResponsesApi ? 'responses' : 'chat'}`, async (t) => {
    const server = await startServer(t, ['--context', '2048']);
    const model = new ChatOpenAI({
      model: 'v4-nano-dspark',
      apiKey: 'none',
      temperature: 0,
      maxRetries: 0,
      streamUsage: true,
      useResponsesApi,
      configuration: { baseURL: server.base },
    });
    let whole;

    await t.test('chat and usage', async () => {
      whole = await model.invoke(capital.question);
      assert.match(whole.text, capital.answer);
      assert.ok(whole.usage_metadata.input_tokens > 0 && whole.usage_metadata.output_tokens > 0);
    });

    await t.test('a system message alone', async () => {
      assert.match((await model.invoke([new SystemMessage(capital.question)])).text, /\w/);
    });

    await t.test('streaming', async () => {
      let all;
      for await (const chunk of await model.stream(capital.question)) all = all ? all.concat(chunk) : chunk;
      assert.equal(all.text, whole.text);
      assert.equal(all.usage_metadata.output_tokens, whole.usage_metadata.output_tokens);
    });

    await t.test('tools', async () => {
      const getTime = tool(async () => JSON.stringify(clock.result), {
        name: clock.name,
        description: clock.description,
        schema: z.object({ city: z.string() }),
      });
      const bound = model.bindTools([getTime]);
      const messages = [new HumanMessage(clock.question)];
      const first = await bound.invoke(messages);
      assert.deepEqual(first.tool_calls.map(({ name, args }) => ({ name, args })), [
        { name: clock.name, args: { city: clock.city } },
      ]);
      const result = await getTime.invoke(first.tool_calls[0]);
      assert.ok(result instanceof ToolMessage);
      assert.match((await bound.invoke([...messages, first, result])).text, clock.answer);
    });

    await t.test('structured output', async () => {
      const schema = z.object({ name: z.string(), job: z.string(), city: z.string() });
      for (const method of ['jsonSchema', 'functionCalling']) {
        const structured = model.withStructuredOutput(schema, { name: 'person', method });
        const found = await structured.invoke(person.question);
        assert.deepEqual(Object.keys(found), Object.keys(person.answer), method);
        if (method === 'jsonSchema') assert.deepEqual(found, person.answer);
      }
    });

    await t.test('errors', async () => {
      await assert.rejects(model.invoke(tooLong), /maximum context length/);
    });

    await t.test('aborts', async () => {
      const controller = new AbortController();
      await assert.rejects(async () => {
        for await (const chunk of await model.stream(story, { signal: controller.signal })) {
          if (chunk) controller.abort();
        }
      });
      await idle(server);
    });
  });
}
