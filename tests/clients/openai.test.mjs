// The SDK of OpenAI, on chat completions and text completions.
import assert from 'node:assert/strict';
import test from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { capital, clock, idle, person, startServer, story, tooLong } from './support.mjs';

const tool = {
  type: 'function',
  function: { name: clock.name, description: clock.description, parameters: clock.parameters },
};

test('openai', async (t) => {
  const server = await startServer(t, ['--context', '2048']);
  const client = new OpenAI({ baseURL: server.base, apiKey: 'none' });
  const models = [];
  for await (const model of client.models.list()) models.push(model.id);
  const model = models[0];
  const ask = { model, temperature: 0, messages: [{ role: 'user', content: capital.question }] };
  let whole;

  await t.test('models', async () => {
    assert.equal(models.length, 1);
    assert.equal((await client.models.retrieve(model)).id, model);
    await assert.rejects(client.models.retrieve('no-such-model'), OpenAI.NotFoundError);
  });

  await t.test('chat and usage', async () => {
    whole = await client.chat.completions.create(ask);
    assert.match(whole.choices[0].message.content, capital.answer);
    assert.equal(whole.choices[0].finish_reason, 'stop');
    const { prompt_tokens, completion_tokens, total_tokens } = whole.usage;
    assert.ok(prompt_tokens > 0 && completion_tokens > 0);
    assert.equal(total_tokens, prompt_tokens + completion_tokens);
    assert.ok(whole.usage.completion_tokens_details.reasoning_tokens > 0);
  });

  await t.test('streaming', async () => {
    const stream = await client.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    let content = '';
    let reasoning = '';
    let usage;
    for await (const chunk of stream) {
      content += chunk.choices[0]?.delta.content ?? '';
      reasoning += chunk.choices[0]?.delta.reasoning_content ?? '';
      usage = chunk.usage ?? usage;
    }
    assert.equal(content, whole.choices[0].message.content);
    assert.equal(reasoning, whole.choices[0].message.reasoning_content);
    assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
    const helped = client.chat.completions.stream(ask);
    assert.equal((await helped.finalMessage()).content, content);
  });

  await t.test('tools', async () => {
    const messages = [{ role: 'user', content: clock.question }];
    const first = await client.chat.completions.create({ ...ask, messages, tools: [tool] });
    assert.equal(first.choices[0].finish_reason, 'tool_calls');
    const [call] = first.choices[0].message.tool_calls;
    assert.equal(call.function.name, clock.name);
    assert.deepEqual(JSON.parse(call.function.arguments), { city: clock.city });
    messages.push(first.choices[0].message, {
      role: 'tool',
      tool_call_id: call.id,
      content: JSON.stringify(clock.result),
    });
    const second = await client.chat.completions.create({ ...ask, messages, tools: [tool] });
    assert.match(second.choices[0].message.content, clock.answer);
  });

  await t.test('forced tools', async () => {
    const greeting = [{ role: 'user', content: 'Hello' }];
    for (const tool_choice of ['required', { type: 'function', function: { name: clock.name } }]) {
      const reply = await client.chat.completions.create({ ...ask, messages: greeting, tools: [tool], tool_choice });
      const [call] = reply.choices[0].message.tool_calls;
      assert.equal(call.function.name, clock.name);
      assert.deepEqual(Object.keys(JSON.parse(call.function.arguments)), ['city']);
    }
  });

  await t.test('a loop of tools', async () => {
    const asked = [];
    const tools = [{
      type: 'function',
      function: {
        ...tool.function,
        parse: JSON.parse,
        function: (args) => {
          asked.push(args.city);
          return clock.result;
        },
      },
    }];
    for (const stream of [false, true]) {
      const runner = client.chat.completions.runTools({
        ...ask,
        messages: [{ role: 'user', content: clock.question }],
        tools,
        stream,
      });
      assert.match(await runner.finalContent(), clock.answer);
    }
    assert.deepEqual(asked, [clock.city, clock.city]);
  });

  await t.test('several choices, stop strings, seeds, logprobs', async () => {
    const several = await client.chat.completions.create({ ...ask, temperature: 1, seed: 5, n: 3 });
    assert.equal(several.choices.length, 3);
    const again = await client.chat.completions.create({ ...ask, temperature: 1, seed: 5, n: 3 });
    assert.deepEqual(again.choices, several.choices);
    const stopped = await client.chat.completions.create({ ...ask, stop: ['Italy'] });
    assert.equal(stopped.choices[0].message.content, whole.choices[0].message.content.split('Italy')[0]);
    const told = await client.chat.completions.create({ ...ask, logprobs: true, top_logprobs: 2 });
    const tokens = told.choices[0].logprobs.content;
    assert.equal(tokens.map((token) => token.token).join(''), whole.choices[0].message.content);
    assert.ok(tokens.every((token) => token.top_logprobs.length === 2 && token.logprob <= 0));
  });

  await t.test('structured output', async () => {
    const schema = z.object({ name: z.string(), job: z.string(), city: z.string() });
    const request = {
      ...ask,
      messages: [{ role: 'user', content: person.question }],
      response_format: zodResponseFormat(schema, 'person'),
    };
    const reply = await client.chat.completions.parse(request);
    assert.deepEqual(reply.choices[0].message.parsed, person.answer);
    const cut = client.chat.completions.parse({ ...request, max_tokens: 5 });
    await assert.rejects(cut, OpenAI.LengthFinishReasonError ?? /length/i);
    const broken = { type: 'json_schema', json_schema: { name: 'broken', schema: { type: 'no-such-type' } } };
    await assert.rejects(client.chat.completions.create({ ...request, response_format: broken }), OpenAI.BadRequestError);
  });

  await t.test('text completions', async () => {
    const text = { model, prompt: 'The capital of Italy is', max_tokens: 4, temperature: 0, ignore_eos: true };
    const completion = await client.completions.create(text);
    assert.equal(completion.choices[0].finish_reason, 'length');
    assert.equal(completion.usage.completion_tokens, 4);
    let streamed = '';
    for await (const chunk of await client.completions.create({ ...text, stream: true }))
      streamed += chunk.choices[0].text;
    assert.equal(streamed, completion.choices[0].text);
  });

  await t.test('errors', async () => {
    await assert.rejects(client.chat.completions.create({ ...ask, temperature: 'hot' }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, 'temperature');
      return true;
    });
    const messages = [{ role: 'user', content: tooLong }];
    await assert.rejects(client.chat.completions.create({ ...ask, messages }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.code, 'context_length_exceeded');
      assert.match(error.message, /maximum context length is \d+ tokens/);
      return true;
    });
    const nowhere = new OpenAI({ baseURL: `${server.base}/nowhere`, apiKey: 'none' });
    await assert.rejects(nowhere.models.list(), OpenAI.NotFoundError);
  });

  await t.test('aborts', async () => {
    const stream = await client.chat.completions.create({
      ...ask,
      messages: [{ role: 'user', content: story }],
      ignore_eos: true,
      stream: true,
    });
    for await (const chunk of stream) {
      if (chunk.choices[0].delta.content || chunk.choices[0].delta.reasoning_content) break;
    }
    await idle(server);
    const controller = new AbortController();
    const whole = client.chat.completions.create(
      { ...ask, messages: [{ role: 'user', content: story }], ignore_eos: true },
      { signal: controller.signal },
    );
    setTimeout(() => controller.abort(), 200);
    await assert.rejects(whole, OpenAI.APIUserAbortError);
    await idle(server);
  });
});

test('openai with a key', async (t) => {
  const server = await startServer(t, ['--context', '2048', '--api-key', 'sesame']);
  const open = new OpenAI({ baseURL: server.base, apiKey: 'sesame' });
  assert.equal((await open.models.list()).data.length, 1);
  const shut = new OpenAI({ baseURL: server.base, apiKey: 'wrong' });
  await assert.rejects(shut.models.list(), OpenAI.AuthenticationError);
});

test('openai tries again when the server is full', async (t) => {
  const server = await startServer(t, ['--context', '2048', '--max-sequences', '1', '--queue', '1']);
  const client = new OpenAI({ baseURL: server.base, apiKey: 'none', maxRetries: 10 });
  const statuses = [];
  const counting = client.withOptions({
    fetch: async (...request) => {
      const response = await fetch(...request);
      statuses.push(response.status);
      return response;
    },
  });
  const replies = await Promise.all(
    [1, 2, 3, 4].map(() =>
      counting.chat.completions.create({
        model: 'any',
        temperature: 0,
        max_tokens: 300,
        ignore_eos: true,
        messages: [{ role: 'user', content: story }],
      }),
    ),
  );
  assert.ok(statuses.includes(429), `statuses: ${statuses}`);
  for (const reply of replies) assert.equal(reply.usage.completion_tokens, 300);
});
