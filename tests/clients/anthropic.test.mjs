// The SDK of Anthropic, on messages.
import assert from 'node:assert/strict';
import test from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { capital, clock, idle, person, startServer, story, tooLong } from './support.mjs';

const tool = { name: clock.name, description: clock.description, input_schema: clock.parameters };

test('@anthropic-ai/sdk', async (t) => {
  const server = await startServer(t, ['--context', '2048']);
  const client = new Anthropic({ baseURL: server.url, apiKey: 'none' });
  const models = [];
  for await (const model of client.models.list()) models.push(model);
  const model = models[0].id;
  const ask = {
    model,
    max_tokens: 500,
    temperature: 0,
    messages: [{ role: 'user', content: capital.question }],
  };
  let whole;

  await t.test('models', async () => {
    assert.equal(models.length, 1);
    assert.equal(models[0].type, 'model');
    assert.equal((await client.models.retrieve(model)).id, model);
    await assert.rejects(client.models.retrieve('no-such-model'), Anthropic.NotFoundError);
  });

  await t.test('messages, usage and counting', async () => {
    whole = await client.messages.create(ask);
    assert.equal(whole.content.length, 1);
    assert.match(whole.content[0].text, capital.answer);
    assert.equal(whole.stop_reason, 'end_turn');
    const { input_tokens, cache_read_input_tokens, output_tokens } = whole.usage;
    assert.ok(output_tokens > 0);
    const counted = await client.messages.countTokens({ model, messages: ask.messages });
    assert.equal(counted.input_tokens, input_tokens + cache_read_input_tokens);
  });

  await t.test('streaming', async () => {
    const stream = client.messages.stream(ask);
    let text = '';
    stream.on('text', (more) => (text += more));
    const message = await stream.finalMessage();
    assert.equal(text, whole.content[0].text);
    assert.deepEqual(message.content, whole.content);
    assert.equal(message.usage.output_tokens, whole.usage.output_tokens);
  });

  await t.test('thinking', async () => {
    const thinking = { type: 'enabled', budget_tokens: 1024 };
    const reply = await client.messages.create({ ...ask, max_tokens: 1500, thinking });
    assert.deepEqual(reply.content.map((block) => block.type), ['thinking', 'text']);
    assert.ok(reply.content[0].thinking.length > 0 && reply.content[0].signature.length > 0);
    const streamed = await client.messages.stream({ ...ask, max_tokens: 1500, thinking }).finalMessage();
    assert.deepEqual(streamed.content, reply.content);
  });

  await t.test('tools', async () => {
    const messages = [{ role: 'user', content: clock.question }];
    for (const stream of [false, true]) {
      const request = { ...ask, messages, tools: [tool] };
      const first = stream
        ? await client.messages.stream(request).finalMessage()
        : await client.messages.create(request);
      assert.equal(first.stop_reason, 'tool_use');
      const call = first.content.find((block) => block.type === 'tool_use');
      assert.equal(call.name, clock.name);
      assert.deepEqual(call.input, { city: clock.city });
      const result = { type: 'tool_result', tool_use_id: call.id, content: JSON.stringify(clock.result) };
      const second = await client.messages.create({
        ...request,
        messages: [
          ...messages,
          { role: 'assistant', content: first.content },
          { role: 'user', content: [result] },
        ],
      });
      assert.equal(second.stop_reason, 'end_turn');
      assert.match(second.content.at(-1).text, clock.answer);
    }
  });

  await t.test('forced tools', async () => {
    const greeting = [{ role: 'user', content: 'Hello' }];
    for (const tool_choice of [{ type: 'any' }, { type: 'tool', name: clock.name }]) {
      const reply = await client.messages.create({ ...ask, messages: greeting, tools: [tool], tool_choice });
      assert.equal(reply.stop_reason, 'tool_use');
      assert.deepEqual(Object.keys(reply.content.at(-1).input), ['city']);
    }
  });

  await t.test('structured output', async () => {
    const properties = { name: { type: 'string' }, job: { type: 'string' }, city: { type: 'string' } };
    const schema = { type: 'object', properties, required: Object.keys(properties), additionalProperties: false };
    const reply = await client.messages.create({
      ...ask,
      messages: [{ role: 'user', content: person.question }],
      output_config: { format: { type: 'json_schema', schema } },
    });
    assert.deepEqual(JSON.parse(reply.content[0].text), person.answer);
  });

  await t.test('stop sequences and prefills', async () => {
    const stopped = await client.messages.create({ ...ask, stop_sequences: ['Italy'] });
    assert.equal(stopped.stop_reason, 'stop_sequence');
    assert.equal(stopped.stop_sequence, 'Italy');
    const begun = [...ask.messages, { role: 'assistant', content: 'The capital of Italy is' }];
    assert.match((await client.messages.create({ ...ask, messages: begun })).content[0].text, /Rome/);
  });

  await t.test('errors', async () => {
    await assert.rejects(client.messages.create({ ...ask, temperature: 'hot' }), (error) => {
      assert.ok(error instanceof Anthropic.BadRequestError);
      assert.equal(error.error.error.type, 'invalid_request_error');
      assert.match(error.message, /temperature/);
      assert.ok(error.requestID);
      return true;
    });
    const messages = [{ role: 'user', content: tooLong }];
    await assert.rejects(client.messages.create({ ...ask, messages }), /prompt is too long: \d+ tokens > \d+ maximum/);
    await assert.rejects(client.beta.messages.batches.list(), Anthropic.NotFoundError);
  });

  await t.test('aborts', async () => {
    const stream = client.messages.stream({
      ...ask,
      ignore_eos: true,
      messages: [{ role: 'user', content: story }],
    });
    stream.on('text', () => stream.abort());
    await assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
    await idle(server);
  });
});

test('@anthropic-ai/sdk with a key', async (t) => {
  const server = await startServer(t, ['--context', '2048', '--api-key', 'sesame']);
  for (const key of [{ apiKey: 'sesame' }, { authToken: 'sesame', apiKey: null }])
    assert.equal((await new Anthropic({ baseURL: server.url, ...key }).models.list()).data.length, 1);
  const shut = new Anthropic({ baseURL: server.url, apiKey: 'wrong' });
  await assert.rejects(shut.models.list(), Anthropic.AuthenticationError);
});

test('@anthropic-ai/sdk tries again when the server is full', async (t) => {
  const server = await startServer(t, ['--context', '2048', '--max-sequences', '1', '--queue', '1']);
  const client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 10 });
  const replies = await Promise.all(
    [1, 2, 3, 4].map(() =>
      client.messages.create({
        model: 'any',
        max_tokens: 300,
        temperature: 0,
        ignore_eos: true,
        messages: [{ role: 'user', content: story }],
      }),
    ),
  );
  for (const reply of replies) assert.equal(reply.usage.output_tokens, 300);
  assert.match(await (await fetch(`${server.url}/metrics`)).text(), /foretoken_http_refusals_total\{\S*status="429"\S*\} [1-9]/);
});
